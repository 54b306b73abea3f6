import { type Channel, EventBatch, systemRuntime } from "@millrace/core";
import {
  channelContext,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  settle,
} from "@millrace/testing";
import { AssertionError } from "node:assert";
import assert from "node:assert/strict";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

async function started(properties: Record<string, string> = {}) {
  const clock = createFakeClock();
  const runtime = { clock, random: createSeededRandom(1), files: systemRuntime.files };
  const context = channelContext({ runtime });
  const channel = await definition.create(optionsOf(options, properties), context);
  await channel.start(never);
  const lost = (reason: string) =>
    context.metrics.value("millrace_events_discarded_total", { reason, intended: "false" });
  return { channel, clock, context, lost };
}

async function take(channel: Channel, max: number): Promise<number[]> {
  const lent = await channel.beginTake(max);
  await lent.commit();
  return numbersOf(lent.batch);
}

test("a put can be taken before it is committed, and in order", async () => {
  const { channel, context } = await started();
  const put = await channel.beginPut(numberedBatch(1, 3));
  assert.equal(channel.size, 3);
  assert.deepEqual([...(await take(channel, 2)), ...(await take(channel, 2))], [1, 2, 3]);
  await put.commit();
  assert.deepEqual([channel.size, channel.durable], [0, false]);
  const { EventPutSuccessCount, EventTakeSuccessCount } = context.counters;
  assert.deepEqual([EventPutSuccessCount, EventTakeSuccessCount], [3, 3]);
});

test("a put that is rolled back stays put", async () => {
  const { channel } = await started();
  await (await channel.beginPut(numberedBatch(1, 3))).rollback();
  assert.deepEqual(await take(channel, 5), [1, 2, 3]);
});

test("what a sink gives back is lost, counted and logged", async () => {
  const { channel, context, lost } = await started();
  await (await channel.beginPut(numberedBatch(1, 10))).commit();
  await (await channel.beginTake(3)).rollback();
  assert.equal(channel.size, 7);
  await (await channel.beginTake(4)).commit([{ from: 1, to: 2 }]);
  assert.equal(lost("pseudotxn_channel_returned"), 6);
  assert.match(
    context.log.lines[0]?.message ?? "",
    /^3 events that a sink gave back to c1 are lost/,
  );
  assert.deepEqual(await take(channel, 10), [8, 9, 10]);
});

test("a put of more events than the capacity goes in as sinks take, behind those that came before", async () => {
  const { channel } = await started({ capacity: "4" });
  const large = channel.beginPut(numberedBatch(1, 10));
  const small = channel.beginPut(numberedBatch(11, 11));
  const all: number[] = [];
  while (all.length < 11) {
    all.push(...(await take(channel, 3)));
    assert.ok(channel.size <= 4, `${channel.size} events are within the capacity`);
  }
  assert.deepEqual(all, numbers(1, 11));
  await (await large).commit();
  await (await small).commit();
});

test("a put without room is CHANNEL_FULL after keep-alive, and what it stored stays", async () => {
  const { channel, clock } = await started({ capacity: "4", "keep-alive": "2" });
  const late = assert.rejects(channel.beginPut(numberedBatch(1, 6)), {
    code: "CHANNEL_FULL",
    message: /had room for 4 of 6 events/,
  });
  await clock.advance(2000);
  await late;
  assert.deepEqual(await take(channel, 10), [1, 2, 3, 4]);
  const stop = new AbortController();
  await channel.beginPut(numberedBatch(1, 4));
  const aborted = assert.rejects(channel.beginPut(numberedBatch(5, 5), stop.signal), {
    code: "CHANNEL_FULL",
  });
  stop.abort();
  await aborted;
});

test("a take waits for an event, and is empty after keep-alive, at an abort and at a stop", async () => {
  const { channel, clock } = await started();
  const first = take(channel, 5);
  const second = take(channel, 5);
  await settle();
  await channel.beginPut(numberedBatch(1, 1));
  assert.deepEqual(await first, [1]);
  await clock.advance(3000);
  assert.deepEqual(await second, []);
  const stop = new AbortController();
  const aborted = channel.beginTake(5, stop.signal);
  stop.abort();
  assert.equal((await aborted).batch.length, 0);
  const waiting = take(channel, 5);
  await channel.stop(never);
  assert.deepEqual(await waiting, []);
  assert.deepEqual(await take(channel, 5), [], "after the stop too");
});

test("what is left at stop is counted as lost and logged [lost: pseudotxn | agent stops | what sinks gave back or could not take in time, counted]", async () => {
  const { channel, context, lost } = await started({ capacity: "5" });
  await channel.beginPut(numberedBatch(1, 5));
  const lent = await channel.beginTake(1);
  const refused = assert.rejects(channel.beginPut(numberedBatch(6, 8)), { code: "CHANNEL_CLOSED" });
  assert.equal(channel.size, 5, "one of the three has room");
  await channel.stop(never);
  await channel.stop(never);
  await refused;
  await lent.rollback();
  assert.deepEqual([lost("pseudotxn_channel_left_at_exit"), lost("pseudotxn_channel_returned")], [5, 1]); // prettier-ignore
  assert.match(context.log.lines[0]?.message ?? "", /stopped with 5 events in it: they are lost/);
  await assert.rejects(channel.beginPut(numberedBatch(1, 1)), { code: "CHANNEL_CLOSED" });
  await channel.start(never);
  assert.equal(channel.size, 0);
});

test("a transaction still ends once", async () => {
  const { channel } = await started();
  const put = await channel.beginPut(numberedBatch(1, 1));
  await put.commit();
  await assert.rejects(async () => put.rollback(), AssertionError);
  const lent = await channel.beginTake(1);
  await lent.rollback();
  await assert.rejects(async () => lent.commit(), AssertionError);
});

test("an event in it keeps no large batch alive", async () => {
  const { channel, context } = await started();
  const large = EventBatch.fromEvents(
    Array.from({ length: 50 }, () => ({ body: Buffer.alloc(10_000) })),
  );
  await channel.beginPut(large.slice(3, 4));
  const bytes = context.metrics.value("millrace_channel_bytes") ?? 0;
  assert.ok(bytes > 10_000 && bytes < 10_100, `${bytes} bytes for one of them`);
});

test("check says that it is for tests, and its guarantee that a take cannot be taken back", () => {
  const [note] = definition.notes?.(optionsOf(options, {}), []) ?? [];
  assert.match(note?.message ?? "", /is for tests/);
  assert.match(definition.guarantee?.lostIf ?? "", /gives events back/);
  assert.deepEqual(optionsOf(options, {}), { capacity: 50, keepAliveSeconds: 3 });
});
