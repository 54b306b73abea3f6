import type {
  Clock,
  FileSystem,
  Lifecycle,
  Log,
  Metrics,
  MillraceError,
  Random,
} from "@millrace/core";

/** Where a peer listens. */
export interface Host {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** SRV: hosts of a lower number come first, the others are for when none of those answers. */
  readonly priority?: number;
  /** SRV and Consul: its share among those of one priority. */
  readonly weight?: number;
  /** The name its certificate should have, where `host` is an address that was found by a name. */
  readonly serverName?: string;
}

/**
 * The hosts behind some addresses as they are now. What was found stays until something else is
 * found: a name server or a Consul that is gone, errs or names nobody takes nothing away.
 */
export interface HostList extends Lifecycle {
  /**
   * Without duplicates, at most `hostsMax`, in the order of the addresses; the hosts of one address
   * by priority, then in an order of chance that favours weight, which a host keeps while it is
   * there: agents that take the first host do not all take the same one. Empty until someone was
   * found. A new array for every change, never changed itself.
   */
  readonly hosts: readonly Host[];
  /** Calls `listener` after every change of `hosts`; what is returned ends that. */
  onChange(listener: () => void): () => void;
}

export interface HostListOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where `cache` files and token files are; the machine's files when not given. */
  readonly files?: FileSystem;
  /** Shows `millrace_discovery_*` of each address that is looked up. */
  readonly metrics?: Metrics;
  /** For addresses without a port of their own: `dns://name`, `name`. */
  readonly defaultPort?: number;
  /** Where CONSUL_HTTP_ADDR and the like are read; the process's own when not given. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** How long `start` waits for the first answers; then it resolves without. 5 s when not given. */
  readonly startWaitMs?: number;
  /** 1024 when not given. */
  readonly hostsMax?: number;
  /** Told of every question that brought no hosts: the address as it was given, and why. */
  readonly onFailure?: (address: string, error: MillraceError) => void;
}
