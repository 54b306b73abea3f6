import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createArrayChannel,
  createCollectingLog,
  createCollectingMetrics,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbersOf,
  settle,
} from "@millrace/testing";
import type { Channel, TakeTransaction } from "../channels/channel.ts";
import { DeliveryError, MillraceError } from "../errors/millrace-error.ts";
import { EventBatch } from "../events/event-batch.ts";
import { createSinkCounters } from "../metrics/counters.ts";
import type { Sink } from "./sink.ts";
import { createSinkRunner, type SinkRunnerOptions } from "./sink-runner.ts";

const never = new AbortController().signal;
const over = AbortSignal.abort();

type Deliver = (batch: EventBatch, giveUp: AbortSignal, call: number) => Promise<void>;
interface Wish extends Partial<Pick<Sink, "batchSize" | "deliveriesInFlight" | "flush">> {
  readonly durable?: boolean;
  readonly drainsDurable?: boolean;
  readonly channel?: (inner: Channel) => Partial<Channel>;
}

/** A runner over an array channel, and a sink that keeps what it is handed. */
async function given(deliver: Deliver = async () => {}, wish: Wish = {}) {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const metrics = createCollectingMetrics();
  const counters = createSinkCounters();
  const inner = createArrayChannel(clock, { durable: wish.durable ?? false });
  const channel = Object.create(inner, {
    ...Object.getOwnPropertyDescriptors(wish.channel?.(inner) ?? {}),
  }) as Channel;
  await channel.start(never);
  const handed: number[][] = [];
  const handedAt: number[] = [];
  const stops: string[] = [];
  const fatal: MillraceError[] = [];
  const sink: Sink = {
    batchSize: wish.batchSize ?? 10,
    deliveriesInFlight: wish.deliveriesInFlight ?? 1,
    start: async () => {},
    stop: async () => void stops.push("stop"),
    deliver(batch, giveUp) {
      handed.push(numbersOf(batch));
      handedAt.push(clock.monotonic());
      return deliver(batch, giveUp, handed.length);
    },
    ...(wish.flush === undefined ? {} : { flush: wish.flush }),
  };
  const options: SinkRunnerOptions = {
    name: "k1",
    sink,
    channel,
    clock,
    // No jitter: 200 of 0..400 is in the middle.
    random: { ...createSeededRandom(1), integer: () => 200 },
    log,
    counters,
    metrics,
    ...(wish.drainsDurable === undefined ? {} : { drainsDurable: wish.drainsDurable }),
    onFatal: (error) => void fatal.push(error),
  };
  const runner = createSinkRunner(options);
  const put = async (from: number, to: number): Promise<void> => {
    await (await channel.beginPut(numberedBatch(from, to))).commit();
  };
  return { clock, log, metrics, counters, channel, sink, runner, put, handed, handedAt, stops, fatal }; // prettier-ignore
}

const refused = (): MillraceError => new MillraceError("RPC_CONNECT_FAILED", "no one listens");
const untilGivenUp = (giveUp: AbortSignal): Promise<void> =>
  new Promise((_, reject) => giveUp.addEventListener("abort", () => reject(refused())));

void test("what is put is delivered in order, at most batchSize at once, and forgotten", async () => {
  const { runner, put, handed, channel, counters, metrics } = await given(undefined, {
    batchSize: 4,
  });
  await put(1, 10);
  await runner.start(never);
  await settle();
  assert.deepEqual(handed, [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]); // prettier-ignore
  assert.equal(channel.size, 0);
  await put(11, 11);
  await settle();
  assert.deepEqual(handed[3], [11]);
  await runner.stop(never);
  assert.equal(counters.BatchCompleteCount, 2);
  assert.equal(counters.BatchUnderflowCount, 2);
  assert.equal(counters.EventDrainAttemptCount, 11);
  assert.equal(counters.EventDrainSuccessCount, 11);
  assert.equal(metrics.value("millrace_sink_delivered_events_total"), 11);
  assert.equal(metrics.value("millrace_sink_delivery_seconds", { result: "ok" }), 4);
});

