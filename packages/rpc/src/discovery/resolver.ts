import { lookup, Resolver as NodeResolver } from "node:dns/promises";
import { formatHost, parseNameServer } from "./host-address.ts";

/** What is asked of DNS. Each throws Node's error with its code: ENOTFOUND, ENODATA, ESERVFAIL, ETIMEOUT, ... */
export interface Resolver {
  /** As the system finds hosts: hosts file, search domains, DNS. */
  lookup(name: string, family: 0 | 4 | 6): Promise<readonly string[]>;
  resolve4(name: string): Promise<readonly string[]>;
  resolve6(name: string): Promise<readonly string[]>;
  resolveSrv(name: string): Promise<readonly SrvRecord[]>;
  /** Ends questions under way, but not lookups: the system cannot be interrupted. */
  cancel(): void;
}

export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

const answerWaitMs = 2000;
const tries = 3;

/** Asks `server`, an address with or without port, or the system's name servers. */
export function openResolver(server?: string): Resolver {
  const asking = new Set<NodeResolver>();
  /** Each question has a resolver of its own: some of Node's remember, also that there was nothing. */
  async function ask<T>(question: (resolver: NodeResolver) => Promise<T>): Promise<T> {
    const resolver = new NodeResolver({ timeout: answerWaitMs, tries });
    if (server !== undefined) resolver.setServers([formatHost(parseNameServer(server))]);
    asking.add(resolver);
    try {
      return await question(resolver);
    } finally {
      asking.delete(resolver);
    }
  }
  return {
    async lookup(name, family) {
      return (await lookup(name, { all: true, family })).map(({ address }) => address);
    },
    resolve4: (name) => ask((resolver) => resolver.resolve4(name)),
    resolve6: (name) => ask((resolver) => resolver.resolve6(name)),
    async resolveSrv(name) {
      const records = await ask((resolver) => resolver.resolveSrv(name));
      // Later Nodes add the record's type.
      return records.map(({ name: target, port, priority, weight }) => {
        return { name: target, port, priority, weight };
      });
    },
    cancel() {
      for (const resolver of asking) resolver.cancel();
    },
  };
}
