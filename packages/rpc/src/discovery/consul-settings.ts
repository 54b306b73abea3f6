import {
  type FileSystem,
  MillraceError,
  nodeFileSystem,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a Consul agent listens. */
export interface AgentAddress {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** A Unix socket instead of host and port. */
  readonly socketPath?: string;
}

/** How to reach a Consul agent, and who we are to it. */
export interface ConsulSettings {
  readonly address: AgentAddress;
  /** For the log. */
  readonly agent: string;
  /** Read for each request: a token file may be replaced. Throws READ_FAILED. */
  token(): Promise<string | undefined>;
  /** What `node:tls` takes, read when a client is made. Throws READ_FAILED. */
  tls(): Promise<ConsulTls>;
}

export interface ConsulTls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
}

export interface ConsulSettingsInput {
  /** Before CONSUL_HTTP_ADDR. */
  readonly agent?: string;
  /** Before CONSUL_HTTP_TOKEN and CONSUL_HTTP_TOKEN_FILE. */
  readonly tokenFile?: string;
  readonly environment?: Environment;
  readonly files?: FileSystem;
}

const defaultAgent = "127.0.0.1:8500";
const defaultPort = 8500;

/**
 * The settings as given, else from the environment as Consul's own command reads it:
 * CONSUL_HTTP_ADDR, CONSUL_HTTP_SSL, CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT, CONSUL_CLIENT_CERT,
 * CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE.
 */
export function readConsulSettings(input: ConsulSettingsInput): ConsulSettings {
  const { environment = process.env, files = nodeFileSystem } = input;
  const given = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const agent = input.agent ?? given("CONSUL_HTTP_ADDR") ?? defaultAgent;
  const origin = input.agent === undefined ? "CONSUL_HTTP_ADDR" : "the agent's address";
  const parsed = parseAgentAddress(agent, (why) => {
    throw new MillraceError("CONFIG_INVALID", `${origin}: ${why}`);
  });
  const address = /^(1|true)$/i.test(given("CONSUL_HTTP_SSL") ?? "")
    ? { ...parsed, secure: true }
    : parsed;
  const optional = async (name: string): Promise<Buffer | undefined> => {
    const path = given(name);
    return path === undefined ? undefined : await readNamed(files, path, name);
  };

  return {
    address,
    agent: agent.replace(/\/\/[^@/]*@/, "//"),
    async token() {
      const inline = input.tokenFile === undefined ? given("CONSUL_HTTP_TOKEN") : undefined;
      if (inline !== undefined) return inline;
      const path = input.tokenFile ?? given("CONSUL_HTTP_TOKEN_FILE");
      if (path === undefined) return undefined;
      return (await readNamed(files, path, "the token file")).toString("utf8").trim() || undefined;
    },
    async tls() {
      if (!address.secure) return {};
      const ca = await optional("CONSUL_CACERT");
      const cert = await optional("CONSUL_CLIENT_CERT");
      const key = await optional("CONSUL_CLIENT_KEY");
      const servername = given("CONSUL_TLS_SERVER_NAME");
      const unverified = /^(0|false)$/i.test(given("CONSUL_HTTP_SSL_VERIFY") ?? "");
      return {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(servername === undefined ? {} : { servername }),
        ...(unverified ? { rejectUnauthorized: false } : {}),
      };
    },
  };
}

/** `host`, `host:port`, `http://host:port`, `https://host:port` or `unix:///path`. */
export function parseAgentAddress(text: string, refuse: (why: string) => never): AgentAddress {
  const socket = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  if (socket !== undefined) {
    return { secure: false, host: "localhost", port: 80, socketPath: socket };
  }
  const withScheme = text.includes("://");
  const bad = `"${text}" is no address of a Consul agent; write host:port, https://host:port or unix:///path`;
  let url: URL;
  try {
    url = new URL(withScheme ? text : `http://${text}`);
  } catch {
    return refuse(bad);
  }
  const secure = url.protocol === "https:";
  if (!secure && url.protocol !== "http:") return refuse(bad);
  if (
    url.hostname === "" ||
    url.username !== "" ||
    !/^\/?$/.test(url.pathname) ||
    url.search !== ""
  )
    return refuse(bad);
  const schemePort = secure ? 443 : 80;
  // A URL forgets the port that its scheme has anyway; without a scheme the digits tell.
  const port = /:80$/.test(text) ? 80 : withScheme ? schemePort : defaultPort;
  return {
    secure,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? port : Number(url.port),
  };
}

async function readNamed(files: FileSystem, path: string, name: string): Promise<Buffer> {
  try {
    return await readWholeFile(files, path);
  } catch (error) {
    const code = systemErrorCode(error);
    throw new MillraceError("READ_FAILED", `${name}, ${path}, cannot be read: ${code}`, {
      cause: error,
    });
  }
}