void test("a sink that says no batch size and no number of deliveries has whole batches, one at a time", async () => {
  const answers: (() => void)[] = [];
  const deliver: Deliver = () => new Promise((answer) => answers.push(answer));
  const nothing = { batchSize: NaN, deliveriesInFlight: NaN };
  const { runner, put, handed } = await given(deliver, nothing);
  await put(1, 20);
  await runner.start(never);
  await settle();
  await put(21, 30);
  await settle();
  assert.deepEqual(handed.map(({ length }) => length), [20]); // prettier-ignore
  answers[0]?.();
  await settle();
  assert.deepEqual(handed.map(({ length }) => length), [20, 10]); // prettier-ignore
  answers[1]?.();
  await runner.stop(never);
});

void test("a failed delivery is tried again with the same batch, after 1, 2, 3, 4, 5, 5 s", async () => {
  const batches: EventBatch[] = [];
  const { runner, put, handed, handedAt, clock, channel, counters, metrics, log } = await given(
    async (batch, _, call) => {
      batches.push(batch);
      if (call < 8) throw refused();
    },
  );
  await put(1, 2);
  await runner.start(never);
  await settle();
  await put(3, 3);
  const failing = (): number | undefined =>
    metrics.value("millrace_sink_failing_info", { reason: "RPC_CONNECT_FAILED" });
  await clock.advance(24_999);
  assert.equal(channel.size, 3);
  assert.equal(failing(), 1);
  await clock.advance(1);
  assert.equal(failing(), undefined, "it is over");
  assert.deepEqual(handedAt.slice(0, 8), [0, 1000, 3000, 6000, 10_000, 15_000, 20_000, 25_000]);
  assert.deepEqual(handed[7], [1, 2], "no event joins a batch that is tried again");
  assert.ok(batches.slice(0, 8).every((batch) => batch === batches[0]));
  assert.deepEqual(handed[8], [3]);
  assert.equal(channel.size, 0);
  await runner.stop(never);
  assert.equal(counters.EventWriteFail, 7);
  assert.equal(counters.EventDrainAttemptCount, 17);
  assert.equal(counters.EventDrainSuccessCount, 3);
  assert.equal(metrics.value("millrace_sink_delivery_seconds", { result: "retry" }), 7);
  assert.match(log.lines[0]?.message ?? "", /RPC_CONNECT_FAILED no one listens/);
  assert.ok(log.lines.some(({ message }) => message === "delivers again"));
});

void test("what a DeliveryError settled is not delivered again, and the rest is", async () => {
  const { runner, put, handed, clock, channel, counters, metrics } = await given(
    async (_, __, call) => {
      if (call === 1) throw settled([{ from: 1, to: 3 }]);
      if (call === 2) throw settled([{ from: 2, to: 3 }]);
    },
  );
  await put(1, 5);
  await runner.start(never);
  await clock.advance(1000);
  assert.equal(channel.size, 5, "the take ends once, at the end");
  await clock.advance(1000);
  assert.deepEqual(handed, [[1, 2, 3, 4, 5], [1, 4, 5], [1, 4]]); // prettier-ignore
  assert.equal(channel.size, 0);
  assert.equal(counters.EventDrainSuccessCount, 5);
  assert.equal(metrics.value("millrace_sink_delivered_events_total"), 5);
  await runner.stop(never);
});

const settled = (
  ranges: { from: number; to: number }[],
  more: { retryAfterMs?: number; rejected?: { from: number; to: number }[] } = {},
): DeliveryError => new DeliveryError("SINK_WRITE_FAILED", "in part", { settled: ranges, ...more });

void test("a DeliveryError that settled everything ends the batch", async () => {
  const { runner, put, handed, channel } = await given(async () => {
    throw settled([{ from: 0, to: 3 }]);
  });
  await put(1, 3);
  await runner.start(never);
  await settle();
  assert.equal(channel.size, 0);
  assert.equal(handed.length, 1);
  await runner.stop(never);
});

void test("a store's own wait replaces the back-off, up to five minutes", async () => {
  const { runner, put, handedAt, clock } = await given(async (_, __, call) => {
    if (call === 1) throw settled([], { retryAfterMs: 20_000 });
    if (call === 2) throw settled([], { retryAfterMs: 1e12 });
  });
  await put(1, 1);
  await runner.start(never);
  await clock.advance(400_000);
  assert.deepEqual(handedAt, [0, 20_000, 320_000]);
  await runner.stop(never);
});

