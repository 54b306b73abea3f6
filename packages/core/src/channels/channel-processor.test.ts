import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CollectingLog,
  type CollectingMetrics,
  createArrayChannel,
  createCollectingLog,
  createCollectingMetrics,
  createFakeClock,
  type FakeClock,
  numberedBatch,
  numbersOf,
} from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import { EventBatch } from "../events/event-batch.ts";
import type { ChannelProcessor, Interceptor } from "../sources/source.ts";
import type { Channel } from "./channel.ts";
import { createChannelProcessor } from "./channel-processor.ts";
import type { ChannelSelector } from "./channel-selector.ts";

const never = new AbortController().signal;
const discarded = "millrace_events_discarded_total";

interface Given {
  readonly clock: FakeClock;
  readonly log: CollectingLog;
  readonly metrics: CollectingMetrics;
  processor(selector: ChannelSelector, interceptors?: readonly Interceptor[]): ChannelProcessor;
  /** A started channel, which writes what happens to it into `journal`. */
  channel(name: string, options?: FakeOptions): Promise<Channel>;
  readonly journal: string[];
}
interface FakeOptions {
  readonly durable?: boolean;
  readonly capacity?: number;
  readonly beginFails?: Error;
  readonly commitFails?: Error;
}

function given(): Given {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const metrics = createCollectingMetrics();
  const journal: string[] = [];
  return {
    clock,
    log,
    metrics,
    journal,
    processor: (selector, interceptors = []) =>
      createChannelProcessor({
        interceptors,
        selector,
        metrics,
        clock,
        log,
        keepAliveMs: 3000,
      }),
    async channel(name, { beginFails, commitFails, ...options } = {}) {
      const inner = createArrayChannel(clock, { name, ...options });
      await inner.start(never);
      return {
        ...inner,
        get size() {
          return inner.size;
        },
        async beginPut(batch, signal) {
          journal.push(`ask ${name}`);
          if (beginFails !== undefined) throw beginFails;
          const put = await inner.beginPut(batch, signal);
          journal.push(`room ${name}`);
          return {
            async commit() {
              if (commitFails !== undefined) {
                journal.push(`fail ${name}`);
                await put.rollback();
                throw commitFails;
              }
              await put.commit();
              journal.push(`commit ${name}`);
            },
            async rollback() {
              await put.rollback();
              journal.push(`rollback ${name}`);
            },
          };
        },
      };
    },
  };
}

const replicating =
  (required: readonly Channel[], optional: readonly Channel[] = []): ChannelSelector =>
  (batch) => ({
    required: new Map(required.map((channel) => [channel, batch])),
    optional: new Map(optional.map((channel) => [channel, batch])),
    unmatched: 0,
  });

async function held(channel: Channel): Promise<number[]> {
  if (channel.size === 0) return [];
  const take = await channel.beginTake(100);
  await take.rollback();
  return numbersOf(take.batch);
}

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof MillraceError && error.code === expected;

void test("required and optional channels both receive a batch (T056)", async () => {
  const { channel, processor } = given();
  const [a, b] = [await channel("a"), await channel("b")];
  await processor(replicating([a], [b])).processEventBatch(numberedBatch(1, 3));
  assert.deepEqual(await held(a), [1, 2, 3]);
  assert.deepEqual(await held(b), [1, 2, 3]);
});

void test("what a channel throws reaches the caller as it is (T054)", async () => {
  const { channel, processor } = given();
  const full = new MillraceError("CHANNEL_FULL", "no room");
  const a = await channel("a", { beginFails: full });
  await assert.rejects(
    processor(replicating([a])).processEventBatch(numberedBatch(1, 1)),
    (error) => error === full,
  );
});

void test("an error that is not ours is wrapped once, with its cause", async () => {
  const { channel, processor } = given();
  const strange = new TypeError("x is not a function");
  const a = await channel("a", { commitFails: strange });
  const b = await channel("b");
  for (const channels of [[a], [a, b]]) {
    await assert.rejects(
      processor(replicating(channels)).processEventBatch(numberedBatch(1, 1)),
      (error) => code("UNEXPECTED")(error) && (error as Error).cause === strange,
    );
  }
});

