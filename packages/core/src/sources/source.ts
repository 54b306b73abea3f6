import type { EventBatch } from "../events/event-batch.ts";
import type { HeaderEdits } from "../events/header-edits.ts";
import type { Lifecycle } from "../lifecycle.ts";

/** Brings events in. It has its channel processor from its context. */
export type Source = Lifecycle;

/** A source that is asked again and again, by the source runner. */
export interface PollableSource extends Source {
  readonly pollBackoff: PollBackoff;
  /**
   * Reads and processes what there is, at most a bounded round. `ready`: ask again at once;
   * `backoff`: nothing there, wait. What it throws is logged and waited for like `backoff`.
   * Returns soon after `signal` aborts.
   */
  poll(signal: AbortSignal): Promise<"ready" | "backoff">;
}

/** The wait after n backoffs in a row is `n * incrementMs`, at most `maxMs`. */
export interface PollBackoff {
  readonly incrementMs: number;
  readonly maxMs: number;
}

/**
 * What a source hands its batches to. Resolves when every required channel has committed: only
 * then may the sender be told OK. Throws what the first failing required channel threw; then no
 * promise was made, and a retry may duplicate. The source counts what it received, what was
 * accepted, and what failed, as only it knows whether it tries again.
 */
export interface ChannelProcessor {
  processEventBatch(batch: EventBatch): Promise<void>;
}

/**
 * Looks at or changes batches before they are routed: either declared header edits, or a function
 * that returns at most as many events as it was given.
 */
export type Interceptor = HeaderEdits | InterceptBatch;

export interface InterceptBatch {
  /** Throws what its source is to answer: a MillraceError of answer `reject` for good. */
  (batch: EventBatch): EventBatch | Promise<EventBatch>;
  /** What events are counted as that it leaves out: `interceptor`, on purpose, when not given. */
  readonly discards?: { readonly reason: string; readonly intended: boolean };
}

/** Whether the source wants to be polled. */
export function isPollable(source: Source): source is PollableSource {
  return "poll" in source;
}
