import type { Clock } from "@millrace/core";
import { lookup, lookupService } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { isIPv6 } from "node:net";

/**
 * Who may connect, as Flume writes it:
 *
 *     rules = rule *("," rule)
 *     rule  = ("allow" / "deny") ":" ("ip" / "name") ":" pattern
 *
 * In a pattern `*` is any run of characters and `?` any one; it stands for the whole address or
 * name. `name:localhost` means the addresses of this machine. The first rule that matches decides;
 * none lets in.
 */
export interface IpFilterRule {
  readonly allow: boolean;
  readonly by: "ip" | "name" | "ownAddress";
  readonly pattern: RegExp;
}

export interface IpFilter {
  /** Whether a peer of this address may connect. Asks for its name only when a rule wants it. */
  allows(address: string): Promise<boolean>;
}

/** The name of an address; its text where there is none. */
export type LookUpName = (address: string) => Promise<string>;

const shape = "allow or deny, then ip or name, then a pattern: allow:ip:10.*,deny:ip:*";

/** The rules, or what is wrong with the first that is none. */
export function parseIpFilterRules(
  text: string,
): { rules: readonly IpFilterRule[]; problem?: never } | { rules?: never; problem: string } {
  if (text.trim() === "") {
    return { problem: `is required with ipFilter = true; a rule is ${shape}` };
  }
  const rules: IpFilterRule[] = [];
  for (const part of text.split(",")) {
    const rule = part.trim();
    const match = /^(allow|deny):(ip|name):(.+)$/.exec(rule);
    if (match === null) return { problem: `"${rule}" is no ipFilter rule; one is ${shape}` };
    const [, verdict, kind, written = ""] = match;
    rules.push({
      allow: verdict === "allow",
      by: kind === "ip" ? "ip" : written === "localhost" ? "ownAddress" : "name",
      pattern: compile(written),
    });
  }
  return { rules };
}

/** A filter by rules that `parseIpFilterRules` took. */
export function createIpFilter(
  rules: readonly IpFilterRule[],
  clock: Clock,
  lookUp: LookUpName = (address) => nameOfAddress(address),
): IpFilter {
  const lookUpName = rememberNames(clock, lookUp);
  return {
    async allows(peerAddress) {
      const address = plainAddress(peerAddress);
      let name: string | undefined;
      for (const { allow, by, pattern } of rules) {
        if (by === "name") name ??= await lookUpName(address);
        if (matches(by, pattern, address, name)) return allow;
      }
      return true;
    },
  };
}

function matches(
  by: IpFilterRule["by"],
  pattern: RegExp,
  address: string,
  name: string | undefined,
): boolean {
  switch (by) {
    case "ip":
      return pattern.test(address) || (isIPv6(address) && pattern.test(javaIPv6(address)));
    case "name":
      return name !== undefined && pattern.test(name);
    case "ownAddress":
      return isOwnAddress(address);
  }
}

function compile(written: string): RegExp {
  const literal = written.replace(/[\\^$.+()[\]{}|]/g, "\\$&");
  return new RegExp(`^(?:${literal.replaceAll("*", ".*").replaceAll("?", ".")})$`, "s");
}

/** An IPv4 peer of a socket that listens on IPv6 is `::ffff:10.0.0.1`. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** As Java writes it, and so do the rules that were written for Java: all eight groups. */
function javaIPv6(address: string): string {
  const [bare = "", zone] = address.split("%");
  const [left = "", right] = bare.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const before = groups(left);
  const after = right === undefined ? [] : groups(right);
  const middle = new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  const all = [...before, ...middle, ...after].map((group) => group.replace(/^0+(?=.)/, ""));
  return zone === undefined ? all.join(":") : `${all.join(":")}%${zone}`;
}

function isOwnAddress(address: string): boolean {
  if (address.startsWith("127.") || address === "::1") return true;
  return Object.values(networkInterfaces()).some((own) =>
    own?.some((entry) => entry.address === address.split("%")[0]),
  );
}

/** How long a name is believed, and of how many addresses. */
const nameBelievedMs = 60_000;
const namesMax = 1000;
/** The resolver works on the threads that files are written by: it may not have them all. */
const lookUpsMax = 2;

/** Asks for each address now and then, for few at one time. */
function rememberNames(clock: Clock, lookUp: LookUpName): LookUpName {
  const names = new Map<string, { readonly name: Promise<string>; readonly untilMs: number }>();
  const waiting: (() => void)[] = [];
  let asking = 0;

  async function ask(address: string): Promise<string> {
    while (asking >= lookUpsMax) await new Promise<void>((resolve) => waiting.push(resolve));
    asking++;
    try {
      return await lookUp(address);
    } finally {
      asking--;
      waiting.shift()?.();
    }
  }

  return (address) => {
    const nowMs = clock.monotonic();
    const known = names.get(address);
    if (known !== undefined && nowMs < known.untilMs) return known.name;
    const name = ask(address);
    const [oldest] = names.keys();
    if (names.size >= namesMax && oldest !== undefined) names.delete(oldest);
    names.set(address, { name, untilMs: nowMs + nameBelievedMs });
    return name;
  };
}

/** What the system knows of names and addresses. */
export interface NameSystem {
  nameOf(address: string): Promise<string>;
  addressesOf(name: string): Promise<readonly string[]>;
}

const systemNames: NameSystem = {
  nameOf: async (address) => (await lookupService(address, 0)).hostname,
  addressesOf: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
};

/**
 * The name of an address, if the name also leads to the address, as Java asks: whoever has an address
 * may name it as he likes. Else the address.
 */
export async function nameOfAddress(
  address: string,
  { nameOf, addressesOf }: NameSystem = systemNames,
): Promise<string> {
  const withoutZone = (text: string): string | undefined => text.split("%")[0];
  try {
    const name = await nameOf(address);
    const addresses = await addressesOf(name);
    const own = addresses.some((other) => withoutZone(other) === withoutZone(address));
    return own ? name : address;
  } catch {
    return address;
  }
}
