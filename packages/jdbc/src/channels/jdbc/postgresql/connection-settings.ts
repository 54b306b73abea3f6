import {
  type ChannelContext,
  expandHome,
  MillraceError,
  parseProperties,
  readWholeFile,
} from "@millrace/core";
import type { ClientConfig } from "pg";
import type { Options } from "../options.ts";

export interface ConnectionSettings {
  readonly client: ClientConfig;
  /** The URL without user, password and parameters, for messages. */
  readonly place: string;
  /** A statement that takes longer than this counts as a lost connection. */
  readonly answerMs: number;
}

const connectSeconds = 10;
const answerSeconds = 30;

/** What Java's driver calls otherwise. Parameters that neither driver knows are left alone. */
const javaNames: Readonly<Record<string, string>> = { ApplicationName: "application_name" };

/** How to connect: the URL first, then the properties file, then db.username and db.password. */
export async function connectionSettings(
  databaseUrl: string,
  options: Options,
  context: ChannelContext,
): Promise<ConnectionSettings> {
  const url = parseUrl(databaseUrl);
  const given = new Map<string, string>();
  for (const [key, value] of url.searchParams) given.set(javaNames[key] ?? key, value);
  if (url.username !== "") given.set("user", decode(url.username));
  if (url.password !== "") given.set("password", decode(url.password));
  for (const [key, value] of await propertiesOf(options.connectionPropertiesFile, context)) {
    if (!given.has(javaNames[key] ?? key)) given.set(javaNames[key] ?? key, value);
  }
  if (options.username !== undefined && !given.has("user")) given.set("user", options.username);
  if (options.password !== undefined && !given.has("password")) {
    given.set("password", options.password);
  }
  const seconds = (key: string, otherwise: number): number => {
    const value = Number(given.get(key) ?? otherwise);
    given.delete(key);
    return Number.isFinite(value) && value > 0 ? value : otherwise;
  };
  const connectionTimeoutMillis = seconds("connectTimeout", connectSeconds) * 1000;
  const answerMs = seconds("socketTimeout", answerSeconds) * 1000;
  const schema = given.get("currentSchema");
  given.delete("currentSchema");
  if (schema !== undefined) {
    given.set("options", `${given.get("options") ?? ""} -c search_path=${schema}`.trim());
  }
  url.username = "";
  url.password = "";
  const place = `${url.protocol}//${url.host}${url.pathname}`;
  url.search = new URLSearchParams([...given]).toString().replaceAll("+", "%20");
  return {
    client: {
      connectionString: url.href,
      connectionTimeoutMillis,
      keepAlive: true,
      fallback_application_name: `millrace ${context.agent} ${context.name}`,
    },
    place,
    answerMs,
  };
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new MillraceError("CONFIG_INVALID", "driver.url is no URL of a PostgreSQL database");
  }
}

/** The cause would repeat a secret. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new MillraceError(
      "CONFIG_INVALID",
      "driver.url has a % in its user or password that begins no escape: write %25, or give them as db.username and db.password",
    );
  }
}

async function propertiesOf(
  file: string | undefined,
  { runtime, home }: ChannelContext,
): Promise<readonly (readonly [string, string])[]> {
  if (file === undefined) return [];
  const path = expandHome(file, home);
  let text: string;
  try {
    text = (await readWholeFile(runtime.files, path)).toString("latin1");
  } catch (cause) {
    const message = `connection.properties.file ${path} cannot be read: ${(cause as Error).message}`;
    throw new MillraceError("PATH_MISSING", message, { cause });
  }
  return parseProperties(text).lines.map(({ key, value }) => [key, value.trim()] as const);
}
