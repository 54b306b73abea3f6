import type { Channel } from "@millrace/core";
import type { FileChannelLimits } from "./options.ts";

/** A channel whose events outlive the process, with what Flume's FileChannelCounter shows beside. */
export interface FileChannel extends Channel {
  /** Events the channel may hold. */
  readonly capacity: number;
  /** Of the records it holds, padding included. */
  readonly bytes: number;
  /** Events that were delivered and would be again if this were a crash: not noted on disk yet. */
  readonly unnoted: number;
  /** Flume's FileChannelCounter attributes; the agent shows them with the channel's counters. */
  readCounters(): Record<string, number | boolean>;
  /** Takes new limits at any time. Where more is held, puts are refused until there is room. */
  setLimits(limits: FileChannelLimits): void;
}
