import type { Random } from "@millrace/core";
import type { Host } from "./host-list.ts";

/**
 * The hosts that were found, by priority, and within one priority in an order of chance that favours
 * weight (RFC 2782). A host that was there before keeps its place among the others that were.
 */
export function orderHosts(
  found: readonly Host[],
  before: readonly Host[],
  random: Random,
): readonly Host[] {
  const rank = new Map(before.map((host, index) => [keyOf(host), index]));
  const priorities = [...new Set(found.map(({ priority = 0 }) => priority))].sort((a, b) => a - b);
  return priorities.flatMap((priority) => {
    const same = found.filter((host) => (host.priority ?? 0) === priority);
    const known = same
      .filter((host) => rank.has(keyOf(host)))
      .sort((a, b) => (rank.get(keyOf(a)) as number) - (rank.get(keyOf(b)) as number));
    const fresh = shuffle(
      same.filter((host) => !rank.has(keyOf(host))),
      random,
    );
    if (known.length === 0) return fresh;
    for (const host of fresh) known.splice(random.integer(known.length + 1), 0, host);
    return known;
  });
}

/** Without those whose host and port came before. */
export function distinctHosts(hosts: readonly Host[]): readonly Host[] {
  const seen = new Set<string>();
  return hosts.filter((host) => !seen.has(keyOf(host)) && seen.add(keyOf(host)));
}

/** Whether both have the same hosts in the same order, with the same share. */
export function sameHosts(a: readonly Host[], b: readonly Host[]): boolean {
  return a.length === b.length && a.every((host, i) => sameHost(host, b[i] as Host));
}

function sameHost(a: Host, b: Host): boolean {
  return (
    keyOf(a) === keyOf(b) &&
    a.priority === b.priority &&
    a.weight === b.weight &&
    a.serverName === b.serverName
  );
}

const keyOf = ({ host, port }: Host): string => `${host} ${port}`;

/** Draws one after another, each with the chance its weight has among those that are left. */
function shuffle(hosts: readonly Host[], random: Random): Host[] {
  const left = [...hosts];
  const drawn: Host[] = [];
  while (left.length > 0) {
    // A weight of 0 is a small chance, not none.
    const weights = left.map(({ weight = 1 }) => Math.max(1, weight * 16));
    let at = random.integer(weights.reduce((sum, weight) => sum + weight, 0));
    let index = 0;
    while (at >= (weights[index] as number)) at -= weights[index++] as number;
    drawn.push(...left.splice(index, 1));
  }
  return drawn;
}
