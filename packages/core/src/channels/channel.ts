import type { MillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import type { Ranges } from "../events/ranges.ts";
import type { Lifecycle } from "../lifecycle.ts";

/**
 * Keeps events between sources and sinks. First in, first out over committed transactions; a
 * rolled-back take keeps its place. Any number of transactions may be open at once.
 */
export interface Channel extends Lifecycle {
  readonly name: string;
  /** Events committed and not yet settled by a take's commit. */
  readonly size: number;
  /** Whether committed events outlive the process. */
  readonly durable: boolean;
  /**
   * Asks for room for the whole batch and holds it. Waits up to keep-alive, first come first
   * served. Throws CHANNEL_FULL, TRANSACTION_TOO_LARGE, CHANNEL_CLOSED, DISK_FULL, CHANNEL_FAILED;
   * an abort of `signal` throws CHANNEL_FULL at once.
   */
  beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction>;
  /**
   * Up to `max` events, as soon as there is one; after keep-alive, on abort, and when the channel
   * stops, an empty batch. Throws CHANNEL_CORRUPT or CHANNEL_FAILED.
   */
  beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction>;
  /**
   * Takes new options while it runs: those that its definition lists as `resizable` may differ from
   * the ones it has. Takes effect before it returns, and cannot fail: more room serves who waits;
   * where more is held than the new limits allow, puts are refused until enough was taken.
   */
  reconfigure?(options: never): void;
  /** Attributes that Flume's counters of this channel have beside those of every channel. */
  readCounters?(): Record<string, number | boolean>;
  /**
   * Why it does not serve as it should although it is open, or what its start waits for; the agent
   * is not ready meanwhile.
   */
  readonly trouble?: MillraceError | undefined;
}

/** Room that is held for one batch. Ends once, by either call. */
export interface PutTransaction {
  /** Resolves when the batch is stored as durably as the channel says, and can be taken. */
  commit(): Promise<void>;
  /** Gives the room back. Never rejects. */
  rollback(): Promise<void>;
}

/** Events lent to a sink. Ends once, by either call; neither rejects. */
export interface TakeTransaction {
  readonly batch: EventBatch;
  /** Forgets the settled events (all, when not told); the others go back to their own places. */
  commit(settled?: Ranges): Promise<void>;
  /** Returns every event to its own place. */
  rollback(): Promise<void>;
}
