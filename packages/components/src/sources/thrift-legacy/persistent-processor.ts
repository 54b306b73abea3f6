import {
  type ChannelProcessor,
  type Clock,
  type Counter,
  declareDiscard,
  type EventBatch,
  type Log,
  type Metrics,
  type MillraceError,
  settledBy,
  sleep,
  type SourceCounters,
  toMillraceError,
} from "@millrace/core";

export interface PersistentProcessorOptions {
  readonly channelProcessor: ChannelProcessor;
  readonly counters: SourceCounters;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** `processEventBatch` never throws: it resolves when the events are stored, or let go. */
export interface PersistentProcessor extends ChannelProcessor {
  /** Resolves when nothing is under way, or soon after the abort: what is not stored then is let go. */
  finish(deadline: AbortSignal): Promise<void>;
}

const backoffFirstMs = 100;
const backoffMaxMs = 5000;
const graceMs = 1000;

/**
 * Processes a batch until the channels have it: nobody sends it again. What can never be stored,
 * and what is not when the source has to stop, is let go, counted and logged.
 */
export function createPersistentProcessor(
  options: PersistentProcessorOptions,
): PersistentProcessor {
  const { channelProcessor, counters, metrics, clock, log } = options;
  const rejected = declareDiscard(metrics, "one_way_rejected", false);
  const stopped = declareDiscard(metrics, "one_way_stopped", false);
  const stopping = new AbortController();
  const pending = new Set<Promise<void>>();

  function letGo(batch: EventBatch, error: MillraceError, discard: Counter): void {
    discard.value += batch.length;
    // Whoever called counts the whole batch as accepted.
    counters.EventAcceptedCount -= batch.length;
    log.error(`${batch.length} events are lost, nobody sends them again: ${error.message}`, {
      code: error.code,
      events: batch.length,
    });
  }

  async function store(batch: EventBatch): Promise<void> {
    for (let backoffMs = backoffFirstMs; ; backoffMs = Math.min(backoffMs * 2, backoffMaxMs)) {
      try {
        await channelProcessor.processEventBatch(batch);
        return;
      } catch (thrown) {
        const error = toMillraceError(thrown);
        counters.ChannelWriteFail++;
        if (error.answer === "reject") {
          await storeParts(batch, error);
          return;
        }
        if (stopping.signal.aborted) {
          letGo(batch, error, stopped);
          return;
        }
        if (backoffMs === backoffFirstMs) {
          log.warn(`a batch is not stored yet, its sender waits: ${error.code} ${error.message}`, {
            events: batch.length,
          });
        }
        await sleep(clock, backoffMs, stopping.signal);
      }
    }
  }

  /** One event may be what no channel takes, or all together too many for one transaction. */
  async function storeParts(batch: EventBatch, error: MillraceError): Promise<void> {
    if (batch.length === 1) {
      letGo(batch, error, rejected);
      return;
    }
    const middle = batch.length >>> 1;
    await store(batch.slice(0, middle));
    await store(batch.slice(middle));
  }

  return {
    async processEventBatch(batch) {
      const stored = store(batch);
      pending.add(stored);
      await stored;
      pending.delete(stored);
    },
    async finish(deadline) {
      const giveUp = (): void => stopping.abort();
      if (deadline.aborted) giveUp();
      deadline.addEventListener("abort", giveUp, { once: true });
      await settledBy(Promise.all(pending), deadline, clock, graceMs);
      deadline.removeEventListener("abort", giveUp);
    },
  };
}
