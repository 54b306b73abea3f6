import { hostAddressProblem } from "../discovery/host-address.ts";
import type { HostValues } from "./client-options.ts";
import { type ClientType, clientTypes, readClientType } from "./client-type.ts";

/** A problem with one property. */
export interface PropertyProblem {
  readonly key: string;
  readonly message: string;
}

/** Which hosts a client has, as its properties say. */
export interface HostSettings {
  readonly type: ClientType;
  /** For `openHostList`. */
  readonly addresses: readonly string[];
  readonly problems: readonly PropertyProblem[];
  /** What is likely a slip, and no reason not to start: Flume says nothing. */
  readonly notes: readonly string[];
}

/**
 * Reads `client.type` and `hosts`. `own` is the address of a sink's `hostname` and `port`, which
 * `hosts` overrides. Never throws.
 */
export function readHosts(
  values: Pick<HostValues, "clientType" | "hosts" | "hostAddresses">,
  own?: string,
): HostSettings {
  // prettier-ignore
  const { clientType, hosts, hostAddresses } = values;
  const problems: PropertyProblem[] = [];
  const notes: string[] = [];
  const given = hosts.filter((name) => hostAddresses.has(name));
  for (const name of hosts) {
    if (!hostAddresses.has(name)) notes.push(`hosts.${name} is not given; ${name} is left out`);
  }
  for (const name of hostAddresses.keys()) {
    if (!hosts.includes(name)) notes.push(`hosts.${name} is not in hosts; it is not used`);
  }
  const named = given.map((name) => ({
    key: `hosts.${name}`,
    text: hostAddresses.get(name) ?? "",
  }));
  const all = hosts.length === 0 && own !== undefined ? [{ key: "hostname", text: own }] : named;
  if (all.length === 0) {
    const [first = "h1"] = hosts;
    const message = `is required, such as hosts = ${first} and hosts.${first} = collector.example:4141`;
    problems.push({ key: hosts.length === 0 ? "hosts" : `hosts.${first}`, message });
  }
  const isLookedUp = all.some(({ text }) => text.includes("://"));
  const type =
    clientType === undefined
      ? isLookedUp
        ? "default_failover"
        : "default"
      : readClientType(clientType);
  if (type === undefined) problems.push(unknownType(clientType ?? ""));
  if (type === "default_loadbalance" && all.length === 1 && !isLookedUp) {
    const message = "default_loadbalance takes two hosts or more, or an address that is looked up";
    problems.push({ key: "hosts", message });
  }
  const onlyFirst = type === "default" || type === "thrift";
  if (onlyFirst && all.length > 1) {
    notes.push(`client.type ${type} uses the first of ${all.length} hosts, ${all[0]?.text}`);
  }
  const used = onlyFirst ? all.slice(0, 1) : all;
  for (const { key, text } of used) {
    const message = hostAddressProblem(text);
    if (message !== undefined) problems.push({ key, message });
  }
  return { type: type ?? "default", addresses: used.map(({ text }) => text), problems, notes };
}

function unknownType(name: string): PropertyProblem {
  const java = name.includes(".") ? "; a Java class cannot be loaded" : "";
  const message = `"${name}" is not ${clientTypes.join(", ").replace(/, ([^,]*)$/, " or $1")}${java}`;
  return { key: "client.type", message };
}

/** The address of a sink's `hostname` and `port`, as `hosts.<name>` would say it. */
export function ownAddress(hostname: string, port: number | undefined): string {
  const suffix = port === undefined ? "" : `:${port}`;
  if (/^dns:\/\/[^:/?]+(?=\?|$)/i.test(hostname)) {
    return hostname.replace(/^(dns:\/\/[^:/?]+)/i, `$1${suffix}`);
  }
  if (hostname.includes("://")) return hostname;
  return hostname.includes(":") && !hostname.startsWith("[")
    ? `[${hostname}]${suffix}`
    : `${hostname}${suffix}`;
}
