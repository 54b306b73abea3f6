import {
  type Channel,
  EventBatch,
  MillraceError,
  parseOptions,
  systemRuntime,
} from "@millrace/core";
import {
  channelContext,
  channelContract,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { EventQueue, type QueuedPiece } from "./event-queue.ts";
import { channel as definition } from "./index.ts";
import { createMemoryChannel } from "./memory-channel.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;
const slabBytes = 65_536;

function make(properties: Record<string, string> = {}) {
  const clock = createFakeClock();
  const context = channelContext({
    runtime: { clock, random: createSeededRandom(1), files: systemRuntime.files },
  });
  const channel = createMemoryChannel(optionsOf(options, properties), context);
  return { channel, clock, context, counters: context.counters };
}

async function started(properties: Record<string, string> = {}) {
  const made = make(properties);
  await made.channel.start(never);
  return made;
}

async function put(channel: Channel, batch: EventBatch): Promise<void> {
  await (await channel.beginPut(batch)).commit();
}

async function takeOut(channel: Channel, max: number): Promise<EventBatch> {
  const take = await channel.beginTake(max);
  await take.commit();
  return take.batch;
}

/** Events of `bytes` each on the wire, in one slab that holds nothing else. */
function eventsOf(count: number, bytes: number): EventBatch {
  const body = Buffer.alloc(bytes - 1 - (bytes > 8000 ? 3 : bytes > 65 ? 2 : 1), 7);
  return EventBatch.fromEvents(Array.from({ length: count }, () => ({ body }))).copy();
}

channelContract("the memory channel", ({ capacity, transactionCapacity, keepAliveMs }) =>
  make({
    capacity: String(capacity),
    transactionCapacity: String(transactionCapacity),
    "keep-alive": String(keepAliveMs / 1000),
  }),
);

test("1000 events put one by one while they are taken arrive in order, none is lost (T002)", async () => {
  const { channel } = await started();
  const taken: number[] = [];
  const consume = async (): Promise<void> => {
    while (taken.length < 1000) taken.push(...numbersOf(await takeOut(channel, 10)));
  };
  const produce = async (): Promise<void> => {
    for (let n = 1; n <= 1000; n++) await put(channel, numberedBatch(n, n));
  };
  await Promise.all([consume(), produce()]);
  assert.deepEqual(taken, numbers(1, 1000));
});

void test("limits by bytes are exact: the last batch that fits is stored, the next is CHANNEL_FULL (T041, T045)", async () => {
  const { channel, clock } = await started({ byteCapacity: "2000", "keep-alive": "1" });
  for (let i = 0; i < 4; i++) await put(channel, eventsOf(1, 408));
  assert.equal(channel.bytes, 1632);
  const late = channel.beginPut(eventsOf(1, 408));
  const refused = assert.rejects(late, { code: "CHANNEL_FULL" });
  await clock.advance(1000);
  await refused;
  await put(channel, eventsOf(1, 368));
  assert.equal(channel.bytes, 2000);
  await takeOut(channel, 5);
  await put(channel, EventBatch.fromEvents([{ body: Buffer.alloc(0) }]));
  assert.equal(channel.size, 1);
});

void test("room in bytes that was held and rolled back is free again (T042, T043)", async () => {
  const { channel } = await started({ byteCapacity: "1000" });
  for (let round = 0; round < 5; round++) {
    const held = await channel.beginPut(eventsOf(2, 500));
    assert.equal(channel.bytes, 1000);
    await held.rollback();
    assert.equal(channel.bytes, 0);
  }
  await put(channel, eventsOf(2, 500));
  assert.equal((await takeOut(channel, 2)).length, 2);
  assert.equal(channel.bytes, 0);
});

void test("a batch of more bytes than byteCapacity is TRANSACTION_TOO_LARGE at once", async () => {
  const { channel, context } = await started({ byteCapacity: "20000" });
  await assert.rejects(channel.beginPut(eventsOf(1, 20_001)), (error) => {
    assert.ok(error instanceof MillraceError);
    assert.equal(error.code, "TRANSACTION_TOO_LARGE");
    assert.match(error.message, /20001 bytes.*byteCapacity 20000.*c1/);
    return true;
  });
  await put(channel, eventsOf(1, 20_000));
  assert.equal(context.metrics.value("millrace_channel_bytes"), 20_000);
});

void test("a take that waits gets what a partial commit returns", async () => {
  const { channel } = await started();
  await put(channel, numberedBatch(1, 3));
  const first = await channel.beginTake(3);
  const waiting = channel.beginTake(3);
  await first.commit([{ from: 0, to: 2 }]);
  assert.deepEqual(numbersOf((await waiting).batch), [3]);
});

test("a slab that several batches share is counted once, until its last event is settled", async () => {
  const { channel } = await started({ capacity: "1000" });
  const whole = eventsOf(100, 1000);
  await put(channel, whole.slice(0, 50));
  assert.equal(channel.bytes, 100_000);
  await put(channel, whole.slice(50, 100));
  assert.equal(channel.bytes, 100_000);
  const first = await channel.beginTake(70);
  const second = await channel.beginTake(70);
  assert.deepEqual([first.batch.length, second.batch.length], [70, 30]);
  await first.commit();
  assert.equal(channel.bytes, 100_000);
  await second.commit();
  assert.equal(channel.bytes, 0);
});

void test("a batch that keeps alive over twice its bytes is copied when it is put", async () => {
  const { channel } = await started();
  await put(channel, eventsOf(100, 1000).slice(10, 40));
  assert.equal(channel.bytes, 30_000);
  assert.equal((await takeOut(channel, 100)).heldBytes, 30_000);
});

test("a batch that would fit but for the slab it lies in is copied when it is put", async () => {
  const { channel } = await started({ byteCapacity: "100000" });
  await put(channel, eventsOf(120, 1000).slice(0, 70));
  assert.equal(channel.bytes, 70_000);
});

void test("small puts are copied together into slabs of 64 KiB, in the order of their commits", async () => {
  const { channel } = await started({ capacity: "1000" });
  const puts = [];
  for (let n = 1; n <= 300; n++) puts.push(await channel.beginPut(numberedBatch(n, n)));
  assert.equal(channel.bytes, slabBytes);
  for (const transaction of puts.slice(150)) await transaction.commit();
  for (const transaction of puts.slice(0, 150)) await transaction.commit();
  const take = await channel.beginTake(100);
  assert.equal(take.batch.runs.length, 1, "single puts became one run");
  assert.deepEqual(numbersOf(take.batch), numbers(151, 250));
  await take.rollback();
  const all = [];
  while (channel.size > 0) all.push(...numbersOf(await takeOut(channel, 7)));
  assert.deepEqual(all, [...numbers(151, 300), ...numbers(1, 150)]);
  assert.equal(channel.bytes, 0, "an empty channel keeps no slab of small puts in its account");
});

void test("small puts go on in a second slab when the first is full, and each is freed by itself", async () => {
  const { channel } = await started();
  for (let i = 0; i < 10; i++) await put(channel, eventsOf(1, 10_000));
  assert.equal(channel.bytes, 2 * slabBytes, "six of 10,000 bytes fit into one slab");
  await takeOut(channel, 6);
  assert.equal(channel.bytes, slabBytes);
  await takeOut(channel, 4);
  assert.equal(channel.bytes, 0);
});

test("a small put that the rest of a slab has no room for goes on in the next, in order", async () => {
  const { channel } = await started({ capacity: "1000" });
  const puts = [];
  for (let n = 0; n < 9; n++)
    puts.push(await channel.beginPut(numberedBatch(n * 5 + 1, n * 5 + 5)));
  for (const open of puts) await open.rollback();
  for (let i = 0; i < 6; i++) await put(channel, eventsOf(15, 1000));
  assert.equal(channel.bytes, 2 * slabBytes, "90 events of 1000 bytes, 65 of them in the first");
  const split = await channel.beginPut(eventsOf(15, 1000));
  await put(channel, numberedBatch(1, 5));
  await split.commit();
  assert.equal((await takeOut(channel, 65)).heldBytes, slabBytes);
  assert.equal(channel.bytes, slabBytes);
  await (await channel.beginPut(eventsOf(15, 1000))).rollback();
  await takeOut(channel, 25);
  assert.deepEqual(numbersOf(await takeOut(channel, 5)), numbers(1, 5));
  assert.equal((await takeOut(channel, 100)).length, 15);
  assert.deepEqual([channel.size, channel.bytes], [0, 0]);
});

void test("small puts that were rolled back leave their place in the slab", async () => {
  const { channel } = await started();
  await put(channel, eventsOf(1, 1000));
  for (let i = 0; i < 10; i++) await (await channel.beginPut(eventsOf(1, 10_000))).rollback();
  await put(channel, eventsOf(1, 10_000));
  assert.equal(channel.bytes, slabBytes);
});

test("small puts behind events that were copied out of their slab are counted by themselves", async () => {
  const { channel } = await started({ byteCapacity: "80000" });
  for (let i = 0; i < 10; i++) await put(channel, eventsOf(1, 4000));
  await takeOut(channel, 8);
  await (await channel.beginPut(eventsOf(1, 20_000))).rollback();
  assert.equal(channel.bytes, 8000);
  await put(channel, eventsOf(1, 4000));
  assert.equal(channel.bytes, 8000 + slabBytes);
  assert.equal((await takeOut(channel, 3)).length, 3);
  assert.equal(channel.bytes, 0);
});

test("a small put is kept as it is where a whole slab would not fit", async () => {
  const { channel } = await started({ byteCapacity: "70000" });
  await put(channel, eventsOf(1, 1000));
  assert.equal(channel.bytes, slabBytes);
  await put(channel, eventsOf(20, 15_000 / 5).slice(0, 1));
  for (let i = 0; i < 4; i++) await put(channel, eventsOf(1, 15_000));
  assert.equal(channel.bytes, slabBytes, "they went into the slab");
  await put(channel, eventsOf(1, 4464));
  assert.equal(channel.bytes, 70_000);
});

void test("what a sink returns is copied out of a slab that is under half live", async () => {
  const { channel } = await started();
  await put(channel, eventsOf(100, 1000));
  const take = await channel.beginTake(100);
  await take.commit([
    { from: 0, to: 30 },
    { from: 40, to: 90 },
  ]);
  assert.equal(channel.size, 20);
  assert.equal(channel.bytes, 20_000);
  assert.equal((await takeOut(channel, 100)).length, 20);
});

void test("what a sink returns is not copied while others keep the slab alive: that would cost more", async () => {
  const { channel } = await started();
  await put(channel, eventsOf(100, 1000));
  const [first, second] = [await channel.beginTake(50), await channel.beginTake(50)];
  await first.commit([{ from: 0, to: 40 }]);
  assert.equal(channel.bytes, 100_000);
  await second.commit();
  assert.equal(channel.bytes, 100_000, "ten events of the slab are left");
  await put(channel, eventsOf(1, 20_000));
  assert.equal((await takeOut(channel, 11)).length, 11);
  assert.equal(channel.bytes, 0);
});

void test("a put that lacks bytes frees the slab that the rest of the first batch keeps alive", async () => {
  const { channel } = await started({ byteCapacity: "150000" });
  await put(channel, eventsOf(100, 1000));
  await takeOut(channel, 90);
  assert.equal(channel.bytes, 100_000);
  await put(channel, eventsOf(7, 20_000));
  assert.equal(channel.bytes, 150_000);
  assert.equal((await takeOut(channel, 100)).length, 17);
});

void test("byteCapacity is 80 % of the heap limit when not set, and no limit when 0", async () => {
  const unset = make();
  assert.equal(unset.channel.byteCapacity, Math.floor(getHeapStatistics().heap_size_limit * 0.8));
  const { channel, context } = make({ byteCapacity: "0" });
  assert.equal(channel.byteCapacity, Infinity);
  assert.equal(context.metrics.value("millrace_channel_capacity_bytes"), undefined);
  assert.equal(channel.capacity, 100);
});

void test("CHANNEL_FULL says what was asked for and what is held", async () => {
  const { channel } = await started({ capacity: "3", transactionCapacity: "3", "keep-alive": "0" });
  await put(channel, numberedBatch(1, 2));
  await assert.rejects(channel.beginPut(numberedBatch(3, 4)), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_FULL");
    assert.match(error.message, /c1 had no room for 2 events of \d+ bytes .* holds 2 of 3 events/);
    return true;
  });
});

