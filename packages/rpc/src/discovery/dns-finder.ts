import { type Clock, MillraceError, systemErrorCode } from "@millrace/core";
import { bounded } from "./bounded.ts";
import type { DnsAddress, SrvAddress } from "./host-address.ts";
import type { HostFinder } from "./host-finder.ts";
import type { Host } from "./host-list.ts";
import { openResolver, type Resolver } from "./resolver.ts";

/** Three tries of two seconds, with some room. */
const answerWaitMs = 10_000;
/** Targets of SRV records that are asked for at a time. */
const targetsMax = 256;

export interface DnsFinderOptions {
  readonly clock: Clock;
}

/**
 * Every address a name has. The system is asked as for any connection, with its hosts file and
 * search domains, so that a Kubernetes Service's short name works; with `server`, that name server
 * is asked for A and AAAA records of the name as it stands.
 */
export function openDnsFinder(
  address: DnsAddress,
  options: DnsFinderOptions,
  resolver: Resolver = openResolver(address.server),
): HostFinder {
  const { name, port, family, server } = address;
  let underWay: Promise<readonly string[]> | undefined;
  /** A lookup cannot be ended and holds a thread: one that was given up is waited for again. */
  function lookup(): Promise<readonly string[]> {
    underWay ??= resolver.lookup(name, family).finally(() => (underWay = undefined));
    return underWay;
  }
  async function look(): Promise<readonly Host[]> {
    const found = server === undefined ? await lookup() : await resolveBoth(resolver, name, family);
    return found.map((host) => ({ host, port, serverName: withoutDot(name) }));
  }
  return dnsFinder(address, options, resolver, look);
}

/**
 * Every target of a name's SRV records (RFC 2782), by its name: connecting looks that up. With
 * `server`, the targets are looked up there too. The name must be whole: no search domain is tried.
 */
export function openSrvFinder(
  address: SrvAddress,
  options: DnsFinderOptions,
  resolver: Resolver = openResolver(address.server),
): HostFinder {
  async function look(): Promise<readonly Host[]> {
    const records = await resolver.resolveSrv(address.name);
    // A target of "." says that the service is not there.
    const there = records.filter(({ name, port }) => name !== "" && name !== "." && port > 0);
    const targets = there
      .slice(0, targetsMax)
      .map(({ name, ...rest }) => ({ ...rest, host: name }));
    if (address.server === undefined) return targets;
    return resolveTargets(resolver, targets);
  }
  return dnsFinder(address, options, resolver, look);
}

function dnsFinder(
  { name, intervalMs, server }: DnsAddress | SrvAddress,
  { clock }: DnsFinderOptions,
  resolver: Resolver,
  look: () => Promise<readonly Host[]>,
): HostFinder {
  const asked = server === undefined ? "DNS" : `DNS at ${server}`;
  return {
    asked,
    ordered: false,
    pauseMs: intervalMs,
    retryMaxMs: intervalMs,
    async find(giveUp) {
      let hosts: readonly Host[];
      try {
        hosts = await bounded(look(), `asking ${asked} for ${name}`, {
          clock,
          ms: answerWaitMs,
          giveUp,
          abandon: () => resolver.cancel(),
        });
      } catch (error) {
        throw dnsError(error, asked, name);
      }
      if (hosts.length > 0) return hosts;
      throw new MillraceError("DISCOVERY_FAILED", `${asked} names no host for ${name}`);
    },
    close: () => resolver.cancel(),
  };
}

/** What one kind of record does not have the other may; no answer at all is thrown. */
async function resolveBoth(
  resolver: Resolver,
  name: string,
  family: 0 | 4 | 6,
): Promise<readonly string[]> {
  const questions = [
    ...(family === 6 ? [] : [resolver.resolve4(name)]),
    ...(family === 4 ? [] : [resolver.resolve6(name)]),
  ];
  const answers = await Promise.allSettled(questions);
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (found.length > 0) return found;
  const reasons = answers.flatMap((answer) =>
    answer.status === "rejected" ? [answer.reason as Error] : [],
  );
  const worst = reasons.find((reason) => !nobodyThere.has(systemErrorCode(reason)));
  const thrown = worst ?? reasons[0];
  if (thrown !== undefined) throw thrown;
  return [];
}

/** The addresses of all targets. One that has none hides no other; no address at all is thrown. */
async function resolveTargets(
  resolver: Resolver,
  targets: readonly Host[],
): Promise<readonly Host[]> {
  const answers = await Promise.allSettled(
    targets.map(async (target): Promise<readonly Host[]> => {
      const addresses = await resolveBoth(resolver, target.host, 0);
      return addresses.map((host) => ({ ...target, host, serverName: withoutDot(target.host) }));
    }),
  );
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const failed = answers.find((answer) => answer.status === "rejected");
  if (found.length === 0 && failed !== undefined) throw failed.reason as Error;
  return found;
}

const nobodyThere: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA"]);

function dnsError(error: unknown, asked: string, name: string): MillraceError {
  if (error instanceof MillraceError) return error;
  const code = systemErrorCode(error);
  const says = nobodyThere.has(code)
    ? `${asked} names no host for ${name} (${code})`
    : `${asked} gave no answer for ${name} (${code === "" ? (error as Error).message : code})`;
  return new MillraceError("DISCOVERY_FAILED", says, { cause: error });
}

/** A certificate has the name without the dot that ends it in DNS. */
function withoutDot(name: string): string {
  return name.replace(/\.$/, "");
}
