/** A direct channel beside others of one source, and behind the runners that put and take. */
import {
  type Channel,
  type ChannelProcessor,
  type ChannelSelector,
  createChannelProcessor,
  createSinkCounters,
  createSinkRunner,
  type EventBatch,
  MillraceError,
  noMetrics,
  type Sink,
  type SinkRunner,
  type TakeTransaction,
} from "@millrace/core";
import {
  createArrayChannel,
  createCollectingLog,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  numberedBatch,
  numbers,
  numbersOf,
  settle,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEmpty, lentTo, never, started } from "./direct-under-test.test.ts";

/** A source whose batches go to all of the channels. */
function sourceOf(clock: FakeClock, ...channels: readonly Channel[]): ChannelProcessor {
  const selector: ChannelSelector = (batch) => ({
    required: new Map(channels.map((channel) => [channel, batch])),
    optional: new Map(),
    unmatched: 0,
  });
  const log = createCollectingLog();
  return createChannelProcessor({
    interceptors: [],
    selector,
    metrics: noMetrics,
    clock,
    log,
    keepAliveMs: 3000,
  });
}

/** "" while the sender waits, then "OK" or the code. */
function process(source: ChannelProcessor, batch: EventBatch): () => string {
  let told = "";
  source.processEventBatch(batch).then(
    () => (told = "OK"),
    (error: unknown) => (told = error instanceof MillraceError ? error.code : String(error)),
  );
  return () => told;
}

async function startedArray(clock: FakeClock, name: string, durable: boolean): Promise<Channel> {
  const channel = createArrayChannel(clock, { name, durable });
  await channel.start(never);
  return channel;
}

async function takeNumbers(channel: Channel): Promise<number[]> {
  const take = await lentTo(channel, 100);
  await take.commit();
  return numbersOf(take.batch);
}

void test("in a fan-out the sender hears OK after the delivery, and memory shows the batch then", async () => {
  const { channel, clock } = await started();
  const memory = await startedArray(clock, "a-memory", false);
  const file = await startedArray(clock, "z-file", true);
  const told = process(sourceOf(clock, memory, channel, file), numberedBatch(1, 3));
  await settle();
  assert.deepEqual([channel.size, file.size, memory.size, told()], [3, 3, 0, ""]);
  const take = await lentTo(channel, 100);
  await clock.advance(5000);
  assert.equal(told(), "", "the fan-out's keep-alive is for room, not for deliveries");
  assert.equal(memory.size, 0);
  await take.commit();
  await settle();
  assert.equal(told(), "OK");
  assert.deepEqual(await takeNumbers(memory), [1, 2, 3]);
  assertEmpty(channel);
});

for (const { name, take, want } of [
  { name: "withdraws", take: false, want: "CHANNEL_FULL" },
  { name: "is late with", take: true, want: "CHANNEL_TIMEOUT" },
]) {
  void test(`when a direct channel ${name} a batch, memory has none of it and a file channel all; the retry is its duplicate`, async () => {
    const { channel, clock } = await started();
    const memory = await startedArray(clock, "memory", false);
    const file = await startedArray(clock, "file", true);
    const source = sourceOf(clock, channel, memory, file);
    const first = process(source, numberedBatch(1, 3));
    await settle();
    const stuck = take ? await lentTo(channel, 3) : undefined;
    await clock.advance(8000);
    assert.equal(first(), want);
    await stuck?.rollback();
    assert.deepEqual([memory.size, file.size], [0, 3]);

    const second = process(source, numberedBatch(1, 3));
    await settle();
    assert.deepEqual(await takeNumbers(channel), [1, 2, 3]);
    await settle();
    assert.equal(second(), "OK");
    assert.deepEqual(await takeNumbers(memory), [1, 2, 3]);
    assert.deepEqual(await takeNumbers(file), [1, 2, 3, 1, 2, 3]);
    assertEmpty(channel);
  });
}

void test("when a file channel fails after the delivery, the retry is a duplicate at the next hop and nothing is lost", async () => {
  const { channel, clock } = await started();
  const file = await startedArray(clock, "file", true);
  let fails = true;
  const failing: Channel = {
    name: "file",
    durable: true,
    size: 0,
    start: (aborted) => file.start(aborted),
    stop: (deadline) => file.stop(deadline),
    beginTake: (max, signal) => file.beginTake(max, signal),
    async beginPut(batch, signal) {
      const put = await file.beginPut(batch, signal);
      if (!fails) return put;
      fails = false;
      return {
        async commit() {
          await put.rollback();
          throw new MillraceError("WRITE_FAILED", "EIO");
        },
        rollback: () => put.rollback(),
      };
    },
  };
  const source = sourceOf(clock, channel, failing);
  const first = process(source, numberedBatch(1, 2));
  await settle();
  assert.equal(first(), "", "all durable channels are awaited");
  assert.deepEqual(await takeNumbers(channel), [1, 2]);
  await settle();
  assert.equal(first(), "WRITE_FAILED");
  const second = process(source, numberedBatch(1, 2));
  await settle();
  assert.deepEqual(await takeNumbers(channel), [1, 2]);
  await settle();
  assert.equal(second(), "OK");
  assert.deepEqual(await takeNumbers(file), [1, 2]);
  assertEmpty(channel);
});