void test("with keep-alive 0 a put does not wait, and a take still does, so that nothing spins", async () => {
  const { channel, clock } = await started({ "keep-alive": "0" });
  let empty = false;
  const waiting = channel.beginTake(1).then((take) => {
    empty = take.batch.length === 0;
  });
  await clock.advance(999);
  assert.equal(empty, false);
  await clock.advance(1);
  await waiting;
  assert.equal(empty, true);
});

void test("nothing that is served at once sets a timer or listens to a signal", async () => {
  const { channel, clock } = await started();
  const signal = new AbortController().signal;
  let listeners = 0;
  signal.addEventListener = () => void listeners++;
  signal.removeEventListener = () => void listeners--;
  for (let i = 0; i < 10; i++) {
    await (await channel.beginPut(numberedBatch(1, 5), signal)).commit();
    await (await channel.beginTake(5, signal)).commit();
  }
  assert.equal(listeners, 0);
  assert.equal(clock.timerCount, 0);
  const waiting = channel.beginTake(5, signal);
  assert.deepEqual([listeners, clock.timerCount], [1, 1]);
  await put(channel, numberedBatch(1, 1));
  await (await waiting).commit();
  assert.deepEqual([listeners, clock.timerCount], [0, 0], "a wait that ended leaves nothing");
});