void test("events that can never be delivered are said loudly and stay in their batch", async () => {
  const { runner, put, handed, channel, clock, log, metrics } = await given(async (_, __, call) => {
    if (call === 1) throw new MillraceError("EVENT_REJECTED", "no field id");
    if (call === 2) throw settled([{ from: 0, to: 1 }], { rejected: [{ from: 1, to: 2 }] });
  });
  await put(1, 3);
  await runner.start(never);
  await clock.advance(1000);
  assert.equal(channel.size, 3);
  await clock.advance(1000);
  assert.deepEqual(handed, [[1, 2, 3], [1, 2, 3], [2, 3]]); // prettier-ignore
  const loud = log.lines.filter(({ level }) => level === "error");
  assert.deepEqual(
    loud.map(({ detail }) => detail["rejected"]),
    [0, 1],
  );
  assert.match(loud[0]?.message ?? "", /can never be delivered.*EVENT_REJECTED no field id/);
  assert.equal(metrics.value("millrace_sink_delivery_seconds", { result: "reject" }), 1);
  await runner.stop(never);
});

void test("a fatal error gives the batch back, stops taking, and is told once", async () => {
  const { runner, put, channel, fatal, handed, clock } = await given(
    async (batch) => {
      if (batch.length === 2) throw settledFatal;
    },
    { batchSize: 2, deliveriesInFlight: 2 },
  );
  const settledFatal = new DeliveryError("CHANNEL_FAILED", "broken", {
    settled: [{ from: 0, to: 1 }],
  });
  await put(1, 4);
  await runner.start(never);
  await clock.advance(60_000);
  assert.deepEqual(fatal, [settledFatal]);
  assert.equal(handed.length, 2);
  assert.equal(channel.size, 2, "what was settled is forgotten, the rest is back");
  await runner.stop(never);
});

void test("an error that is not ours is tried again", async () => {
  const { runner, put, channel, clock, log } = await given(async (_, __, call) => {
    if (call === 1) throw new TypeError("x is undefined");
  });
  await put(1, 1);
  await runner.start(never);
  await clock.advance(1000);
  assert.equal(channel.size, 0);
  assert.match(log.lines[0]?.message ?? "", /UNEXPECTED x is undefined/);
  await runner.stop(never);
});

void test("stop lets a delivery finish, takes no other, and stops the sink afterwards", async () => {
  let finish = (): void => {};
  const { runner, put, handed, channel, stops } = await given(
    () => new Promise((resolve) => (finish = resolve)),
    { batchSize: 1 },
  );
  await put(1, 2);
  await runner.start(never);
  await settle();
  const stopped = Promise.all([runner.stop(never), runner.stop(never)]);
  await settle();
  assert.deepEqual(stops, []);
  finish();
  await stopped;
  assert.deepEqual(handed, [[1]]);
  assert.equal(channel.size, 1);
  assert.deepEqual(stops, ["stop"]);
});

void test("stop cuts a back-off short and returns the batch to its place", async () => {
  const { runner, put, channel, clock } = await given(async () => {
    throw settled([{ from: 1, to: 2 }]);
  });
  await put(1, 3);
  await runner.start(never);
  await settle();
  await runner.stop(never);
  assert.equal(clock.timerCount, 0);
  const take = await channel.beginTake(10);
  assert.deepEqual(numbersOf(take.batch), [1, 3]);
});

void test("at the deadline a delivery is given up, and its batch is rolled back", async () => {
  const { runner, put, channel, stops, counters } = await given((_, giveUp) =>
    untilGivenUp(giveUp),
  );
  await put(1, 2);
  await runner.start(never);
  await settle();
  const deadline = new AbortController();
  const stopped = runner.stop(deadline.signal);
  await settle();
  assert.deepEqual(stops, []);
  deadline.abort();
  await stopped;
  assert.deepEqual(numbersOf((await channel.beginTake(10)).batch), [1, 2]);
  assert.equal(counters.EventWriteFail, 0, "given up is not failed");
});

void test("a stop whose deadline is over gives up at once", async () => {
  const { runner, put, channel, stops } = await given((_, giveUp) => untilGivenUp(giveUp));
  await put(1, 2);
  await runner.start(never);
  await settle();
  await runner.stop(over);
  assert.deepEqual(stops, ["stop"]);
  assert.deepEqual(numbersOf((await channel.beginTake(10)).batch), [1, 2]);
});

void test("a delivery that fails while the runner stops is not tried again, nor said to be", async () => {
  let fail = (_: Error): void => {};
  const { runner, put, channel, handed, log } = await given(
    () => new Promise((_, reject) => (fail = reject)),
  );
  await put(1, 2);
  await runner.start(never);
  await settle();
  const stopped = runner.stop(never);
  fail(refused());
  await stopped;
  assert.equal(handed.length, 1);
  assert.deepEqual(log.lines, []);
  assert.deepEqual(numbersOf((await channel.beginTake(10)).batch), [1, 2]);
});

