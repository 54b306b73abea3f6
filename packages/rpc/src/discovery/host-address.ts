import { didYouMean, MillraceError } from "@millrace/core";
import { isIP, isIPv6 } from "node:net";
import { parseAgentAddress } from "./consul-settings.ts";
import { parseParameters, type Parameters } from "./address-parameters.ts";

/**
 * What an operator may write for a host, as `hosts.h1` or as a sink's `hostname`:
 *
 *     host:port   [::1]:port
 *     dns://name:port      ?interval=30s & family=4|6 & server=address:port & cache=/path
 *     dns+srv://_service._proto.name      ?interval=30s & server=address:port & cache=/path
 *     consul://service     ?tag=a & tag=b & dc=name & near=node & passing=true & wait=60s
 *                           & agent=host:port & token-file=/path & cache=/path
 */
export type HostAddress = StaticAddress | DnsAddress | SrvAddress | ConsulAddress;

export interface StaticAddress {
  readonly kind: "static";
  readonly text: string;
  readonly host: string;
  readonly port: number;
}

export interface DnsAddress {
  readonly kind: "dns";
  readonly text: string;
  readonly name: string;
  readonly port: number;
  readonly intervalMs: number;
  /** 0: both. */
  readonly family: 0 | 4 | 6;
  /** The name server to ask instead of the system's. */
  readonly server?: string;
  readonly cacheFile?: string;
}

export interface SrvAddress {
  readonly kind: "dns+srv";
  readonly text: string;
  readonly name: string;
  readonly intervalMs: number;
  readonly server?: string;
  readonly cacheFile?: string;
}

export interface ConsulAddress {
  readonly kind: "consul";
  readonly text: string;
  readonly service: string;
  /** An instance must have all of them. */
  readonly tags: readonly string[];
  readonly datacenter?: string;
  /** Nearest to this node first; `_agent` is the node of the asked agent. */
  readonly near?: string;
  /** Only instances whose checks all pass. */
  readonly passing: boolean;
  /** How long Consul may keep a question that has no news. */
  readonly waitMs: number;
  /** `host:port` or a URL; CONSUL_HTTP_ADDR when not given. */
  readonly agent?: string;
  /** A file that holds the token; CONSUL_HTTP_TOKEN(_FILE) when not given. */
  readonly tokenFile?: string;
  readonly cacheFile?: string;
}

const kinds = ["dns", "dns+srv", "consul"];
const forms = "host:port, dns://name:port, dns+srv://_service._proto.name or consul://service";