void test("an empty batch begins no transaction and runs no interceptor", async () => {
  const { channel, processor, journal } = given();
  const a = await channel("a");
  const fail: Interceptor = () => assert.fail("not asked");
  await processor(replicating([a]), [fail]).processEventBatch(EventBatch.empty);
  assert.deepEqual(journal, []);
});

void test("room is asked for in the order of names, then durable channels commit first", async () => {
  const { channel, processor, journal, clock } = given();
  const d = await channel("d", { durable: true });
  const c = await channel("c");
  const b = await channel("b", { durable: true });
  const a = await channel("a");
  await processor(replicating([d, c, b, a])).processEventBatch(numberedBatch(1, 2));
  const rooms = journal.slice(0, 8);
  assert.deepEqual(
    rooms,
    ["a", "b", "c", "d"].flatMap((name) => [`ask ${name}`, `room ${name}`]),
  );
  const commits = journal.slice(8);
  assert.deepEqual(commits, ["commit b", "commit d", "commit a", "commit c"]);
  assert.equal(clock.timerCount, 0, "the keep-alive timer is gone");
});

void test("a channel that refuses leaves nothing in any other", async () => {
  const { channel, processor, clock, journal, log } = given();
  const a = await channel("a", { durable: true });
  const b = await channel("b", { capacity: 2 });
  const c = await channel("c");
  const { processEventBatch } = processor(replicating([a, b, c]));
  const failed = assert.rejects(processEventBatch(numberedBatch(1, 3)), code("CHANNEL_FULL"));
  await clock.advance(3000);
  await failed;
  assert.deepEqual(journal, ["ask a", "room a", "ask b", "rollback a"]);
  for (const one of [a, b, c]) assert.equal(one.size, 0);
  assert.equal(clock.timerCount, 0, "the keep-alive timer is gone");
  assert.deepEqual(log.lines, []);
  await processEventBatch(numberedBatch(4, 5));
  assert.deepEqual(await held(c), [4, 5]);
});

void test("one keep-alive covers the waits for all channels together", async () => {
  const { channel, processor, clock } = given();
  const [a, b] = [await channel("a", { capacity: 1 }), await channel("b", { capacity: 1 })];
  const { processEventBatch } = processor(replicating([a, b]));
  await processEventBatch(numberedBatch(1, 1));
  let end: unknown;
  processEventBatch(numberedBatch(2, 2)).catch((error: unknown) => (end = error));
  await clock.advance(2000);
  await (await a.beginTake(1)).commit();
  await clock.advance(999);
  assert.equal(end, undefined, "a gave room after 2 s; b is waited for in what is left of 3 s");
  await clock.advance(1);
  assert.ok(code("CHANNEL_FULL")(end));
  assert.equal(a.size, 0, "the room that a had given is free again");
});

void test("two batches that cross wait for each other's room without a deadlock", async () => {
  const { channel, processor, clock } = given();
  const [a, b] = [await channel("a", { capacity: 1 }), await channel("b", { capacity: 1 })];
  const one = processor(replicating([a, b]));
  const other = processor(replicating([b, a]));
  const both = Promise.all([
    one.processEventBatch(numberedBatch(1, 1)),
    other.processEventBatch(numberedBatch(2, 2)),
  ]);
  await clock.advance(10);
  for (const channel of [a, b]) await (await channel.beginTake(1)).commit();
  await both;
  assert.deepEqual([await held(a), await held(b)], [[2], [2]]);
});

void test("all durable commits are awaited when one fails, and the others are rolled back", async () => {
  const { channel, processor, journal } = given();
  const a = await channel("a", {
    durable: true,
    commitFails: new MillraceError("DISK_FULL", "no space"),
  });
  const b = await channel("b", { durable: true });
  const c = await channel("c");
  await assert.rejects(
    processor(replicating([a, b, c])).processEventBatch(numberedBatch(1, 1)),
    code("DISK_FULL"),
  );
  assert.deepEqual(journal.slice(6).sort(), ["commit b", "fail a", "rollback c"]);
});