void test("a stop closes the files that deliveries wait for", async () => {
  let close = (): void => {};
  const { runner, put, channel } = await given(() => new Promise((resolve) => (close = resolve)), {
    flush: () => close(),
  });
  await put(1, 2);
  await runner.start(never);
  await settle();
  assert.equal(channel.size, 2);
  await runner.stop(never);
  assert.equal(channel.size, 0);
});

void test("a delivery that ignores its give-up is left open, its batch not returned", async () => {
  const { runner, put, channel, clock, stops, log } = await given(() => new Promise(() => {}));
  await put(1, 2);
  await runner.start(never);
  await settle();
  const stopped = runner.stop(over);
  await clock.advance(1000);
  await stopped;
  assert.deepEqual(stops, ["stop"]);
  assert.equal(channel.size, 2);
  const take = channel.beginTake(10);
  await clock.advance(3000);
  assert.equal((await take).batch.length, 0, "still lent: it may have arrived");
  assert.match(log.lines[0]?.message ?? "", /sink k1 did not give up.*channel c1/);
});

void test("a drain empties a channel that is not durable, over failures", async () => {
  const { runner, put, handed, channel, clock, stops } = await given(
    async (_, __, call) => {
      if (call === 2) throw refused();
    },
    { batchSize: 2 },
  );
  await put(1, 7);
  await runner.start(never);
  const drained = runner.drain(never);
  await clock.advance(1000);
  await drained;
  assert.equal(channel.size, 0);
  assert.equal(handed.length, 5);
  assert.deepEqual(stops, [], "the sink is stopped by stop");
  await runner.stop(never);
});

void test("a drain of an idle runner ends at once", async () => {
  const { runner, put, clock } = await given();
  await put(1, 1);
  await runner.start(never);
  await settle();
  await runner.drain(never);
  await runner.stop(over);
  assert.equal(clock.timerCount, 0);
});

void test("a drain over a durable channel only finishes what is in flight", async () => {
  let finish = (): void => {};
  const { runner, put, channel, handed } = await given(
    () => new Promise((resolve) => (finish = resolve)),
    { durable: true, batchSize: 2 },
  );
  await put(1, 5);
  await runner.start(never);
  await settle();
  const drained = runner.drain(never);
  finish();
  await drained;
  assert.deepEqual(handed, [[1, 2]]);
  assert.equal(channel.size, 3);
  await runner.stop(never);
});

void test("a drain empties a durable channel too where nobody may come back to it", async () => {
  const wish = { durable: true, drainsDurable: true, batchSize: 2 };
  const { runner, put, channel, handed } = await given(undefined, wish);
  await put(1, 5);
  await runner.start(never);
  await runner.drain(never);
  assert.deepEqual(handed.flat(), [1, 2, 3, 4, 5]);
  assert.equal(channel.size, 0);
  await runner.stop(never);
});

void test("a drain that its deadline ends gives up and leaves the rest in the channel", async () => {
  const { runner, put, channel, clock, stops } = await given(async () => {
    throw refused();
  });
  await put(1, 3);
  await runner.start(never);
  const deadline = new AbortController();
  const drained = runner.drain(deadline.signal);
  await clock.advance(30_000);
  deadline.abort();
  await drained;
  await runner.stop(over);
  assert.deepEqual(stops, ["stop"]);
  assert.deepEqual(numbersOf((await channel.beginTake(10)).batch), [1, 2, 3]);
});

void test("a drain waits for what another sink of the channel holds", async () => {
  const { runner, put, channel, clock } = await given();
  await put(1, 2);
  const elsewhere = await channel.beginTake(1);
  await runner.start(never);
  let ended = false;
  const drained = runner.drain(never).then(() => (ended = true));
  await clock.advance(10_000);
  assert.ok(!ended);
  await elsewhere.rollback();
  await clock.advance(3000);
  await drained;
  assert.equal(channel.size, 0);
  await runner.stop(never);
});

