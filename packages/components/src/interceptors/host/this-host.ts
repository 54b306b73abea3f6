import { type Clock, sleep } from "@millrace/core";
import { lookup, lookupService } from "node:dns/promises";
import { hostname, networkInterfaces } from "node:os";

/** Who this machine is. Both throw when they cannot tell. */
export interface ThisHost {
  address(): string;
  /** The canonical name where the resolver knows it in time, else the name the kernel has. */
  name(): Promise<string>;
}

const nameWaitMs = 5000;

/** What the operating system says; `resolve` finds the canonical form of a host's name. */
export function createThisHost(
  clock: Clock,
  resolve: (name: string) => Promise<string> = canonicalName,
): ThisHost {
  return {
    address() {
      const outside = Object.values(networkInterfaces())
        .flatMap((addresses) => addresses ?? [])
        .filter(({ internal }) => !internal);
      const found = outside.find(({ family }) => family === "IPv4") ?? outside[0];
      if (found === undefined) throw new Error("no network interface leads outside");
      return found.address;
    },
    async name() {
      const own = hostname();
      const late = new AbortController();
      const canonical = resolve(own).catch(() => own);
      const found = await Promise.race([
        canonical,
        sleep(clock, nameWaitMs, late.signal).then(() => own),
      ]);
      late.abort();
      return found;
    },
  };
}

async function canonicalName(name: string): Promise<string> {
  const { address } = await lookup(name);
  const { hostname: canonical } = await lookupService(address, 0);
  return canonical === "localhost" ? name : canonical;
}
