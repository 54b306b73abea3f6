import type { MillraceError } from "@millrace/core";
import { type FormatVersion, newestFormat } from "./format/segment-header.ts";
import type { KeyProvider } from "./keys/key-provider.ts";

/** What a file channel may be told; everything but its directories has a default. */
export interface FileChannelOptions {
  /** One disk each; segments go round them. */
  readonly dataDirs: readonly string[];
  /** Events held at most, open puts included. */
  readonly capacity: number;
  /** Bytes of records held at most, padding included. */
  readonly byteCapacity: number;
  /** Events of one transaction at most. */
  readonly transactionCapacity: number;
  /** Event bytes of one transaction at most: it becomes one record. */
  readonly transactionBytesMax: number;
  /** How long a put waits for room and a take for an event. */
  readonly keepAliveMs: number;
  /** Bytes that puts leave free on a disk; takes go on below it. */
  readonly minimumRequiredSpaceBytes: number;
  /** The same as a share of the disk's size; the larger of the two counts. */
  readonly minimumRequiredSpacePercent: number;
  /** Slabs of unread events kept in memory; the rest is read back from disk. */
  readonly memoryBytes: number;
  /** Size of a segment file. A larger record gets a larger segment. */
  readonly segmentBytes: number;
  /** Event bytes of one group commit at most, unless one put alone is larger. */
  readonly groupBytesMax: number;
  /** Groups start at multiples of this: 512, or 4096. */
  readonly groupAlign: number;
  /** How long settled events may stay unacknowledged on disk when no put comes. */
  readonly ackSyncMs: number;
  /** False: a put resolves when it is written, and a power cut may lose `fsyncIntervalMs` of puts. */
  readonly fsyncPerTransaction: boolean;
  readonly fsyncIntervalMs: number;
  /** At a record that does not verify: takes end with CHANNEL_CORRUPT, or it is set aside and counted. */
  readonly onCorruption: "stop" | "quarantine";
  /**
   * Opens encrypted segments: `createKeyFiles`, `createJceksKeyProvider`, or in a test simply
   * `{ key: async () => Buffer.alloc(32, 7) }`. Asked for each key once a start.
   */
  readonly keys: KeyProvider | undefined;
  /** Name of the key that new segments are encrypted with; takes `keys`. Undefined: they are plain. */
  readonly activeKey: string | undefined;
  /** The newest format that is written: 1 is what the version before reads, and has no encryption. */
  readonly formatVersion: FormatVersion;
  /** How long a start waits for another agent to let go of the directories. */
  readonly lockWaitMs: number;
  /** Told once when a sync failed: the agent is to stop and exit non-zero. */
  readonly onFatal: (error: MillraceError) => void;
}

/** What may change while a channel runs. */
export type FileChannelLimits = Pick<
  FileChannelOptions,
  "capacity" | "byteCapacity" | "transactionCapacity" | "keepAliveMs" | "memoryBytes"
>;

const mebibyte = 1024 * 1024;

export const fileChannelDefaults: Omit<FileChannelOptions, "dataDirs"> = {
  capacity: 1_000_000,
  byteCapacity: Number.MAX_SAFE_INTEGER,
  transactionCapacity: 10_000,
  transactionBytesMax: 64 * mebibyte,
  keepAliveMs: 3000,
  minimumRequiredSpaceBytes: 500 * mebibyte,
  minimumRequiredSpacePercent: 0,
  memoryBytes: 64 * mebibyte,
  segmentBytes: 64 * mebibyte,
  groupBytesMax: 16 * mebibyte,
  groupAlign: 512,
  ackSyncMs: 100,
  fsyncPerTransaction: true,
  fsyncIntervalMs: 5000,
  onCorruption: "stop",
  keys: undefined,
  activeKey: undefined,
  formatVersion: newestFormat,
  lockWaitMs: 30_000,
  onFatal: () => undefined,
};