void test("of several failed commits a fatal one is thrown", async () => {
  const { channel, processor } = given();
  const failing = (name: string, error: "DISK_FULL" | "CHANNEL_FAILED"): Promise<Channel> =>
    channel(name, { durable: true, commitFails: new MillraceError(error, name) });
  const channels = [await failing("a", "DISK_FULL"), await failing("b", "CHANNEL_FAILED")];
  await assert.rejects(
    processor(replicating(channels)).processEventBatch(numberedBatch(1, 1)),
    code("CHANNEL_FAILED"),
  );
});

void test("an optional channel that fails is counted and logged, and the batch is accepted", async () => {
  const { channel, processor, metrics, log } = given();
  const a = await channel("a");
  const b = await channel("b", { beginFails: new MillraceError("CHANNEL_FULL", "no room") });
  const c = await channel("c");
  await processor(replicating([a], [b, c])).processEventBatch(numberedBatch(1, 4));
  assert.deepEqual(await held(a), [1, 2, 3, 4]);
  assert.deepEqual(await held(c), [1, 2, 3, 4]);
  const labels = { reason: "optional_channel_failed", intended: "false" };
  assert.equal(metrics.value(discarded, labels), 4);
  assert.match(log.lines[0]?.message ?? "", /optional channel b .*CHANNEL_FULL/);
});

void test("optional channels are not tried when a required one failed", async () => {
  const { channel, processor, journal } = given();
  const a = await channel("a", { beginFails: new MillraceError("CHANNEL_CLOSED", "stopped") });
  const b = await channel("b");
  await assert.rejects(
    processor(replicating([a], [b])).processEventBatch(numberedBatch(1, 1)),
    code("CHANNEL_CLOSED"),
  );
  assert.deepEqual(journal, ["ask a"]);
});

void test("every discard reason is there at 0 from the start", () => {
  const { processor, metrics } = given();
  processor(replicating([]));
  for (const labels of [
    { reason: "unmatched_route", intended: "false" },
    { reason: "interceptor", intended: "true" },
    { reason: "optional_channel_failed", intended: "false" },
  ]) {
    assert.equal(metrics.value(discarded, labels), 0, labels.reason);
  }
});

void test("events without a route are counted, and said loudly once a minute", async () => {
  const { channel, processor, metrics, log, clock } = given();
  const a = await channel("a");
  const { processEventBatch } = processor((batch) => ({
    required: new Map([[a, batch.slice(0, 1)]]),
    optional: new Map(),
    unmatched: batch.length - 1,
  }));
  for (let i = 0; i < 5; i++) await processEventBatch(numberedBatch(1, 3));
  const labels = { reason: "unmatched_route", intended: "false" };
  assert.equal(metrics.value(discarded, labels), 10);
  assert.equal(a.size, 5);
  assert.deepEqual(
    log.lines.map(({ level, detail }) => [level, detail["events"]]),
    [["error", 2]],
  );
  await clock.advance(60_000);
  await processEventBatch(numberedBatch(1, 3));
  assert.equal(log.lines.length, 2);
  assert.equal(log.lines[1]?.detail["events"], 10, "the second line says how many since the first");
});

void test("what an interceptor drops is counted once the rest is stored", async () => {
  const { channel, processor, metrics } = given();
  const full = await channel("full", { beginFails: new MillraceError("CHANNEL_FULL", "") });
  const a = await channel("a");
  let target = full;
  const { processEventBatch } = processor(
    (batch) => replicating([target])(batch),
    [(batch) => batch.filter((_, i) => i % 2 === 0)],
  );
  const labels = { reason: "interceptor", intended: "true" };
  await assert.rejects(processEventBatch(numberedBatch(1, 4)));
  assert.equal(metrics.value(discarded, labels), 0, "a batch that failed will be sent again");
  target = a;
  await processEventBatch(numberedBatch(1, 4));
  assert.equal(metrics.value(discarded, labels), 2);
  assert.deepEqual(await held(a), [1, 3]);
});

