import { isIP } from "node:net";

interface Listened {
  readonly bind: string;
  readonly port: number;
}

const everywhere: ReadonlySet<string> = new Set(["0.0.0.0", "::", "*"]);

/**
 * Tells whether a host is this agent: one of the ports it listened on, at an address it listened at.
 * `here` are all addresses of this machine, for an agent bound to all of them.
 */
export function ownAddresses(
  listened: readonly Listened[],
  here: readonly string[],
): (host: { readonly host: string; readonly port: number }) => boolean {
  const own = new Set<string>();
  for (const { bind, port } of listened) {
    const isAll = everywhere.has(bind) || isIP(bind) === 0;
    for (const address of isAll ? [...here, bind] : [bind]) own.add(key(address, port));
  }
  return ({ host, port }) => own.has(key(host, port));
}

function key(address: string, port: number): string {
  return `${address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "")} ${port}`;
}
