import {
  type Channel,
  type ChannelContext,
  countRanges,
  declareChannelMetrics,
  declareDiscard,
  EventBatch,
  MillraceError,
  type PutTransaction,
  type Ranges,
  type TakeTransaction,
  WaitingLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import type { Options } from "./options.ts";

/** A put on its way in: its events before `stored` are in the queue already. */
interface Arriving {
  readonly batch: EventBatch;
  stored: number;
}

/**
 * A queue with the words of a transaction and none of its effects, as Flume's
 * PseudoTxnMemoryChannel. Events can be taken from `beginPut` on, one by one as there is room for
 * them; a put that is rolled back, or found no room for its last events, leaves those it has stored.
 * Events that are taken are gone: those that a commit does not settle, or that a rollback returns,
 * are lost and counted.
 */
export function createPseudotxnChannel(
  { capacity, keepAliveSeconds }: Options,
  context: ChannelContext,
): Channel {
  const { name, counters, log } = context;
  const { clock } = context.runtime;
  const keepAliveMs = keepAliveSeconds * 1000;
  // A sink runner asks again at once: with keep-alive 0 it would do nothing else.
  const takeWaitMs = Math.max(1000, keepAliveMs);
  const puts = new WaitingLine<Arriving, PutTransaction>(clock);
  const takes = new WaitingLine<number, EventBatch>(clock);
  const returned = declareDiscard(context.metrics, "pseudotxn_channel_returned", false);
  const leftAtExit = declareDiscard(context.metrics, "pseudotxn_channel_left_at_exit", false);
  let queue: { batch: EventBatch; putMs: number }[] = [];
  let size = 0;
  let running = false;

  const taken = declareChannelMetrics(context.metrics, {
    events: () => size,
    bytes: () => queue.reduce((sum, { batch }) => sum + batch.heldBytes, 0),
    capacityBytes: () => undefined,
    oldestAgeSeconds: () => {
      const now = clock.monotonic();
      return (now - (queue[0]?.putMs ?? now)) / 1000;
    },
  });

  /** Stores what there is room for; a transaction once that is all of it. */
  const store = (arriving: Arriving): PutTransaction | undefined => {
    const { batch, stored } = arriving;
    const count = Math.min(batch.length - stored, capacity - size);
    if (count > 0) {
      const part = batch.slice(stored, stored + count).compact();
      queue.push({ batch: part, putMs: clock.monotonic() });
      arriving.stored += count;
      size += count;
      counters.EventPutSuccessCount += count;
      takes.serve(takeUpTo);
    }
    return arriving.stored < batch.length ? undefined : createPut();
  };

  /** Removes the first events; undefined when there are none. */
  const takeUpTo = (max: number): EventBatch | undefined => {
    const first = queue[0];
    if (first === undefined) return undefined;
    const count = Math.min(max, first.batch.length);
    if (count === first.batch.length) queue.shift();
    else queue[0] = { ...first, batch: first.batch.slice(count) };
    size -= count;
    counters.EventTakeAttemptCount += count;
    counters.EventTakeSuccessCount += count;
    taken.value += count;
    return first.batch.slice(0, count);
  };

  const lose = (count: number): void => {
    if (count === 0) return;
    returned.value += count;
    log.error(`${count} events that a sink gave back to ${name} are lost: it takes nothing back`, {
      events: count,
    });
  };

  const closed = (): MillraceError =>
    new MillraceError("CHANNEL_CLOSED", `channel ${name} is not running`);
  const full = ({ batch, stored }: Arriving): MillraceError =>
    new MillraceError(
      "CHANNEL_FULL",
      `channel ${name} had room for ${stored} of ${batch.length} events within keep-alive of ` +
        `${keepAliveSeconds} s: it holds ${size} of ${capacity}; those ${stored} stay in it`,
    );

  return {
    name,
    durable: false,
    get size() {
      return size;
    },
    async start() {
      running = true;
    },
    async stop() {
      if (!running) return;
      running = false;
      puts.end(() => {
        throw closed();
      });
      takes.end(() => EventBatch.empty);
      if (size > 0) {
        leftAtExit.value += size;
        log.error(`pseudotxn channel ${name} stopped with ${size} events in it: they are lost`, {
          events: size,
        });
      }
      queue = [];
      size = 0;
    },
    async beginPut(batch, signal) {
      if (!running) throw closed();
      counters.EventPutAttemptCount += batch.length;
      const arriving = { batch, stored: 0 };
      const put = puts.isEmpty ? store(arriving) : undefined;
      if (put !== undefined) return put;
      return puts.wait(arriving, keepAliveMs, signal, () => {
        puts.serve(store);
        throw full(arriving);
      });
    },
    async beginTake(max, signal) {
      assert(max > 0, `a take of ${max} events`);
      if (!running || signal?.aborted === true) return createTake(EventBatch.empty, lose);
      const batch =
        takeUpTo(max) ?? (await takes.wait(max, takeWaitMs, signal, () => EventBatch.empty));
      if (batch.length === 0) counters.EventTakeAttemptCount++;
      else if (running) puts.serve(store);
      return createTake(batch, lose);
    },
  };
}

function createPut(): PutTransaction {
  const end = endsOnce();
  return {
    async commit() {
      end();
    },
    async rollback() {
      end();
    },
  };
}

function createTake(batch: EventBatch, lose: (count: number) => void): TakeTransaction {
  const end = endsOnce();
  return {
    batch,
    async commit(settled?: Ranges) {
      end();
      if (settled !== undefined) lose(batch.length - countRanges(settled));
    },
    async rollback() {
      end();
      lose(batch.length);
    },
  };
}

function endsOnce(): () => void {
  let ended = false;
  return () => {
    assert(!ended, "a transaction ends once");
    ended = true;
  };
}