void test("a full channel of a fan-out leaves nothing in a direct one", async () => {
  const { channel, clock } = await started();
  const full = createArrayChannel(clock, { name: "z-full", durable: true, capacity: 1 });
  await full.start(never);
  const told = process(sourceOf(clock, channel, full), numberedBatch(1, 2));
  await clock.advance(3000);
  assert.equal(told(), "CHANNEL_FULL");
  assertEmpty(channel);
});

/** A sink whose deliveries end when the test says how; it notes what it was given. */
function createHeldSink() {
  const delivered: number[] = [];
  let end: ((error?: Error) => void) | undefined;
  const sink: Sink = {
    batchSize: 10,
    deliveriesInFlight: 1,
    start: async () => {},
    stop: async () => {},
    deliver: (batch, giveUp) =>
      new Promise((resolve, reject) => {
        end = (error) => {
          end = undefined;
          if (error !== undefined) return reject(error);
          delivered.push(...numbersOf(batch));
          resolve();
        };
        giveUp.addEventListener("abort", () => end?.(new MillraceError("RPC_TIMEOUT", "given up")));
      }),
  };
  return {
    sink,
    delivered,
    busy: () => end !== undefined,
    async end(error?: Error): Promise<void> {
      assert.ok(end !== undefined, "a delivery is under way");
      end(error);
      await settle();
    },
  };
}

async function runnerOf(channel: Channel, sink: Sink, clock: FakeClock): Promise<SinkRunner> {
  const runner = createSinkRunner({
    ...{ name: "k1", sink, channel, clock, metrics: noMetrics },
    random: createSeededRandom(1),
    log: createCollectingLog(),
    counters: createSinkCounters(),
  });
  await runner.start(never);
  return runner;
}

void test("the receiver is killed: senders hear no, and after it is back nothing is missing", async () => {
  const { channel, clock, counted } = await started();
  const held = createHeldSink();
  const runner = await runnerOf(channel, held.sink, clock);
  const source = sourceOf(clock, channel);
  const first = process(source, numberedBatch(1, 3));
  await settle();
  await held.end(new MillraceError("RPC_CONNECTION_LOST", "killed"));
  const second = process(source, numberedBatch(4, 5));
  for (let down = 0; down < 20; down++) {
    await clock.advance(500);
    if (held.busy()) await held.end(new MillraceError("RPC_CONNECT_FAILED", "down"));
  }
  assert.equal(first(), "CHANNEL_TIMEOUT", "what the sink took and keeps trying");
  assert.equal(second(), "CHANNEL_FULL", "what it never took");
  const again = [process(source, numberedBatch(1, 3)), process(source, numberedBatch(4, 5))];
  for (let rounds = 0; rounds < 40 && again.some((told) => told() === ""); rounds++) {
    await clock.advance(250);
    if (held.busy()) await held.end();
  }
  assert.deepEqual(again.map((told) => told()), ["OK", "OK"]); // prettier-ignore
  assert.deepEqual(held.delivered, [1, 2, 3, 1, 2, 3, 4, 5]);
  assert.deepEqual(counted(), { withdrawn: 2, late: 3, duplicates: 3 });
  await runner.stop(never);
  assertEmpty(channel);
});

void test("an agent that stops: sources wait for their batches while sinks run [lost: direct | agent stops | nothing]", async () => {
  const { channel, clock } = await started();
  const held = createHeldSink();
  const runner = await runnerOf(channel, held.sink, clock);
  const source = sourceOf(clock, channel);
  const told = [process(source, numberedBatch(1, 2)), process(source, numberedBatch(3, 4))];
  await settle();
  // Sources have stopped taking; their handlers wait for these two.
  await held.end();
  await held.end();
  assert.deepEqual(told.map((one) => one()), ["OK", "OK"]); // prettier-ignore
  await runner.drain(never);
  await runner.stop(never);
  await channel.stop(never);
  assert.deepEqual(held.delivered, numbers(1, 4));
  assertEmpty(channel);
});

void test("at the stop's deadline what is under way is given up, and its sender hears no, not OK", async () => {
  const { channel, clock } = await started();
  const held = createHeldSink();
  const runner = await runnerOf(channel, held.sink, clock);
  const source = sourceOf(clock, channel);
  const told = [process(source, numberedBatch(1, 2)), process(source, numberedBatch(3, 4))];
  await settle();
  const deadline = new AbortController();
  const drained = runner.drain(deadline.signal);
  await settle();
  assert.ok(held.busy());
  deadline.abort();
  await drained;
  await runner.stop(deadline.signal);
  assert.equal(channel.size, 4, "the runner gave its batch back");
  await channel.stop(deadline.signal);
  await settle();
  assert.deepEqual(told.map((one) => one()), ["CHANNEL_CLOSED", "CHANNEL_CLOSED"]); // prettier-ignore
  assert.deepEqual(held.delivered, []);
  assertEmpty(channel);
});

void test("a drain of a direct channel does not wait for batches that nobody put", async () => {
  const { channel, clock } = await started();
  const held = createHeldSink();
  const runner = await runnerOf(channel, held.sink, clock);
  await runner.drain(never);
  await runner.stop(never);
  const none: TakeTransaction = await channel.beginTake(1, AbortSignal.abort());
  assert.equal(none.batch.length, 0);
  assertEmpty(channel);
});

void test("without a sink every batch is refused after keep-alive", async () => {
  const clock = createFakeClock();
  const { channel } = await started({ "keep-alive": "2" }, clock);
  const told = process(sourceOf(clock, channel), numberedBatch(1, 1));
  await clock.advance(2000);
  assert.equal(told(), "CHANNEL_FULL");
  assertEmpty(channel);
});
