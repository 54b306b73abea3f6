import type { Random } from "@millrace/core";
import type { Host } from "./host.ts";
import type { HostState } from "./host-health.ts";
import { formatHost } from "../discovery/host-address.ts";
import type { Host as HostAddress } from "../discovery/host-list.ts";

/** Which host a batch is offered to, and which after that when it does not take it. */
export interface HostChoice {
  /** Whether each batch goes elsewhere: then no host is connected before it has one. */
  readonly takesTurns?: boolean;
  /** Whom to ask, each host once at most. What hosts are like is looked at when the next is asked for. */
  order(hosts: readonly Host[]): Iterable<Host>;
  /** The host has taken a batch. */
  delivered?(host: Host): void;
}

/**
 * A selector of an application's or operator's own: called for each batch with the hosts that may
 * be asked, returns them in the order to ask. Hosts it leaves out are not asked.
 */
export type HostSelector = (hosts: readonly HostAddress[]) => Iterable<HostAddress>;
export type CreateHostSelector = (context: { readonly random: Random }) => HostSelector;

/** Flume's default client: the first host, whatever became of it before. */
export function createFirstHost(): HostChoice {
  return { order: (hosts) => hosts.slice(0, 1) };
}

/**
 * One host has all batches until it fails; then the next in the order of the list, from the end on
 * from its beginning. With `failBack` an earlier host has them again when it has answered a trial
 * batch; without, as in Flume, whoever has them keeps them. While no host works, those are asked
 * too whose penalty is not over.
 */
export function createFailover(failBack: boolean): HostChoice {
  let current: string | undefined;

  function next(hosts: readonly Host[], tried: ReadonlySet<Host>): Host | undefined {
    const start = Math.max(0, hosts.findIndex(({ name }) => name === current)); // prettier-ignore
    const inTurn = [...hosts.slice(start), ...hosts.slice(0, start)];
    const first = (order: readonly Host[], state: HostState): Host | undefined =>
      order.find((host) => host.health.state === state && !tried.has(host));
    const up = first(failBack ? hosts : inTurn, "up");
    if (failBack && up !== undefined && tried.size === 0) {
      const due = first(hosts, "due");
      if (due !== undefined && hosts.indexOf(due) < hosts.indexOf(up)) return due;
    }
    return up ?? first(inTurn, "due") ?? inTurn.find((host) => !tried.has(host));
  }

  return {
    *order(hosts) {
      const tried = new Set<Host>();
      for (let host = next(hosts, tried); host !== undefined; host = next(hosts, tried)) {
        tried.add(host);
        yield host;
      }
    },
    delivered({ name }) {
      current = name;
    },
  };
}

/**
 * Each batch goes to the host that `selector` names, and past those that fail. Who is penalised has
 * no turn; with a trial under way a host has one only when nobody else is left. Hosts that SRV
 * gives a higher number have turns only when those of a lower one took nothing.
 */
export function createLoadBalance(selector: HostSelector): HostChoice {
  return {
    takesTurns: true,
    *order(hosts) {
      const available = hosts.filter(({ health }) => ["up", "due"].includes(health.state));
      const levels = new Set(available.map(levelOf).sort((a, b) => a - b));
      for (const level of levels) {
        const atLevel = available.filter((host) => levelOf(host) === level);
        const byName = new Map(atLevel.map((host) => [host.name, host]));
        for (const address of selector(atLevel.map((host) => host.address))) {
          const host = byName.get(formatHost(address));
          byName.delete(host?.name ?? "");
          if (host !== undefined && host.health.state !== "trial") yield host;
        }
      }
      if (available.length === 0) yield* hosts.filter(({ health }) => health.state === "trial");
    },
  };
}

const levelOf = ({ address }: Host): number => address.priority ?? 0;

/** Turns in the order of the list. */
export const createRoundRobin: CreateHostSelector = () => {
  let last: string | undefined;
  return (hosts) => {
    const turn = hosts.findIndex((host) => formatHost(host) === last) + 1;
    const inTurn = [...hosts.slice(turn), ...hosts.slice(0, turn)];
    if (inTurn[0] !== undefined) last = formatHost(inTurn[0]);
    return inTurn;
  };
};

/** Any order, each as likely as the others. */
export const createRandomOrder: CreateHostSelector = ({ random }) => {
  return (hosts) => {
    const left = [...hosts];
    const order: HostAddress[] = [];
    while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
    return order;
  };
};