void test("what is left at stop, lent events included, is counted as lost and logged with the number [lost: memory | agent stops | what sinks could not deliver in time, counted]", async () => {
  const { channel, context } = await started({ "keep-alive": "0" });
  const lost = () =>
    context.metrics.value("millrace_events_discarded_total", {
      reason: "memory_channel_left_at_exit",
      intended: "false",
    });
  assert.equal(lost(), 0);
  await put(channel, numberedBatch(1, 30));
  await takeOut(channel, 5);
  const lent = await channel.beginTake(5);
  const held = await channel.beginPut(numberedBatch(31, 40));
  await channel.stop(never);
  assert.equal(lost(), 25);
  const [line] = context.log.lines;
  assert.equal(line?.level, "error");
  assert.match(line.message, /memory channel c1 stopped with 25 events/);
  await assert.rejects(held.commit(), { code: "CHANNEL_CLOSED" });
  await lent.commit();
  await channel.stop(never);
  assert.equal(lost(), 25, "counted once");
  await channel.start(never);
  assert.deepEqual([channel.size, channel.bytes], [0, 0]);
  await put(channel, numberedBatch(1, 100));
  assert.deepEqual(numbersOf(await takeOut(channel, 3)), [1, 2, 3]);
});

void test("the metrics show what is held, how old it is, and that it moves", async () => {
  const { channel, clock, context } = await started();
  const value = (name: string) => context.metrics.value(`millrace_channel_${name}`);
  assert.deepEqual([value("events"), value("oldest_event_age_seconds")], [0, 0]);
  await put(channel, numberedBatch(1, 2));
  await clock.advance(5000);
  await put(channel, numberedBatch(3, 4));
  assert.equal(value("events"), 4);
  assert.equal(value("bytes"), slabBytes);
  assert.equal(value("capacity_bytes"), channel.byteCapacity);
  assert.equal(value("oldest_event_age_seconds"), 5);
  const lent = await channel.beginTake(3);
  await clock.advance(1000);
  assert.equal(value("oldest_event_age_seconds"), 6, "lent events are held");
  await lent.commit([{ from: 0, to: 2 }]);
  assert.equal(value("oldest_event_age_seconds"), 1);
  assert.equal(value("taken_events_total"), 2);
});

