import assert from "node:assert/strict";
import { test } from "node:test";
import { numbersOf, settle } from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import { given, never, over, refused, settled, untilGivenUp } from "./runner-under-test.test.ts";

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
