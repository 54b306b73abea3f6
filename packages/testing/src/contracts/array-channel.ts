import {
  type Channel,
  type ChannelCounters,
  type Clock,
  createChannelCounters,
  EventBatch,
  MillraceError,
  type Ranges,
} from "@millrace/core";
import assert from "node:assert/strict";
import type { ChannelLimits } from "./channel/channel-under-test.ts";

export interface ArrayChannelOptions extends Partial<ChannelLimits> {
  readonly name?: string;
  readonly durable?: boolean;
  readonly counters?: ChannelCounters;
}

interface Held {
  readonly order: number;
  readonly event: EventBatch;
}

interface Waiter {
  /** Whether the wait is over because it got what it wants. */
  attempt(): boolean;
  end(why: "closed" | "late"): void;
}

/**
 * A channel as an array of single events: slow and plain, for tests of what stands around a
 * channel. It passes the channel contract.
 */
export function createArrayChannel(clock: Clock, options: ArrayChannelOptions = {}): Channel {
  const { name = "c1", durable = false, counters = createChannelCounters() } = options;
  const { capacity = 100, transactionCapacity = 100, keepAliveMs = 3000 } = options;
  let events: Held[] = [];
  let lent = 0;
  let room = capacity;
  let next = 0;
  let open = false;
  const putWaiters: Waiter[] = [];
  const takeWaiters: Waiter[] = [];

  /** Serves waiters in order, until one has to go on waiting. */
  const serve = (waiters: Waiter[]): void => {
    while (waiters[0]?.attempt() === true) waiters.shift();
  };

  const wait = <T>(
    waiters: Waiter[],
    signal: AbortSignal | undefined,
    attempt: () => T | undefined,
    end: (why: "closed" | "late") => T,
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      const settle = (value: () => T): void => {
        timer.cancel();
        signal?.removeEventListener("abort", late);
        try {
          resolve(value());
        } catch (error) {
          reject(error as Error);
        }
      };
      const late = (): void => waiter.end("late");
      const timer = clock.setTimer(keepAliveMs, late);
      const waiter: Waiter = {
        attempt() {
          const got = attempt();
          if (got !== undefined) settle(() => got);
          return got !== undefined;
        },
        end(why) {
          waiters.splice(waiters.indexOf(waiter), 1);
          settle(() => end(why));
          serve(waiters);
        },
      };
      signal?.addEventListener("abort", late, { once: true });
      waiters.push(waiter);
      if (!open) waiter.end("closed");
      else if (signal?.aborted === true) waiter.end("late");
      else serve(waiters);
    });

  const free = (count: number): void => {
    room += count;
    serve(putWaiters);
  };

  const add = (held: readonly Held[]): void => {
    events = [...events, ...held].sort((a, b) => a.order - b.order);
    serve(takeWaiters);
  };

  /** What lets a transaction end once. */
  const once = (): (() => void) => {
    let ended = false;
    return () => {
      assert(!ended, "a transaction ends once");
      ended = true;
    };
  };

  const lend = (max: number): Held[] => {
    const taken = events.splice(0, Math.min(max, transactionCapacity));
    lent += taken.length;
    counters.EventTakeAttemptCount += taken.length;
    return taken;
  };

  return {
    name,
    durable,
    get size() {
      return events.length + lent;
    },
    async start() {
      open = true;
    },
    async stop() {
      open = false;
      for (const waiters of [putWaiters, takeWaiters]) {
        for (const waiter of [...waiters]) waiter.end("closed");
      }
    },
    async beginPut(batch, signal) {
      if (batch.length > transactionCapacity) {
        throw new MillraceError("TRANSACTION_TOO_LARGE", `${batch.length} events for ${name}`);
      }
      counters.EventPutAttemptCount += batch.length;
      await wait(
        putWaiters,
        signal,
        () => (batch.length <= room ? ((room -= batch.length), true) : undefined),
        (why) => {
          throw new MillraceError(why === "closed" ? "CHANNEL_CLOSED" : "CHANNEL_FULL", name);
        },
      );
      const end = once();
      return {
        async commit() {
          end();
          counters.EventPutSuccessCount += batch.length;
          add(Array.from(batch, (_, i) => ({ order: next++, event: batch.slice(i, i + 1) })));
        },
        async rollback() {
          end();
          free(batch.length);
        },
      };
    },
    async beginTake(max, signal) {
      const taken = await wait(
        takeWaiters,
        signal,
        () => (events.length > 0 ? lend(max) : undefined),
        () => [],
      );
      const end = once();
      const settle = (settled: Ranges): void => {
        end();
        const back = taken.filter((_, i) => !settled.some(({ from, to }) => i >= from && i < to));
        lent -= taken.length;
        counters.EventTakeSuccessCount += taken.length - back.length;
        add(back);
        free(taken.length - back.length);
      };
      return {
        batch: EventBatch.join(taken.map(({ event }) => event)),
        commit: async (settled = [{ from: 0, to: taken.length }]) => settle(settled),
        rollback: async () => settle([]),
      };
    },
  };
}