/** Throws CONFIG_INVALID with what is wrong and what was probably meant. */
export function parseHostAddress(text: string, defaultPort?: number): HostAddress {
  const refuse: Refuse = (why) => {
    throw new MillraceError("CONFIG_INVALID", `"${text}" is not the address of a host: ${why}`);
  };
  const url = /^([^:/?#[\]]*):\/\/([^/?#]*)([^?#]*)(?:\?(.*))?$/s.exec(text);
  if (url === null) return parseStatic(text, defaultPort, refuse);
  const [, scheme = "", authority = "", path = "", query = ""] = url;
  const kind = scheme.toLowerCase();
  if (path !== "" && path !== "/") return refuse(`nothing belongs behind "${authority}" but ?`);
  switch (kind) {
    case "dns":
      return parseDns(text, authority, query, defaultPort, refuse);
    case "dns+srv":
      return parseSrv(text, authority, query, refuse);
    case "consul":
      return parseConsul(text, authority, query, refuse);
    default:
      return refuse(`there is no "${scheme}://"${didYouMean(kind, kinds)}; it may be ${forms}`);
  }
}

/** What is wrong with the address, for a component's `check`; undefined when nothing is. */
export function hostAddressProblem(text: string, defaultPort?: number): string | undefined {
  try {
    parseHostAddress(text, defaultPort);
    return undefined;
  } catch (error) {
    return (error as MillraceError).message;
  }
}

/** `10.0.0.7:4141`, `[::1]:4141`. */
export function formatHost({ host, port }: { host: string; port: number }): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

type Refuse = (why: string) => never;

function parseStatic(text: string, defaultPort: number | undefined, refuse: Refuse): StaticAddress {
  return { kind: "static", text, ...parseHostAndPort(text, defaultPort, refuse) };
}

function parseDns(
  text: string,
  authority: string,
  query: string,
  defaultPort: number | undefined,
  refuse: Refuse,
): DnsAddress {
  const { host: name, port } = parseHostAndPort(authority, defaultPort, refuse);
  if (isIP(name) !== 0) {
    refuse(`${name} is an address already; write ${formatHost({ host: name, port })}`);
  }
  assertName(name, refuse);
  const given = parseParameters(query, ["interval", "family", "server", "cache"], refuse);
  const family = given.word("family", ["4", "6"]);
  return {
    kind: "dns",
    text,
    name,
    port,
    family: family === undefined ? 0 : family === "4" ? 4 : 6,
    ...dnsParameters(given, refuse),
  };
}

function parseSrv(text: string, name: string, query: string, refuse: Refuse): SrvAddress {
  if (/:\d*$/.test(name)) refuse("SRV records carry the ports; leave the port out");
  assertName(name, refuse);
  if (!/^_[^.]+\._[^.]+\../.test(name)) {
    refuse("the name of SRV records is like _millrace._tcp.collectors.example");
  }
  const given = parseParameters(query, ["interval", "server", "cache"], refuse);
  return { kind: "dns+srv", text, name, ...dnsParameters(given, refuse) };
}

function dnsParameters(
  given: Parameters,
  refuse: Refuse,
): Pick<SrvAddress, "intervalMs" | "server" | "cacheFile"> {
  const server = given.text("server");
  const cacheFile = given.text("cache");
  if (server !== undefined) parseNameServer(server, refuse);
  return {
    intervalMs: given.durationMs("interval", 1000, 86_400_000) ?? 30_000,
    ...(server === undefined ? {} : { server }),
    ...(cacheFile === undefined ? {} : { cacheFile }),
  };
}

/** The address of a name server, by number, as it cannot be looked up. */
export function parseNameServer(
  text: string,
  refuse: Refuse = (why) => {
    throw new MillraceError("CONFIG_INVALID", why);
  },
): { host: string; port: number } {
  const server = parseHostAndPort(isIPv6(text) ? `[${text}]` : text, 53, refuse);
  if (isIP(server.host) === 0) refuse(`server is the address of a name server, not "${text}"`);
  return server;
}

const consulParameters = [
  "tag",
  "dc",
  "near",
  "passing",
  "wait",
  "agent",
  "token-file",
  "cache",
] as const;

function parseConsul(
  text: string,
  authority: string,
  query: string,
  refuse: Refuse,
): ConsulAddress {
  const service = decoded(authority) ?? refuse(`"${authority}" has a % that encodes nothing`);
  if (service === "") refuse("the name of the service is missing: consul://service");
  if (/[:@\s]/.test(authority)) {
    refuse(
      `"${service}" is no name of a service; Consul knows the ports, and its own address is agent=host:port`,
    );
  }
  const given = parseParameters(query, consulParameters, refuse, ["tag"]);
  const optional = {
    datacenter: given.text("dc"),
    near: given.text("near"),
    agent: given.text("agent"),
    tokenFile: given.text("token-file"),
    cacheFile: given.text("cache"),
  };
  if (optional.agent !== undefined) parseAgentAddress(optional.agent, refuse);
  return {
    kind: "consul",
    text,
    service,
    tags: given.texts("tag"),
    passing: given.word("passing", ["true", "false"]) !== "false",
    // Consul keeps a question for 10 minutes at most.
    waitMs: given.durationMs("wait", 1000, 600_000) ?? 60_000,
    ...withoutUndefined(optional),
  };
}

function parseHostAndPort(
  text: string,
  defaultPort: number | undefined,
  refuse: Refuse,
): { host: string; port: number } {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::([^:]*))?$/s.exec(text);
  if (match === null) {
    if (isIPv6(text)) refuse(`write an IPv6 address in brackets: [${text}]:port`);
    return refuse(`it may be ${forms}`);
  }
  const [, address, name, portText] = match;
  if (address !== undefined && !isIPv6(address)) refuse(`"${address}" is no IPv6 address`);
  const host = address ?? name ?? "";
  if (host === "") refuse("the host is missing");
  if (/[\s/?#@\\,;]/.test(host)) refuse(`"${host}" is no name of a host; it may be ${forms}`);
  if (portText === undefined) {
    return { host, port: defaultPort ?? refuse(`the port is missing: ${text}:port`) };
  }
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) refuse(`"${portText}" is no port from 1 to 65535`);
  return { host, port };
}

const labelPattern = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** RFC 1035, section 2.3.4, with the underscores of RFC 2782. */
function assertName(name: string, refuse: Refuse): void {
  const labels = name.replace(/\.$/, "").split(".");
  const bad = labels.find((label) => !labelPattern.test(label));
  if (bad !== undefined) refuse(`"${name}" is no name that DNS can hold`);
  if (name.length > 253) refuse("a name in DNS has at most 253 letters");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

type Defined<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends Record<string, unknown>>(values: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Defined<T>;
}