void test("an interceptor may say what its events are counted as, from 0 at the start", async () => {
  const { channel, processor, metrics } = given();
  const a = await channel("a");
  const discards = { reason: "looped", intended: false };
  const drop = (to: number) => Object.assign((batch: EventBatch) => batch.slice(to), { discards });
  const { processEventBatch } = processor(replicating([a]), [
    drop(1),
    (batch) => batch.slice(1),
    drop(2),
  ]);
  const looped = { reason: "looped", intended: "false" };
  assert.equal(metrics.value(discarded, looped), 0);
  await processEventBatch(numberedBatch(1, 6));
  assert.equal(metrics.value(discarded, looped), 3, "those of one reason share a counter");
  assert.equal(metrics.value(discarded, { reason: "interceptor", intended: "true" }), 1);
  assert.deepEqual(await held(a), [5, 6]);
});

void test("one reason, meant by one interceptor and not by another, is two counters", async () => {
  const { channel, processor, metrics } = given();
  const a = await channel("a");
  const drop = (intended: boolean) => {
    const discards = { reason: "odd", intended };
    return Object.assign((batch: EventBatch) => batch.slice(intended ? 1 : 2), { discards });
  };
  await processor(replicating([a]), [drop(true), drop(false)]).processEventBatch(
    numberedBatch(1, 6),
  );
  assert.equal(metrics.value(discarded, { reason: "odd", intended: "true" }), 1);
  assert.equal(metrics.value(discarded, { reason: "odd", intended: "false" }), 2);
});

void test("a batch that interceptors empty is a success, and no selector is asked", async () => {
  const { processor, metrics } = given();
  const selector: ChannelSelector = () => assert.fail("not asked");
  await processor(selector, [() => EventBatch.empty]).processEventBatch(numberedBatch(1, 4));
  assert.equal(metrics.value(discarded, { reason: "interceptor", intended: "true" }), 4);
});

void test("interceptors run in order, and neighbouring edits make one pass (T491)", async () => {
  const { channel, processor } = given();
  const a = await channel("a");
  const seen: string[][] = [];
  const edit = (name: string, value: string, preserveExisting = false): Interceptor => ({
    edits: () => [{ name, value, preserveExisting }],
  });
  const look: Interceptor = async (batch) => {
    seen.push([...batch.at(0).headers].map(([name, value]) => `${name}=${value}`).sort());
    return batch;
  };
  const chain = [look, edit("x", "1"), edit("x", "2", true), edit("y", "3"), look, edit("x", "4")];
  await processor(replicating([a]), [...chain, look]).processEventBatch(numberedBatch(7, 7));
  assert.deepEqual(seen, [["n=7"], ["n=7", "x=1", "y=3"], ["n=7", "x=4", "y=3"]]);
});

void test("an interceptor that makes more events than it was given is a mistake", async () => {
  const { channel, processor } = given();
  const a = await channel("a");
  const twice: Interceptor = (batch) => EventBatch.join([batch, batch]);
  await assert.rejects(
    processor(replicating([a]), [twice]).processEventBatch(numberedBatch(1, 2)),
    /an interceptor made 4 events of 2/,
  );
  assert.equal(a.size, 0);
});

void test("parts of a batch that hold nothing begin no transaction", async () => {
  const { channel, processor, journal } = given();
  const [a, b] = [await channel("a"), await channel("b")];
  const selector: ChannelSelector = (batch) => ({
    required: new Map([
      [a, EventBatch.empty],
      [b, batch],
    ]),
    optional: new Map(),
    unmatched: 0,
  });
  await processor(selector).processEventBatch(numberedBatch(1, 2));
  assert.deepEqual(journal, ["ask b", "room b", "commit b"]);
});
