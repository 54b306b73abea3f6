import { type Log, MillraceError, type Runtime } from "@millrace/core";
import { formatHost, type Host, openHostList } from "@millrace/rpc/discovery";
import { type OpenReceiver, openRpcReceiver } from "../file-channel/receivers.ts";

export interface SiblingOptions {
  /** Addresses, such as `dns://millrace-collector-headless:4141`. */
  readonly hosts: readonly string[];
  readonly isSelf: (host: Host) => boolean;
  /** Of the RPC client, beside its hosts. */
  readonly properties: ReadonlyMap<string, string>;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly systemProperties: ReadonlyMap<string, string>;
}

/** The siblings that are there at the time of each delivery, as one receiver. */
export interface Siblings extends OpenReceiver {
  /** Where they are looked for; for people. */
  readonly hosts: string;
  /**
   * Resolves with their number once somebody answered who they are: 0 when nobody but this agent is
   * there, undefined when nobody answered until `giveUp`. May be called again.
   */
  start(giveUp: AbortSignal): Promise<number | undefined>;
}

interface Connected {
  readonly to: string;
  readonly receiver: OpenReceiver;
}

export function openSiblings(options: SiblingOptions): Siblings {
  const { hosts, isSelf, runtime, log, systemProperties } = options;
  const list = openHostList(hosts, { ...runtime, log });
  const siblings = (): readonly Host[] => list.hosts.filter((host) => !isSelf(host));
  const asked = hosts.join(", ");
  const name = `a sibling at ${asked}`;
  let connected: Connected | undefined;
  let turn = 0;
  let started: Promise<void> | undefined;

  async function connect(): Promise<OpenReceiver> {
    const now = ofOneName(siblings(), turn);
    if (now.length === 0) throw new MillraceError("RPC_HOSTS_UNAVAILABLE", "no sibling is left");
    const to = now.map(formatHost).sort().join(" ");
    if (connected?.to !== to) {
      await connected?.receiver.close();
      const properties = clientProperties(now, options.properties);
      const receiver = openRpcReceiver(name, properties, { runtime, systemProperties });
      connected = { to, receiver };
    }
    return connected.receiver;
  }

  return {
    name,
    hosts: asked,
    // What a single answer waits for is small, so that little is on its way twice at the end.
    batchSize: Number(options.properties.get("batch-size") ?? 1000),
    async start(giveUp) {
      // Given up it rejects; what it found by then is known all the same.
      started ??= list.start(giveUp).catch(() => {});
      await started;
      while (list.hosts.length === 0 && !giveUp.aborted) await changed(list, giveUp);
      return list.hosts.length === 0 ? undefined : siblings().length;
    },
    async deliver(batch, giveUp) {
      try {
        await (await connect()).deliver(batch, giveUp);
      } catch (error) {
        turn++;
        throw error;
      }
    },
    async close() {
      await connected?.receiver.close();
      await list.stop(AbortSignal.abort());
    },
  };
}

/** A client believes one name of certificates: the hosts of each name have their turn. */
function ofOneName(hosts: readonly Host[], turn: number): readonly Host[] {
  const names = [...new Set(hosts.map(({ serverName }) => serverName))];
  return hosts.filter(({ serverName }) => serverName === names[turn % names.length]);
}

function clientProperties(
  hosts: readonly Host[],
  given: ReadonlyMap<string, string>,
): Record<string, string> {
  const names = hosts.map((_, index) => `h${index + 1}`);
  const [first] = hosts;
  return {
    // One that refuses sits out; with a single sibling there is nothing to balance.
    "client.type": hosts.length > 1 ? "default_loadbalance" : "default_failover",
    backoff: "true",
    "batch-size": "1000",
    // An address that was found by a name has its certificate for that name.
    ...(first?.serverName === undefined ? {} : { serverName: first.serverName }),
    ...Object.fromEntries(given),
    hosts: names.join(" "),
    ...Object.fromEntries(hosts.map((host, index) => [`hosts.h${index + 1}`, formatHost(host)])),
  };
}

function changed(
  list: { onChange(listener: () => void): () => void },
  giveUp: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      forget();
      giveUp.removeEventListener("abort", done);
      resolve();
    };
    const forget = list.onChange(done);
    giveUp.addEventListener("abort", done, { once: true });
    if (giveUp.aborted) done();
  });
}