void test("capacity, transactionCapacity and byteCapacity that make no sense are problems (T046)", () => {
  for (const key of ["capacity", "transactionCapacity", "byteCapacity", "keep-alive"]) {
    const { problems } = parseOptions(options, new Map([[key, "-1"]]));
    assert.deepEqual(
      problems.map((problem) => problem.key),
      [key],
    );
  }
  const given = optionsOf(options, { capacity: "50", transactionCapacity: "51" });
  assert.match(definition.check?.(given)[0]?.message ?? "", /51 is over capacity, which is 50/);
  assert.deepEqual(definition.check?.(optionsOf(options, {})), []);
  const noted = parseOptions(options, new Map([["byteCapacityBufferPercentage", "20"]]));
  assert.equal(noted.notes.length, 1);
});

void test("the definition makes the channel it describes", async () => {
  const made = await definition.create(optionsOf(options, {}), channelContext());
  assert.equal(made.durable, false);
  assert.equal(definition.transactionCapacity?.(optionsOf(options, {})), 100);
});

test("what a partial commit returns finds its place without a walk past all the rest of the take", async () => {
  const inserted: number[] = [];
  class WatchedQueue extends EventQueue {
    override insert(piece: QueuedPiece): void {
      inserted.push(piece.sequence);
      super.insert(piece);
    }
  }
  const properties = { capacity: "100", transactionCapacity: "100", byteCapacity: "0" };
  const channel = createMemoryChannel(
    optionsOf(options, properties),
    channelContext({ runtime: systemRuntime }),
    new WatchedQueue(),
  );
  await channel.start(never);
  // Too large to be gathered: each is a piece of its own.
  for (let n = 0; n < 100; n++) await put(channel, eventsOf(1, 20_000));
  const take = await channel.beginTake(100);
  await take.commit(numbers(0, 49).map((n) => ({ from: 2 * n, to: 2 * n + 1 })));
  assert.deepEqual(
    inserted,
    numbers(0, 49).map((n) => 99 - 2 * n),
    "from the last on, each before all that came back",
  );
  assert.equal(channel.size, 50);
  await takeOut(channel, 100);
  assert.deepEqual([channel.size, channel.bytes], [0, 0]);
});
