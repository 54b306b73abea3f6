/**
 * Flume's counters by component. One that is made anew while the one before it is still there goes
 * on with its numbers, so that a reload sets none of them back.
 */
export interface FlumeCounters {
  /** The counters under this key: those in use, or new ones. Released as often as claimed. */
  claim<T extends object>(key: string, create: () => T): T;
  release(key: string): void;
}

export function createFlumeCounters(): FlumeCounters {
  const kept = new Map<string, { readonly counters: object; claims: number }>();
  return {
    claim<T extends object>(key: string, create: () => T): T {
      let found = kept.get(key);
      if (found === undefined) kept.set(key, (found = { counters: create(), claims: 0 }));
      found.claims++;
      return found.counters as T;
    },
    release(key) {
      const found = kept.get(key);
      if (found !== undefined && --found.claims === 0) kept.delete(key);
    },
  };
}
