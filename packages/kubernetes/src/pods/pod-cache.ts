import type { ListedPod } from "../api/parse-pod.ts";
import type { PodInfo } from "./pod-info.ts";

export interface PodCacheLimits {
  /** How long a pod is remembered after its deletion: its logs may still be read. */
  readonly deletedKeepMs: number;
  /** How many deleted ones at most; the oldest go first. */
  readonly deletedMax: number;
  /**
   * How many in all. A node runs 110 unless kubelet is told otherwise, but a cluster keeps 12,500
   * finished ones. What is beyond is not kept.
   */
  readonly podsMax: number;
}

export const podCacheLimits: PodCacheLimits = {
  deletedKeepMs: 600_000,
  deletedMax: 1000,
  podsMax: 20_000,
};

interface Deleted {
  readonly listed: ListedPod;
  readonly forgetAtMs: number;
}

/** The pods that a list and its watch have told of, and for a while those that are gone. */
export class PodCache {
  readonly #limits: PodCacheLimits;
  readonly #monotonic: () => number;
  readonly #live = new Map<string, ListedPod>();
  /** In the order of their deletion. */
  readonly #deleted = new Map<string, Deleted>();
  /** From namespace and name to the log uid of the last pod that had them. */
  readonly #names = new Map<string, string>();

  constructor(limits: PodCacheLimits, monotonic: () => number) {
    this.#limits = limits;
    this.#monotonic = monotonic;
  }

  /** Pods that exist. */
  get size(): number {
    return this.#live.size;
  }

  get deletedCount(): number {
    return this.#deleted.size;
  }

  byUid(logUid: string): PodInfo | undefined {
    const live = this.#live.get(logUid);
    if (live !== undefined) return live.pod;
    const deleted = this.#deleted.get(logUid);
    if (deleted === undefined || deleted.forgetAtMs <= this.#monotonic()) return undefined;
    return deleted.listed.pod;
  }

  byName(namespace: string, name: string): PodInfo | undefined {
    const logUid = this.#names.get(nameKey(namespace, name));
    return logUid === undefined ? undefined : this.byUid(logUid);
  }

  /** Those that exist now; for tests and comparisons. */
  live(): IterableIterator<ListedPod> {
    return this.#live.values();
  }

  set(listed: ListedPod): void {
    const { logUid, pod } = listed;
    if (this.#isClaim(listed)) return;
    if (!this.#live.has(logUid) && this.#live.size >= this.#limits.podsMax) return;
    this.#deleted.delete(logUid);
    this.#live.set(logUid, listed);
    this.#names.set(nameKey(pod.namespace, pod.name), logUid);
    this.#forgetOld();
  }

  /** Remembers the pod as it was last. */
  delete(listed: ListedPod): void {
    if (this.#isClaim(listed)) return;
    this.#live.delete(listed.logUid);
    this.#deleted.delete(listed.logUid);
    const forgetAtMs = this.#monotonic() + this.#limits.deletedKeepMs;
    this.#deleted.set(listed.logUid, { listed, forgetAtMs });
    const key = nameKey(listed.pod.namespace, listed.pod.name);
    const known = this.#names.get(key);
    // A pod of the same name that exists keeps it: of a StatefulSet, the one that came after.
    if (known === undefined || !this.#live.has(known)) this.#names.set(key, listed.logUid);
    this.#forgetOld();
  }

  /** What a whole list says: what it does not name is gone. */
  replace(pods: readonly ListedPod[]): void {
    const there = new Set(pods.map(({ logUid }) => logUid));
    for (const listed of [...this.#live.values()]) {
      if (!there.has(listed.logUid)) this.delete(listed);
    }
    for (const listed of pods) this.set(listed);
  }

  /** Whether another pod has this log uid: anybody may annotate a pod as the mirror of a static one. */
  #isClaim({ logUid, pod }: ListedPod): boolean {
    const known = (this.#live.get(logUid) ?? this.#deleted.get(logUid)?.listed)?.pod;
    return known !== undefined && (known.name !== pod.name || known.namespace !== pod.namespace);
  }

  #forgetOld(): void {
    const nowMs = this.#monotonic();
    for (const [logUid, { listed, forgetAtMs }] of this.#deleted) {
      if (forgetAtMs > nowMs && this.#deleted.size <= this.#limits.deletedMax) return;
      this.#deleted.delete(logUid);
      const key = nameKey(listed.pod.namespace, listed.pod.name);
      if (this.#names.get(key) === logUid) this.#names.delete(key);
    }
  }
}

/** No name in Kubernetes has a slash. */
function nameKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
