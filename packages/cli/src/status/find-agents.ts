import { type Clock, type Random, silentLog, systemRuntime } from "@millrace/core";
import { type Host, openHostList } from "@millrace/rpc/discovery";

const lookUpMs = 5000;
/** A fleet is shown whole: an agent that is left out is one that nobody knows to be down. */
const agentsMax = 100_000;

/** Where agents' monitoring ports are, looked up again each time. */
export interface AgentFinder {
  /** As they are now. */
  readonly hosts: readonly Host[];
  /** Addresses that stand for nobody now. */
  readonly missing: readonly MissingAgents[];
  stop(): Promise<void>;
}

export interface MissingAgents {
  readonly address: string;
  readonly why: string;
}

export interface FindOptions {
  /** For addresses that say none; always for Consul, which knows where agents take events. */
  readonly port: number;
  /** Aborting it ends the wait for first answers. */
  readonly giveUp?: AbortSignal;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * Follows addresses of agents. Resolves when each was answered or refused once, or after five
 * seconds. Throws CONFIG_INVALID for what is no address.
 */
export async function findAgents(
  addresses: readonly string[],
  { port, giveUp, clock = systemRuntime.clock, random = systemRuntime.random }: FindOptions,
): Promise<AgentFinder> {
  const failures = new Map<string, string>();
  const lists = addresses.map((given) => {
    const onFailure = (_: string, { message }: Error): void => void failures.set(given, message);
    const list = openHostList([withSickInstances(given)], {
      ...{ clock, random, log: silentLog, onFailure },
      ...{ defaultPort: port, startWaitMs: lookUpMs, hostsMax: agentsMax },
    });
    return { given, isConsul: isOfConsul(given), list };
  });
  // Timers of ours do not keep a process alive, and between two readings there may be nothing else.
  const alive = setInterval(() => {}, 1 << 30);
  const stop = async (): Promise<void> => {
    clearInterval(alive);
    await Promise.all(lists.map(({ list }) => list.stop(AbortSignal.abort())));
  };
  try {
    const never = new AbortController().signal;
    await Promise.all(lists.map(({ list }) => list.start(giveUp ?? never)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    get hosts() {
      const all = lists.flatMap(({ isConsul, list }) =>
        list.hosts.map((host) => (isConsul ? { host: host.host, port } : host)),
      );
      return [...new Map(all.map((host) => [`${host.host} ${host.port}`, host])).values()];
    },
    get missing() {
      return lists
        .filter(({ list }) => list.hosts.length === 0)
        .map(({ given }) => {
          const why = failures.get(given) ?? `no answer within ${lookUpMs / 1000} s`;
          return { address: given, why: `it finds no agent: ${why}` };
        });
    },
    stop,
  };
}

function isOfConsul(address: string): boolean {
  return /^consul:/i.test(address);
}

/** Consul leaves out instances whose checks fail, and those are what one looks for. */
function withSickInstances(address: string): string {
  if (!isOfConsul(address) || /[?&]passing=/.test(address)) return address;
  return `${address}${address.includes("?") ? "&" : "?"}passing=false`;
}
