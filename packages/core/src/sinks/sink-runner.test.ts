import assert from "node:assert/strict";
import { test } from "node:test";
import { numberedBatch, numbersOf, settle } from "@millrace/testing";
import type { TakeTransaction } from "../channels/channel.ts";
import { DeliveryError, MillraceError } from "../errors/millrace-error.ts";
import { EventBatch } from "../events/event-batch.ts";
import { type Deliver, given, never, refused, settled } from "./runner-under-test.test.ts";

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
