import type { TakeTransaction } from "../channels/channel.ts";
import { DeliveryError, type MillraceError, toMillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import {
  countRanges,
  invertRanges,
  joinRanges,
  liftRanges,
  type Ranges,
} from "../events/ranges.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { jitter, type Random } from "../runtime/random.ts";
import type { PollBackoff } from "../sources/source.ts";

export interface LentDelivery {
  /** Calls the sink. */
  readonly deliver: (batch: EventBatch) => Promise<void>;
  /** Aborted when a delivery that failed is not to be tried again. */
  readonly retrying: AbortSignal;
  /** Aborted when no delivery is to begin. */
  readonly delivering: AbortSignal;
  readonly backoff: PollBackoff;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A store may ask for a longer wait than the back-off, up to this. */
const retryAfterMsMax = 300_000;

/**
 * Delivers what a take lent and ends the take. What a DeliveryError settled is not delivered
 * again; the rest is, the same events in the same batch, after each back-off, until it succeeds or
 * `retrying` aborts: then what is settled is forgotten and the rest goes back to its place.
 * Resolves with the error when that is fatal. Never rejects.
 */
export async function deliverLent(
  take: TakeTransaction,
  how: LentDelivery,
): Promise<MillraceError | undefined> {
  let left = take.batch;
  let settled: Ranges = [];
  for (let failures = 0; !how.delivering.aborted;) {
    const error = await attempt(how, left);
    if (error === undefined) {
      await take.commit();
      if (failures > 0) how.log.info("delivers again", { failures, events: left.length });
      return undefined;
    }
    if (error instanceof DeliveryError && error.settled.length > 0) {
      settled = addSettled(settled, error.settled, take.batch.length);
      left = take.batch.select(invertRanges(settled, take.batch.length));
      failures = 0;
    }
    if (error.answer === "fatal") {
      await giveBack(take, settled);
      return error;
    }
    if (left.length === 0 || how.retrying.aborted) break;
    failures++;
    const waitMs = waitAfter(error, failures, how);
    logFailure(how.log, error, { events: left.length, failures, waitMs });
    await sleep(how.clock, waitMs, how.retrying);
    if (how.retrying.aborted) break;
  }
  await giveBack(take, settled);
  return undefined;
}

async function attempt(how: LentDelivery, batch: EventBatch): Promise<MillraceError | undefined> {
  try {
    await how.deliver(batch);
    return undefined;
  } catch (thrown) {
    return toMillraceError(thrown);
  }
}

/** `more` are positions in what was left of the batch after `settled`. */
function addSettled(settled: Ranges, more: Ranges, length: number): Ranges {
  return joinRanges(settled, liftRanges(more, invertRanges(settled, length)));
}

async function giveBack(take: TakeTransaction, settled: Ranges): Promise<void> {
  if (settled.length === 0) await take.rollback();
  else await take.commit(settled);
}

function waitAfter(error: MillraceError, failures: number, how: LentDelivery): number {
  if (error instanceof DeliveryError && error.retryAfterMs !== undefined) {
    return Math.min(Math.max(0, error.retryAfterMs), retryAfterMsMax);
  }
  return jitter(how.random, Math.min(failures * how.backoff.incrementMs, how.backoff.maxMs));
}

function logFailure(log: Log, error: MillraceError, detail: Record<string, unknown>): void {
  const rejected = error instanceof DeliveryError ? countRanges(error.rejected) : 0;
  if (error.answer === "reject" || rejected > 0) {
    log.error(
      `events that can never be delivered block this sink, as they do in Flume; ` +
        `they are tried again and again: ${error.code} ${error.message}`,
      { ...detail, rejected, error },
    );
  } else {
    log.warn(`a delivery failed and is tried again: ${error.code} ${error.message}`, {
      ...detail,
      error,
    });
  }
}