void test("several deliveries are under way at once when the sink wants them", async () => {
  const ends: (() => void)[] = [];
  let flushes = 0;
  const { runner, put, handed, channel } = await given(
    () => new Promise((resolve) => ends.push(resolve)),
    {
      batchSize: 2,
      deliveriesInFlight: 3,
      flush() {
        flushes++;
        for (const end of ends.splice(0)) end();
      },
    },
  );
  await put(1, 8);
  await runner.start(never);
  await settle();
  assert.deepEqual(handed, [[1, 2], [3, 4], [5, 6]]); // prettier-ignore
  assert.equal(channel.size, 8);
  assert.equal(flushes, 0, "files are closed early only by a drain or a stop");
  await runner.drain(never);
  assert.equal(channel.size, 0);
  assert.ok(flushes > 0);
  await runner.stop(never);
});

void test("empty takes are counted, and a channel that does not wait is not spun on", async () => {
  const empty: TakeTransaction = {
    batch: EventBatch.empty,
    commit: async () => {},
    rollback: async () => {},
  };
  const { runner, clock, counters } = await given(undefined, {
    channel: () => ({ beginTake: async () => empty }),
  });
  await runner.start(never);
  await clock.advance(10_000);
  assert.ok(counters.BatchEmptyCount >= 10, String(counters.BatchEmptyCount));
  assert.ok(counters.BatchEmptyCount <= 103, String(counters.BatchEmptyCount));
  await runner.stop(never);
});

void test("an endless backlog does not keep the event loop from turning", async () => {
  const { runner, channel, handed } = await given(undefined, {
    channel: () => ({
      beginTake: async () => ({
        batch: numberedBatch(1, 1),
        commit: async () => {},
        rollback: async () => {},
      }),
    }),
  });
  assert.equal(channel.size, 0);
  await runner.start(never);
  await settle();
  await runner.stop(never);
  assert.ok(handed.length >= 32);
});

void test("a channel that fails to be read is asked again later; a fatal failure ends the run", async () => {
  let asked = 0;
  const { runner, clock, counters, fatal } = await given(undefined, {
    channel: () => ({
      beginTake() {
        asked++;
        const code = asked < 3 ? "CHANNEL_CORRUPT" : "CHANNEL_FAILED";
        return Promise.reject(new MillraceError(code, "segment 7"));
      },
    }),
  });
  await runner.start(never);
  await clock.advance(9999);
  assert.equal(asked, 2);
  await clock.advance(60_000);
  assert.equal(asked, 3);
  assert.equal(counters.ChannelReadFail, 3);
  assert.deepEqual(
    fatal.map(({ code }) => code),
    ["CHANNEL_FAILED"],
  );
  await runner.stop(never);
});

void test("stop without start only stops the sink; a failed start takes nothing", async () => {
  const { runner, sink, stops, handed, put } = await given();
  await runner.stop(never);
  assert.deepEqual(stops, ["stop"]);
  sink.start = () => Promise.reject(new MillraceError("PERMISSION_DENIED", "/data"));
  await assert.rejects(runner.start(never), /\/data/);
  await put(1, 1);
  await settle();
  assert.deepEqual(handed, []);
  await runner.drain(never);
});

void test("a runner that was stopped may be started again", async () => {
  const { runner, put, handed } = await given();
  await runner.start(never);
  await runner.stop(never);
  await put(1, 2);
  await settle();
  assert.deepEqual(handed, []);
  await runner.start(never);
  await settle();
  assert.deepEqual(handed, [[1, 2]]);
  await runner.stop(never);
});

void test("as many deliveries are under way as the sink says now: a group's number changes", async () => {
  const ends: (() => void)[] = [];
  const given1 = await given(() => new Promise((resolve) => ends.push(resolve)), { batchSize: 1 });
  const { runner, put, handed, channel } = given1;
  const sink = given1.sink as { deliveriesInFlight: number };
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await settle();
  };
  await put(1, 20);
  await runner.start(never);
  await settle();
  assert.deepEqual([handed.length, ends.length], [1, 1]);
  sink.deliveriesInFlight = 4;
  await endOne();
  assert.equal(ends.length, 4, "the active member takes four");
  sink.deliveriesInFlight = 2;
  await endOne();
  await endOne();
  assert.equal(ends.length, 2);
  await endOne();
  assert.equal(ends.length, 2);
  sink.deliveriesInFlight = 0;
  for (let i = 0; i < 100 && channel.size > 0; i++) await endOne();
  assert.equal(channel.size, 0, "one goes on however little is wanted");
  assert.deepEqual(handed.flat(), numbersOf(numberedBatch(1, 20)));
  await runner.stop(never);
});
