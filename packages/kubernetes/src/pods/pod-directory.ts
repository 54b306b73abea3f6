import type { Counter, Log, Runtime } from "@millrace/core";
import { PodApi, podApiLimits, type PodApiLimits } from "../api/pod-api.ts";
import { PodCache, type PodCacheLimits, podCacheLimits } from "./pod-cache.ts";
import type { PodInfo } from "./pod-info.ts";
import type { PodDirectorySettings } from "./pod-settings.ts";
import { PodWaits } from "./pod-waits.ts";
import { PodWatch, type PodWatchPauses, podWatchPauses } from "./pod-watch.ts";

/** The pods of this node, as far as the API server has told. No question to it ever throws. */
export interface PodDirectory {
  /**
   * What is known of the pod now, without waiting; for some minutes also of one that was deleted.
   * `uid` is the one in the name of its log directory: a static pod's is not the API server's.
   */
  peek(uid: string): PodInfo | undefined;
  /** The same by name; of pods that had it one after another, the last one. */
  peekName(namespace: string, pod: string): PodInfo | undefined;
  /**
   * The pod, as soon as it is known; undefined when that takes longer than the settings' `waitMs`,
   * when `signal` aborts, or at once where there is no API server to ask. Never rejects.
   */
  lookUp(uid: string, signal?: AbortSignal): Promise<PodInfo | undefined>;
  lookUpName(namespace: string, pod: string, signal?: AbortSignal): Promise<PodInfo | undefined>;
  /**
   * Whether a whole list has been read and is being followed: a pod that is older than that and not
   * known will not become known.
   */
  readonly current: boolean;
  readonly counts: PodDirectoryCounts;
  /** Idempotent. With the last holder's the watch ends, and so do waits, as undefined. */
  release(): void;
}

/** For gauges. */
export interface PodDirectoryCounts {
  /** Pods that exist, without those kept after their deletion. */
  readonly pods: number;
  /** Look-ups that wait now, of all holders. */
  readonly waiting: number;
}

/** What tests shorten. */
export interface PodDirectoryLimits {
  readonly api: PodApiLimits;
  readonly cache: PodCacheLimits;
  readonly pauses: PodWatchPauses;
  /** A pod that a current directory does not know is awaited no longer than this. */
  readonly currentWaitMs: number;
}

export const podDirectoryLimits: PodDirectoryLimits = {
  api: podApiLimits,
  cache: podCacheLimits,
  pauses: podWatchPauses,
  currentWaitMs: 2000,
};

/** One watch, with all who hold it. */
interface Shared {
  readonly cache: PodCache;
  readonly waits: PodWaits;
  readonly watch: PodWatch;
  readonly holders: Set<Holder>;
}
interface Holder {
  readonly restarts: Counter | undefined;
}

const shared = new Map<string, Shared>();

/**
 * The directory for these settings: one watch in this process for all holders of equal settings,
 * run by the first holder's runtime and log. Returns at once; the API server may be away.
 * `restarts` counts how often it had to be asked again: the watch broke, was refused, or was too old.
 */
export function acquirePodDirectory(
  settings: PodDirectorySettings,
  runtime: Runtime,
  log: Log,
  restarts?: Counter,
  limits: PodDirectoryLimits = podDirectoryLimits,
): PodDirectory {
  const { apiServer, nodeName, tokenFile, caFile, waitMs } = settings;
  if (apiServer === undefined || nodeName === undefined) {
    const missing = apiServer === undefined ? "apiServer" : "nodeName";
    const variable = apiServer === undefined ? "KUBERNETES_SERVICE_HOST" : "NODE_NAME";
    log.warn(
      `nothing is known of pods: neither ${missing} nor ${variable} says where to ask; ` +
        `set ${missing} where the agent does not run in a pod of the cluster`,
    );
    return emptyDirectory;
  }
  const key = JSON.stringify([apiServer, nodeName, tokenFile, caFile]);
  const asked = { apiServer, nodeName, tokenFile, caFile };
  const found = shared.get(key) ?? startWatch(asked, limits, runtime, log);
  shared.set(key, found);
  const holder: Holder = { restarts };
  found.holders.add(holder);
  const release = (): void => {
    found.holders.delete(holder);
    if (found.holders.size > 0 || shared.get(key) !== found) return;
    shared.delete(key);
    found.watch.stop();
    found.waits.close();
  };
  return hold(found, waitMs, limits.currentWaitMs, release);
}

function startWatch(
  settings: ConstructorParameters<typeof PodApi>[0],
  limits: PodDirectoryLimits,
  runtime: Runtime,
  log: Log,
): Shared {
  const cache = new PodCache(limits.cache, () => runtime.clock.monotonic());
  const waits = new PodWaits(runtime.clock);
  const holders = new Set<Holder>();
  const watch = new PodWatch({
    api: new PodApi(settings, limits.api, runtime, log),
    cache,
    pauses: limits.pauses,
    runtime,
    log,
    title: `pods of node ${settings.nodeName} at ${settings.apiServer}`,
    onChange: () => waits.changed(),
    onRestart: () => {
      for (const { restarts } of holders) if (restarts !== undefined) restarts.value++;
    },
  });
  void watch.run();
  return { cache, waits, watch, holders };
}

function hold(
  { cache, waits, watch }: Shared,
  waitMs: number,
  currentWaitMs: number,
  release: () => void,
): PodDirectory {
  let released = false;
  const find = (look: () => PodInfo | undefined, signal?: AbortSignal) => {
    const longestMs = watch.current ? Math.min(waitMs, currentWaitMs) : waitMs;
    return waits.find(look, released ? 0 : longestMs, signal);
  };
  return {
    peek: (uid) => cache.byUid(uid),
    peekName: (namespace, pod) => cache.byName(namespace, pod),
    lookUp: (uid, signal) => find(() => cache.byUid(uid), signal),
    lookUpName: (namespace, pod, signal) => find(() => cache.byName(namespace, pod), signal),
    get current() {
      return watch.current;
    },
    get counts() {
      return { pods: cache.size, waiting: waits.size };
    },
    release() {
      if (released) return;
      released = true;
      release();
    },
  };
}

const emptyDirectory: PodDirectory = {
  peek: () => undefined,
  peekName: () => undefined,
  lookUp: () => Promise.resolve(undefined),
  lookUpName: () => Promise.resolve(undefined),
  current: false,
  counts: { pods: 0, waiting: 0 },
  release() {},
};
