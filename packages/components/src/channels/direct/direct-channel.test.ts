import { EventBatch, type MillraceError, parseOptions } from "@millrace/core";
import { numberedBatch, numbers, numbersOf, settle } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { assertEmpty, lentTo, never, send, started } from "./direct-under-test.test.ts";
import { channel as definition } from "./index.ts";
import { options } from "./options.ts";
import { DirectTake } from "./transactions.ts";

/** Whether it has not settled after all that was ready has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  void promise.then(() => (pending = false));
  await settle();
  return pending;
}

void test("a put commits when its batch is delivered, and not before", async () => {
  const { channel, counters, clock } = await started();
  const sent = await send(channel, 1, 3);
  assert.equal(channel.size, 3);
  const take = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(take.batch), [1, 2, 3]);
  await clock.advance(1500);
  assert.equal(channel.oldestEventAgeMs(), 1500);
  assert.equal(sent.told(), "");
  assert.equal(counters.EventPutSuccessCount, 0);
  await take.commit();
  assert.equal(await sent.done, "OK");
  assert.equal(counters.EventPutSuccessCount, 3);
  assert.equal(counters.EventTakeSuccessCount, 3);
  assertEmpty(channel);
});

void test("what a put promised is with the next hop, and no file was ever touched [lost: direct | power cut | nothing; some twice]", async () => {
  const { channel, files } = await started();
  let nextHop = 0;
  let promised = 0;
  for (let from = 1; from <= 50; from += 5) {
    const sent = await send(channel, from, from + 4);
    const take = await lentTo(channel, 5);
    assert.equal(promised, nextHop, "nothing is promised while a delivery is under way");
    nextHop += take.batch.length;
    await take.commit();
    if ((await sent.done) === "OK") promised += 5;
  }
  assert.equal(promised, 50);
  assert.equal(files.operations, 0);
  assertEmpty(channel);
});

void test("an empty batch commits at once", async () => {
  const { channel } = await started();
  await (await channel.beginPut(EventBatch.empty)).commit();
  assertEmpty(channel);
});

void test("a batch that no sink takes within keep-alive is withdrawn: CHANNEL_FULL", async () => {
  const { channel, clock, counted } = await started({ "keep-alive": "3" });
  const first = await send(channel, 1, 2);
  await clock.advance(1000);
  const second = await send(channel, 3, 5);
  await clock.advance(1999);
  assert.deepEqual([first.told(), second.told()], ["", ""]);
  await clock.advance(1);
  assert.deepEqual([first.told(), second.told()], ["CHANNEL_FULL", ""]);
  assert.equal(channel.size, 3);
  const take = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(take.batch), [3, 4, 5], "what was withdrawn is never delivered");
  await take.commit();
  assert.equal(await second.done, "OK");
  assert.deepEqual(counted(), { withdrawn: 2, late: 0, duplicates: 0 });
  assertEmpty(channel);
});

void test("with keep-alive 0 a batch is refused unless a sink waits for it", async () => {
  const { channel } = await started({ "keep-alive": "0" });
  assert.equal(await (await send(channel, 1, 1)).done, "CHANNEL_FULL");
  const taking = channel.beginTake(5);
  const sent = await send(channel, 2, 2);
  const take = await taking;
  assert.deepEqual(numbersOf(take.batch), [2]);
  await take.commit();
  assert.equal(await sent.done, "OK");
  assertEmpty(channel);
});

void test("a slow taker: the sender is told CHANNEL_TIMEOUT in time, a later success is a counted duplicate", async () => {
  const { channel, clock, counted, counters } = await started({ answerTimeout: "8" });
  const sent = await send(channel, 1, 4);
  const take = await lentTo(channel, 10);
  await clock.advance(7999);
  assert.equal(sent.told(), "");
  await clock.advance(1);
  assert.equal(sent.told(), "CHANNEL_TIMEOUT");
  assert.equal(channel.size, 0, "nobody waits for it any more");
  assert.ok(channel.bytes > 0, "the sink still holds it");
  assert.deepEqual(counted(), { withdrawn: 0, late: 4, duplicates: 0 });
  await take.commit();
  assert.deepEqual(counted(), { withdrawn: 0, late: 4, duplicates: 4 });
  assert.equal(counters.EventPutSuccessCount, 0);
  assert.equal(counters.EventTakeSuccessCount, 4);
  assertEmpty(channel);
});

void test("a slow taker that rolls back afterwards: the events are dropped, their sender was told no", async () => {
  const { channel, clock, counted } = await started();
  const late = await send(channel, 1, 2);
  const take = await lentTo(channel, 2);
  await clock.advance(7000);
  const fresh = await send(channel, 3, 3);
  await clock.advance(1000);
  assert.deepEqual([late.told(), fresh.told()], ["CHANNEL_TIMEOUT", ""]);
  await take.rollback();
  const next = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(next.batch), [3]);
  await next.commit();
  assert.equal(await fresh.done, "OK");
  assert.deepEqual(counted(), { withdrawn: 0, late: 2, duplicates: 0 });
  assertEmpty(channel);
});

void test("what was delivered of a batch before it was late counts as possibly twice too", async () => {
  const { channel, clock, counted } = await started();
  const sent = await send(channel, 1, 10);
  const first = await lentTo(channel, 4);
  const second = await lentTo(channel, 3);
  await first.commit();
  await clock.advance(8000);
  assert.equal(await sent.done, "CHANNEL_TIMEOUT");
  assert.deepEqual(counted(), { withdrawn: 0, late: 10, duplicates: 4 });
  const waiting = channel.beginTake(10);
  assert.ok(await isPending(waiting), "the part that nobody held is withdrawn");
  await second.commit([{ from: 1, to: 2 }]);
  assert.equal(counted().duplicates, 5);
  assert.ok(await isPending(waiting), "the rest is dropped");
  await channel.stop(never);
  assert.equal((await waiting).batch.length, 0);
  assertEmpty(channel);
});

void test("waiting puts are joined into one take, up to its size", async () => {
  const { channel } = await started();
  const busy = await send(channel, 1, 1);
  const underWay = await lentTo(channel, 100);
  const small = [];
  for (let n = 2; n <= 31; n++) small.push(await send(channel, n, n));
  await underWay.commit();
  assert.equal(await busy.done, "OK");
  const joined = await lentTo(channel, 25);
  assert.deepEqual(numbersOf(joined.batch), numbers(2, 26));
  await joined.commit();
  await settle(1);
  assert.equal(small.filter(({ told }) => told() === "OK").length, 25);
  const rest = await lentTo(channel, 25);
  assert.deepEqual(numbersOf(rest.batch), numbers(27, 31));
  await rest.commit();
  assertEmpty(channel);
});

void test("a batch that fits into a take is not cut; a larger one is answered after its last part", async () => {
  const { channel } = await started();
  const a = await send(channel, 1, 6);
  const b = await send(channel, 7, 12);
  const c = await send(channel, 13, 37);
  const first = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(first.batch), numbers(1, 6));
  const second = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(second.batch), numbers(7, 12));
  const parts = [];
  for (let i = 0; i < 3; i++) parts.push(await lentTo(channel, 10));
  assert.deepEqual(parts.map(({ batch }) => batch.length), [10, 10, 5]); // prettier-ignore
  await second.commit();
  assert.equal(await b.done, "OK", "another sink's batch is not waited for");
  assert.equal(a.told(), "");
  await first.commit();
  await parts[2]?.commit();
  await parts[0]?.commit();
  await settle(1);
  assert.deepEqual([a.told(), c.told()], ["OK", ""]);
  await parts[1]?.commit();
  assert.equal(await c.done, "OK");
  assertEmpty(channel);
});

void test("what a sink did not settle is offered again, in its place, until the put's answerTimeout", async () => {
  const { channel, clock } = await started({ "keep-alive": "1" });
  const a = await send(channel, 1, 3);
  const b = await send(channel, 4, 5);
  const take = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(take.batch), numbers(1, 5));
  await take.commit([{ from: 0, to: 1 }, { from: 2, to: 4 }]); // prettier-ignore
  await settle(1);
  assert.deepEqual([a.told(), b.told()], ["", ""]);
  assert.equal(channel.size, 2);
  await clock.advance(7999);
  assert.deepEqual([a.told(), b.told()], ["", ""], "keep-alive is for what no sink ever took");
  const again = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(again.batch), [2, 5]);
  await again.commit([{ from: 1, to: 2 }]);
  assert.equal(await b.done, "OK");
  await clock.advance(1);
  assert.equal(a.told(), "CHANNEL_TIMEOUT");
  assertEmpty(channel);
});

void test("two sinks on one channel get different batches, and each put hears of its own", async () => {
  const { channel } = await started();
  const one = channel.beginTake(10);
  const two = channel.beginTake(10);
  const a = await send(channel, 1, 2);
  const b = await send(channel, 3, 4);
  const [first, second] = await Promise.all([one, two]);
  assert.deepEqual([numbersOf(first.batch), numbersOf(second.batch)], [[1, 2], [3, 4]]); // prettier-ignore
  await second.commit();
  assert.equal(await b.done, "OK");
  assert.equal(a.told(), "");
  await first.rollback();
  const again = await lentTo(channel, 10);
  await again.commit();
  assert.equal(await a.done, "OK");
  assertEmpty(channel);
});

void test("answerTimeout counts from beginPut, also for a put that is not committed yet", async () => {
  const { channel, clock, counted } = await started({ answerTimeout: "8", capacity: "20", transactionCapacity: "20" }); // prettier-ignore
  const slow = await channel.beginPut(numberedBatch(1, 10));
  const forgotten = await channel.beginPut(numberedBatch(11, 20));
  await clock.advance(8000);
  await assert.rejects(slow.commit(), { code: "CHANNEL_TIMEOUT" });
  const sent = await send(channel, 21, 40);
  await forgotten.rollback();
  const take = await lentTo(channel, 20);
  assert.deepEqual(numbersOf(take.batch), numbers(21, 40), "its room was given to another");
  await take.commit();
  assert.equal(await sent.done, "OK");
  assert.equal(counted().late, 20);
  assertEmpty(channel);
});

void test("events that a sink still holds of refused batches keep their room", async () => {
  const { channel, clock } = await started({ capacity: "4", transactionCapacity: "4" });
  const late = await send(channel, 1, 4);
  const take = await lentTo(channel, 4);
  await clock.advance(8000);
  assert.equal(late.told(), "CHANNEL_TIMEOUT");
  const waiting = channel.beginPut(numberedBatch(5, 5));
  waiting.catch(() => {});
  await clock.advance(3000);
  await assert.rejects(waiting, (error: MillraceError) => {
    assert.equal(error.code, "CHANNEL_FULL");
    assert.match(error.message, /4 of 4 events/);
    return true;
  });
  await take.rollback();
  await (await channel.beginPut(numberedBatch(6, 6))).rollback();
  assertEmpty(channel);
});

void test("a withdrawn batch makes room for one that waits", async () => {
  const { channel, clock } = await started({ capacity: "4", transactionCapacity: "4" });
  const first = await send(channel, 1, 4);
  await clock.advance(1000);
  const waiting = channel.beginPut(numberedBatch(5, 8));
  await clock.advance(2000);
  assert.equal(first.told(), "CHANNEL_FULL");
  await (await waiting).rollback();
  assertEmpty(channel);
});

void test("byteCapacity counts the events' bytes; a batch over it is TRANSACTION_TOO_LARGE", async () => {
  const { channel, clock } = await started({ byteCapacity: "1000" });
  const batch = (bytes: number): EventBatch =>
    EventBatch.fromEvents([{ body: Buffer.alloc(bytes) }]);
  await assert.rejects(channel.beginPut(batch(1000)), { code: "TRANSACTION_TOO_LARGE" });
  const held = await channel.beginPut(batch(600));
  assert.equal(channel.bytes, batch(600).byteLength);
  const waiting = channel.beginPut(batch(600));
  waiting.catch(() => {});
  await clock.advance(3000);
  await assert.rejects(waiting, { code: "CHANNEL_FULL" });
  await held.rollback();
  assertEmpty(channel);
});

void test("byteCapacity is a quarter of the heap limit when not set, and no limit when 0", async () => {
  const { channel } = await started();
  assert.equal(channel.byteCapacity, Math.floor(getHeapStatistics().heap_size_limit / 4));
  assert.equal((await started({ byteCapacity: "0" })).channel.byteCapacity, Infinity);
});

void test("an aborted wait for room ends at once; an abort after that changes nothing", async () => {
  const { channel } = await started({ capacity: "2", transactionCapacity: "2" });
  const stop = new AbortController();
  const put = await channel.beginPut(numberedBatch(1, 2), stop.signal);
  const waiting = channel.beginPut(numberedBatch(3, 3), stop.signal);
  waiting.catch(() => {});
  stop.abort();
  await assert.rejects(waiting, { code: "CHANNEL_FULL" });
  const done = put.commit();
  const take = await lentTo(channel, 2);
  await take.commit();
  await done;
  assertEmpty(channel);
});

void test("a stop refuses a put in each of its states with CHANNEL_CLOSED", async () => {
  const { channel, clock, counted } = await started({ capacity: "9", transactionCapacity: "9" });
  const partly = await send(channel, 1, 4);
  const settled = await lentTo(channel, 1);
  await settled.commit();
  const lent = await lentTo(channel, 1);
  const returned = await lentTo(channel, 1);
  await returned.rollback();
  const untaken = await send(channel, 5, 6);
  const granted = await channel.beginPut(numberedBatch(7, 8));
  const waiting = channel.beginPut(numberedBatch(9, 12));
  waiting.catch(() => {});
  await channel.stop(AbortSignal.abort());
  assert.deepEqual(await Promise.all([partly.done, untaken.done]), ["CHANNEL_CLOSED", "CHANNEL_CLOSED"]); // prettier-ignore
  await assert.rejects(waiting, { code: "CHANNEL_CLOSED" });
  await assert.rejects(granted.commit(), { code: "CHANNEL_CLOSED" });
  assert.equal(clock.timerCount, 0);
  assertEmpty(channel);
  assert.equal(counted().duplicates, 1, "what was delivered of a batch that was refused");
  await lent.commit();
  assert.equal(counted().duplicates, 2, "also when it is delivered after the stop");
  assertEmpty(channel);
});

void test("a channel that starts again owes nothing to takes of its earlier run", async () => {
  const { channel } = await started({ capacity: "5", transactionCapacity: "5" });
  await send(channel, 1, 5);
  const old = await lentTo(channel, 2);
  const other = await lentTo(channel, 2);
  await channel.stop(never);
  await channel.start(never);
  const sent = await send(channel, 6, 10);
  await old.rollback();
  await other.commit();
  const take = await lentTo(channel, 10);
  assert.deepEqual(numbersOf(take.batch), numbers(6, 10));
  await take.commit();
  assert.equal(await sent.done, "OK");
  assertEmpty(channel);
});

void test("puts that are answered in time leave no timer behind but the two alarms", async () => {
  const { channel, clock } = await started();
  let most = 0;
  for (let n = 1; n <= 200; n++) {
    const sent = await send(channel, n, n);
    const take = await lentTo(channel, 1);
    await take.commit();
    assert.equal(await sent.done, "OK");
    most = Math.max(most, clock.timerCount);
  }
  assert.equal(most, 2);
  await clock.advance(8000);
  assert.equal(clock.timerCount, 0);
});

void test("ten thousand puts that nobody takes are withdrawn in their order", async () => {
  const { channel, clock, counted } = await started();
  const ends: number[] = [];
  for (let n = 1; n <= 10_000; n++) {
    const put = await channel.beginPut(numberedBatch(n, n));
    put.commit().catch(() => ends.push(n));
  }
  await clock.advance(3000);
  assert.deepEqual(ends, numbers(1, 10_000));
  assert.equal(counted().withdrawn, 10_000);
  assertEmpty(channel);
});

void test("the options that cannot be together are problems", () => {
  const problems = (properties: Record<string, string>) => {
    const parsed = parseOptions(options, new Map(Object.entries(properties)));
    return definition.check?.(parsed.options as never) ?? [];
  };
  assert.deepEqual(problems({}), []);
  assert.deepEqual(problems({ "keep-alive": "9" }).map(({ key }) => key), ["answerTimeout"]); // prettier-ignore
  assert.deepEqual(problems({ capacity: "5" }).map(({ key }) => key), ["transactionCapacity"]); // prettier-ignore
});

void test("what a take returns finds its place without a walk past all the rest of the take", async () => {
  const { channel } = await started();
  const puts = 200;
  for (let n = 1; n <= puts; n++) await send(channel, n, n);
  const take = await lentTo(channel, puts);
  assert.ok(take instanceof DirectTake);
  const first = take.pieces[0];
  assert.ok(first !== undefined);
  const { sequence } = first;
  let looks = 0;
  Object.defineProperty(first, "sequence", { get: () => (looks++, sequence) });
  await take.rollback();
  assert.ok(looks > 0 && looks < 10, `the first piece was looked at ${looks} times`);
  assert.deepEqual(numbersOf((await lentTo(channel, puts)).batch), numbers(1, puts));
  await channel.stop(never);
});
