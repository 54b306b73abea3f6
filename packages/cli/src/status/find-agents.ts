import { MillraceError, silentLog, systemRuntime } from "@millrace/core";
import { type Host, openHostList } from "@millrace/rpc/discovery";

const lookUpMs = 5000;

/** Where agents' monitoring ports are, looked up again each time. */
export interface AgentFinder {
  /** As they are now. */
  readonly hosts: readonly Host[];
  stop(): Promise<void>;
}

/**
 * Follows addresses of agents. Consul knows where they take events, so of it the hosts alone are
 * used, with `port`. Throws CONFIG_INVALID for what is no address.
 */
export async function findAgents(addresses: readonly string[], port: number): Promise<AgentFinder> {
  const { clock, random } = systemRuntime;
  const lists = addresses.map((address) => ({
    isConsul: address.startsWith("consul://"),
    list: openHostList([address], {
      ...{ clock, random, log: silentLog },
      ...{ defaultPort: port, startWaitMs: lookUpMs },
    }),
  }));
  // Timers of ours do not keep a process alive, and between two readings there may be nothing else.
  const alive = setInterval(() => {}, 1 << 30);
  const never = new AbortController().signal;
  await Promise.all(lists.map(({ list }) => list.start(never)));
  const finder: AgentFinder = {
    get hosts() {
      const all = lists.flatMap(({ isConsul, list }) =>
        list.hosts.map((host) => (isConsul ? { host: host.host, port } : host)),
      );
      return [...new Map(all.map((host) => [`${host.host} ${host.port}`, host])).values()];
    },
    async stop() {
      clearInterval(alive);
      await Promise.all(lists.map(({ list }) => list.stop(AbortSignal.abort())));
    },
  };
  if (finder.hosts.length > 0) return finder;
  await finder.stop();
  throw new MillraceError("DISCOVERY_FAILED", `no agent is found at ${addresses.join(", ")}`);
}
