import {
  type Counter,
  type Clock,
  type FileSystem,
  jitter,
  type Log,
  type Metrics,
  type MillraceError,
  noMetrics,
  type Random,
  settledBy,
  sleep,
  toMillraceError,
} from "@millrace/core";
import { formatHost } from "./host-address.ts";
import type { HostFinder } from "./host-finder.ts";
import type { Host } from "./host-list.ts";
import { readHostsCache, writeHostsCache } from "./hosts-cache.ts";
import { orderHosts, sameHosts } from "./order-hosts.ts";

export interface FollowerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly files: FileSystem;
  readonly metrics?: Metrics;
  /** Holds what was last found over the agent's restarts. */
  readonly cacheFile?: string;
  /** Called after every change of `hosts`. */
  readonly changed: () => void;
  readonly onFailure?: (address: string, error: MillraceError) => void;
}

/** Keeps what an address was last found to stand for. */
export interface AddressFollower {
  readonly hosts: readonly Host[];
  /** Begins to look. Resolves when there was an answer or a failure, or hosts from the cache. */
  start(): Promise<void>;
  stop(deadline: AbortSignal): Promise<void>;
}

const firstRetryMs = 1000;
/** How long an aborted question may take to end. */
const stopGraceMs = 1000;
const hostsInLog = 10;

export function followAddress(
  text: string,
  finder: HostFinder,
  options: FollowerOptions,
): AddressFollower {
  return new Follower(text, finder, options);
}

class Follower implements AddressFollower {
  hosts: readonly Host[] = [];
  readonly #text: string;
  readonly #finder: HostFinder;
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  readonly #lookups: { readonly found: Counter; readonly failed: Counter };
  #running: Promise<void> | undefined;
  #failuresInRow = 0;
  #answeredNobody = false;
  /** When the last answer came, on the monotonic clock; before the first, when it was started. */
  #answeredMs = 0;
  #cacheFailed = false;

  constructor(text: string, finder: HostFinder, options: FollowerOptions) {
    this.#text = text;
    this.#finder = finder;
    this.#options = options;
    this.#lookups = this.#declareMetrics();
  }

  start(): Promise<void> {
    this.#answeredMs = this.#options.clock.monotonic();
    return new Promise((answered) => {
      this.#running = this.#run(answered);
    });
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const running = this.#running ?? Promise.resolve();
    await settledBy(running, deadline, this.#options.clock, stopGraceMs);
    this.#finder.close();
  }

  async #run(answered: () => void): Promise<void> {
    await this.#readCache();
    if (this.hosts.length > 0) answered();
    const { clock, random } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const found = await this.#finder.find(signal);
        if (signal.aborted) break;
        await this.#accept(found);
        this.#lookups.found.value++;
      } catch (error) {
        if (signal.aborted) break;
        this.#keep(error);
        this.#lookups.failed.value++;
      }
      answered();
      await sleep(clock, jitter(random, this.#pauseMs()), signal);
    }
    answered();
  }

  #pauseMs(): number {
    if (this.#failuresInRow === 0 || this.#answeredNobody) return this.#finder.pauseMs;
    return Math.min(firstRetryMs * 2 ** (this.#failuresInRow - 1), this.#finder.retryMaxMs);
  }

  async #accept(found: readonly Host[]): Promise<void> {
    const { clock, log, random, changed } = this.#options;
    const recovered = this.#failuresInRow > 0;
    this.#failuresInRow = 0;
    this.#answeredMs = clock.monotonic();
    const hosts = this.#finder.ordered ? found : orderHosts(found, this.hosts, random);
    const same = sameHosts(hosts, this.hosts);
    if (recovered || !same) {
      const again = recovered ? " again" : "";
      log.info(`${this.#finder.asked} names${again} for ${this.#text}: ${describe(hosts)}`);
    }
    if (same) return;
    this.hosts = hosts;
    changed();
    await this.#writeCache();
  }

  /** The first failure in a row is a line, the others are counted. */
  #keep(thrown: unknown): void {
    const error = toMillraceError(thrown);
    this.#options.onFailure?.(this.#text, error);
    this.#answeredNobody = error.context["answered"] === true;
    this.#failuresInRow = Math.min(this.#failuresInRow + 1, 30);
    if (this.#failuresInRow > 1) return;
    const known = this.hosts.length;
    const next =
      known === 0
        ? "no host is known yet; it is asked again"
        : `what was last known is kept: ${describe(this.hosts)}`;
    this.#options.log.warn(`${this.#text}: ${error.message}; ${next}`, { code: error.code, known });
  }

  async #readCache(): Promise<void> {
    const { cacheFile, files, log, changed } = this.#options;
    if (cacheFile === undefined) return;
    try {
      const hosts = await readHostsCache(files, cacheFile, this.#text);
      if (hosts.length === 0) return;
      this.hosts = hosts;
      log.info(`${this.#text}: last known, from ${cacheFile}: ${describe(hosts)}`);
      changed();
    } catch (error) {
      log.warn(`${cacheFile} is not used: ${toMillraceError(error).message}`);
    }
  }

  async #writeCache(): Promise<void> {
    const { cacheFile, files, log } = this.#options;
    if (cacheFile === undefined) return;
    try {
      await writeHostsCache(files, cacheFile, this.#text, this.hosts);
      this.#cacheFailed = false;
    } catch (error) {
      if (!this.#cacheFailed) {
        log.warn(`cannot keep the hosts in ${cacheFile}: ${toMillraceError(error).message}`);
      }
      this.#cacheFailed = true;
    }
  }

  #declareMetrics(): { found: Counter; failed: Counter } {
    const { metrics = noMetrics, clock } = this.#options;
    const labels = { address: this.#text };
    metrics.gauge(
      "millrace_discovery_hosts",
      "Hosts that an address stands for, as last known.",
      () => this.hosts.length,
      labels,
    );
    metrics.gauge(
      "millrace_discovery_stale_seconds",
      "How long DNS or Consul has given no answer with hosts; 0 while it does.",
      () => (this.#failuresInRow === 0 ? 0 : (clock.monotonic() - this.#answeredMs) / 1000),
      labels,
    );
    const lookups = (result: string): Counter =>
      metrics.counter(
        "millrace_discovery_lookups_total",
        "Questions to DNS or Consul, by whether they brought hosts.",
        { ...labels, result },
      );
    return { found: lookups("found"), failed: lookups("failed") };
  }
}

function describe(hosts: readonly Host[]): string {
  const shown = hosts.slice(0, hostsInLog).map(formatHost).join(", ");
  const more = hosts.length - hostsInLog;
  return more > 0 ? `${shown} and ${more} more` : shown;
}
