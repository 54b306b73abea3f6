/** What compose:local needs of docker-compose.yml. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export interface ComposeService {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly mounts: readonly ComposeMount[];
  /** Targets of memory file systems. */
  readonly tmpfs: readonly string[];
  readonly ports: readonly ComposePort[];
}

export interface ComposeMount {
  /** A path beside the file when it begins with a dot or a slash, else the name of a volume. */
  readonly source: string;
  readonly target: string;
}

/** `container` in the container is `host` on this machine's loopback. */
export interface ComposePort {
  readonly host: number;
  readonly container: number;
}

/** Reads the short forms that our file uses. */
export function readComposeFile(
  path: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ComposeService[] {
  const text = interpolate(readFileSync(path, "utf8"), environment);
  const { services } = parse(text, { merge: true }) as {
    services: Record<string, Record<string, unknown>>;
  };
  return Object.entries(services).map(([name, service]) => ({
    name,
    image: String(service["image"]),
    command: texts(service["command"]),
    environment: Object.fromEntries(
      Object.entries(service["environment"] ?? {}).map(([key, value]) => [key, String(value)]),
    ),
    mounts: texts(service["volumes"]).map(parseMount),
    tmpfs: texts(service["tmpfs"]).map((each) => each.replace(/:.*$/, "")),
    ports: texts(service["ports"]).map(parsePort),
  }));
}

/** `${NAME:-text}` and `${NAME}`, as Compose does; an empty value counts as none, as there. */
export function interpolate(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  return text.replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, name: string, otherwise?: string) => {
    const value = environment[name];
    return value === undefined || value === "" ? (otherwise ?? "") : value;
  });
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function parseMount(text: string): ComposeMount {
  const [source, target] = text.split(":");
  if (source === undefined || target === undefined) throw new Error(`not a mount: ${text}`);
  return { source, target };
}

function parsePort(text: string): ComposePort {
  const match = /^(?:127\.0\.0\.1:)?(\d+):(\d+)$/.exec(text);
  if (match === null) throw new Error(`not a published port: ${text}`);
  return { host: Number(match[1]), container: Number(match[2]) };
}
