import type { Log, Runtime } from "@millrace/core";
import type { PodInfo } from "./pod-info.ts";
import type { PodDirectorySettings } from "./pod-settings.ts";

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
  /** Times the API server had to be asked again: the watch broke, was refused, or was too old. */
  readonly restarts: number;
  /** Look-ups that wait now. */
  readonly waiting: number;
}

/**
 * The directory for these settings: one watch in this process for all holders of equal settings,
 * run by the first holder's runtime and log. Returns at once; the API server may be away.
 */
export function acquirePodDirectory(
  settings: PodDirectorySettings,
  _runtime: Runtime,
  log: Log,
): PodDirectory {
  log.warn("what the API server knows of pods is not known here", { settings });
  return emptyDirectory;
}

const emptyDirectory: PodDirectory = {
  peek: () => undefined,
  peekName: () => undefined,
  lookUp: () => Promise.resolve(undefined),
  lookUpName: () => Promise.resolve(undefined),
  current: false,
  counts: { pods: 0, restarts: 0, waiting: 0 },
  release() {},
};
