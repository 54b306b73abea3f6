import { type FileSystem, type Log, MillraceError, nodeFileSystem, sleep } from "@millrace/core";
import { type AddressFollower, followAddress } from "./address-follower.ts";
import { openConsulFinder } from "./consul-finder.ts";
import { openDnsFinder, openSrvFinder } from "./dns-finder.ts";
import { type HostAddress, parseHostAddress } from "./host-address.ts";
import type { HostFinder } from "./host-finder.ts";
import type { Host, HostList, HostListOptions } from "./host-list.ts";
import { distinctHosts, sameHosts } from "./order-hosts.ts";

const defaultStartWaitMs = 5000;
const defaultHostsMax = 1024;

/**
 * A list of the hosts behind the addresses; `host-address.ts` says what those may be. Throws
 * CONFIG_INVALID for one that is none. Static hosts are in the list at once; the others are looked
 * for from `start` on, which resolves when each address was answered or refused once, or after
 * `startWaitMs`: hosts that are not there yet are no reason not to start.
 */
export function openHostList(addresses: readonly string[], options: HostListOptions): HostList {
  const parsed = addresses.map((text) => parseHostAddress(text, options.defaultPort));
  return new OpenHostList(parsed, options);
}

class OpenHostList implements HostList {
  #hosts: readonly Host[] = [];
  readonly #options: HostListOptions;
  readonly #log: Log;
  readonly #followers: readonly AddressFollower[];
  readonly #listeners = new Set<() => void>();
  readonly #gather: () => readonly Host[];
  #cutOff = false;

  constructor(addresses: readonly HostAddress[], options: HostListOptions) {
    this.#options = options;
    this.#log = options.log;
    const parts = addresses.map((address): (() => readonly Host[]) | AddressFollower => {
      if (address.kind === "static") {
        const hosts = [{ host: address.host, port: address.port }];
        return () => hosts;
      }
      return followAddress(address.text, openFinder(address, options), {
        ...options,
        files: options.files ?? nodeFileSystem,
        ...(address.cacheFile === undefined ? {} : { cacheFile: address.cacheFile }),
        changed: () => this.#update(),
      });
    });
    this.#followers = parts.filter((part) => typeof part !== "function");
    this.#gather = () =>
      parts.flatMap((part) => (typeof part === "function" ? part() : part.hosts));
    this.#update();
  }

  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  onChange(listener: () => void): () => void {
    // Two owners may give the same function.
    const call = (): void => listener();
    this.#listeners.add(call);
    return () => this.#listeners.delete(call);
  }

  async start(aborted: AbortSignal): Promise<void> {
    const { clock, startWaitMs = defaultStartWaitMs } = this.#options;
    const waiting = new AbortController();
    const giveUp = (): void => waiting.abort();
    aborted.addEventListener("abort", giveUp, { once: true });
    if (aborted.aborted) giveUp();
    const answered = this.#followers.map((follower) => follower.start());
    void Promise.all(answered).then(giveUp);
    await sleep(clock, startWaitMs, waiting.signal);
    aborted.removeEventListener("abort", giveUp);
    if (!aborted.aborted) return;
    await this.stop(aborted);
    throw new MillraceError("START_ABORTED", "looking for hosts was given up");
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.stop(deadline)));
  }

  #update(): void {
    const { hostsMax = defaultHostsMax } = this.#options;
    const all = distinctHosts(this.#gather());
    if (all.length > hostsMax && !this.#cutOff) {
      this.#log.warn(`${all.length} hosts were found; the first ${hostsMax} are used`);
    }
    this.#cutOff = all.length > hostsMax;
    const hosts = all.slice(0, hostsMax);
    if (sameHosts(hosts, this.#hosts)) return;
    this.#hosts = hosts;
    for (const listener of [...this.#listeners]) listener();
  }
}

function openFinder(
  address: Exclude<HostAddress, { kind: "static" }>,
  options: HostListOptions & { files?: FileSystem },
): HostFinder {
  switch (address.kind) {
    case "dns":
      return openDnsFinder(address, options);
    case "dns+srv":
      return openSrvFinder(address, options);
    case "consul":
      return openConsulFinder(address, options);
  }
}
