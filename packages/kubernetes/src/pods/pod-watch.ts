import { jitter, type Log, type MillraceError, type Runtime, sleep, toMillraceError } from "@millrace/core"; // prettier-ignore
import { isExpired, isServersFault, retryAfterMs } from "../api/api-status.ts";
import type { PodApi, PodChange } from "../api/pod-api.ts";
import type { PodCache } from "./pod-cache.ts";

export interface PodWatchPauses {
  readonly firstMs: number;
  readonly maxMs: number;
  /** A watch that lived so long, or told something new, did not fail at once. */
  readonly livedMs: number;
}

/**
 * After so many watches in a row that told nothing, though there was a server, a list is made: it may
 * not have come to their version yet, as when etcd was restored, and then is silent or fails for ever.
 */
const barrenMax = 2;

export const podWatchPauses: PodWatchPauses = { firstMs: 1000, maxMs: 30_000, livedMs: 10_000 };

export interface PodWatchOptions {
  readonly api: PodApi;
  readonly cache: PodCache;
  readonly pauses: PodWatchPauses;
  readonly runtime: Runtime;
  readonly log: Log;
  /** "pods of node n1 at https://...", for the log. */
  readonly title: string;
  /** Called when the cache may know more than before. */
  readonly onChange: () => void;
  /** Called when the API server has to be asked again though it had not ended the watch. */
  readonly onRestart: () => void;
}

/**
 * Keeps a cache of pods as the API server has them:
 *
 *     list -> watch from the list's version -> watch from the last event's version -> ...
 *       ^                                                        |
 *       +------ the version is too old, or nothing comes of it --+
 *
 * Whatever goes wrong is said once, waited for, and tried again; the cache stays as it was.
 */
export class PodWatch {
  readonly #options: PodWatchOptions;
  readonly #stop = new AbortController();
  /** Where to go on; empty when a list is needed. */
  #resourceVersion = "";
  /** A list may come from the API server's cache, but not the one after "too old". */
  #cachedList = true;
  #failures = 0;
  /** Watches in a row that failed without having told anything. */
  #barren = 0;
  #said = "";
  #current = false;

  constructor(options: PodWatchOptions) {
    this.#options = options;
  }

  /** Whether the last whole list is being followed without a failure since. */
  get current(): boolean {
    return this.#current;
  }

  /** Runs until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#list();
        await this.#follow();
      } catch (thrown) {
        if (signal.aborted) return;
        await this.#pauseAfter(toMillraceError(thrown));
      }
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#current = false;
  }

  async #list(): Promise<void> {
    const { api, cache, onChange } = this.#options;
    const { pods, resourceVersion } = await api.list(this.#cachedList, this.#stop.signal);
    this.#resourceVersion = resourceVersion;
    this.#cachedList = true;
    cache.replace(pods);
    onChange();
  }

  /** Applies what a watch tells until it ends. */
  async #follow(): Promise<void> {
    const { api, runtime, pauses } = this.#options;
    const beganMs = runtime.clock.monotonic();
    let began = false;
    let told = false;
    const lived = (): boolean => told || runtime.clock.monotonic() - beganMs >= pauses.livedMs;
    try {
      const changes = await api.watch(this.#resourceVersion, this.#stop.signal);
      began = true;
      this.#nowCurrent();
      for await (const change of changes) {
        if (change.pod !== undefined || change.resourceVersion !== this.#resourceVersion)
          told = true;
        this.#apply(change);
      }
      this.#barren = 0;
    } catch (error) {
      if (told) this.#barren = 0;
      else if (began || isServersFault(error)) this.#barren++;
      throw error;
    } finally {
      if (lived()) this.#failures = 0;
    }
    // An end is no failure, but one at once, again and again, must not become a busy loop.
    if (!lived()) await this.#pause(++this.#failures, 0);
  }

  #apply({ resourceVersion, pod, deleted }: PodChange): void {
    const { cache, onChange } = this.#options;
    if (pod !== undefined) {
      if (deleted) cache.delete(pod);
      else cache.set(pod);
      onChange();
    }
    this.#resourceVersion = resourceVersion;
  }

  #nowCurrent(): void {
    const { log, title, cache } = this.#options;
    if (this.#current) return;
    this.#current = true;
    log.info(`${title} are ${this.#said === "" ? "" : "again "}followed`, { pods: cache.size });
    this.#said = "";
  }

  async #pauseAfter(error: MillraceError): Promise<void> {
    const { log, title, onRestart, pauses } = this.#options;
    onRestart();
    const first = this.#failures++ === 0;
    if (isExpired(error)) {
      this.#resourceVersion = "";
      this.#cachedList = false;
      // Nothing is wrong: the API server keeps changes for minutes only.
      if (first) return;
    }
    if (this.#barren >= barrenMax) {
      this.#resourceVersion = "";
      this.#barren = 0;
    }
    const text = `${error.code} ${error.message}`;
    // A stream that breaks once and goes on is everyday; what lasts is said, once.
    if (this.#said !== text && (!first || !this.#current)) {
      this.#said = text;
      log.warn(
        `${title} are not followed: ${text}; tried again with pauses up to ${pauses.maxMs / 1000} s, ` +
          `meanwhile what is known stays known`,
      );
      this.#current = false;
    }
    await this.#pause(this.#failures, retryAfterMs(error));
  }

  async #pause(failures: number, atLeastMs: number): Promise<void> {
    const { runtime, pauses } = this.#options;
    const ms = Math.min(pauses.firstMs * 2 ** Math.min(failures - 1, 20), pauses.maxMs);
    const waitMs = Math.max(jitter(runtime.random, ms), atLeastMs);
    await sleep(runtime.clock, waitMs, this.#stop.signal);
  }
}
