import {
  type Channel,
  type ChannelContext,
  EventBatch,
  systemRuntime,
  type TakeTransaction,
} from "@millrace/core";
import {
  channelContext,
  channelTakeContract,
  createFakeClock,
  type FakeClock,
  lifecycleContract,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  type TestComponentContext,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeKafka } from "../../client/fake-kafka.ts";
import { createKafkaChannel } from "./kafka-channel.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

interface Made {
  readonly channel: Channel;
  readonly context: TestComponentContext<ChannelContext>;
  readonly clock: FakeClock;
  readonly kafka: FakeKafka;
}

function make(properties: Record<string, string> = {}, kafka = new FakeKafka()): Made {
  const clock = createFakeClock();
  const context = channelContext({ runtime: { ...systemRuntime, clock } });
  const all = { "kafka.bootstrap.servers": "b:9092", "kafka.topic": "t", ...properties };
  const channel = createKafkaChannel(optionsOf(options, all), context, () =>
    Promise.resolve(kafka),
  );
  return { channel, context, clock, kafka };
}

async function started(
  test: TestContext,
  properties: Record<string, string> = {},
  kafka?: FakeKafka,
): Promise<Made> {
  const made = make(properties, kafka);
  await made.channel.start(never);
  test.after(() => made.channel.stop(AbortSignal.abort()));
  return made;
}

async function put(channel: Channel, batch: EventBatch): Promise<void> {
  await (await channel.beginPut(batch)).commit();
}

async function takeNumbers(channel: Channel, max: number): Promise<number[]> {
  const take = await channel.beginTake(max);
  await take.commit();
  return numbersOf(take.batch);
}

const committed = (kafka: FakeKafka): number[] => kafka.group("flume").committed;

function keyed(...keys: string[]): EventBatch {
  return EventBatch.fromEvents(
    keys.map((key, i) => ({ headers: new Map([["key", key]]), body: Buffer.from(String(i)) })),
  );
}

channelTakeContract("kafka", ({ keepAliveMs }) => {
  const { channel, clock, context } = make({ "kafka.pollTimeout": String(keepAliveMs) });
  return { channel, clock, counters: context.counters };
});

lifecycleContract("kafka", () => Promise.resolve(make().channel));

void test("a put that was not committed is not in the topic, and one rolled back never", async (t) => {
  const { channel, kafka } = await started(t);
  const first = await channel.beginPut(numberedBatch(1, 3));
  const second = await channel.beginPut(numberedBatch(4, 5));
  assert.equal(kafka.partitions[0]?.length, 0);
  await second.rollback();
  await first.commit();
  assert.equal(kafka.partitions[0]?.length, 3);
  await assert.rejects(async () => first.commit(), /ends once/);
});

void test("a put that failed may be tried again, and what its first try stored is there twice", async (t) => {
  const kafka = new FakeKafka(2);
  const { channel, context } = await started(t, {}, kafka);
  kafka.failingProduces = 1;
  const batch = keyed("0", "1", "2", "3", "4", "5");
  await assert.rejects(put(channel, batch), { code: "KAFKA_UNAVAILABLE" });
  assert.equal(channel.trouble?.code, "KAFKA_UNAVAILABLE");
  const stored = kafka.partitions.flat().length;
  assert.ok(stored > 0 && stored < 6, `${stored} of 6 were stored by the first try`);
  await put(channel, batch);
  assert.equal(channel.trouble, undefined);
  assert.equal(kafka.partitions.flat().length, stored + 6);
  assert.equal(context.counters.EventPutSuccessCount, 6);
});

void test("keys, headers of partitions and turns decide where events go (T812, T813, T816)", async (t) => {
  const kafka = new FakeKafka(4);
  const { channel } = await started(t, { partitionIdHeader: "p" }, kafka);
  await put(
    channel,
    EventBatch.fromEvents([
      { headers: new Map([["p", "3"]]), body: Buffer.from("a") },
      { headers: new Map([["key", "21"]]), body: Buffer.from("b") },
      { headers: new Map([["key", "21"]]), body: Buffer.from("c") },
      { body: Buffer.from("d") },
      { body: Buffer.from("e") },
    ]),
  );
  // murmur2("21") is -973932308; without its sign 1173551340, which is a multiple of four.
  assert.deepEqual(
    kafka.partitions.map((records) => records.length),
    [4, 0, 0, 1],
  );
  for (let i = 0; i < 3; i++) await put(channel, numberedBatch(1, 2));
  assert.deepEqual(
    kafka.partitions.map((records) => records.length),
    [4, 2, 2, 3],
  );
});

void test("defaultPartitionId is for events whose header names no partition (T814, T815)", async (t) => {
  const kafka = new FakeKafka(3);
  const { channel } = await started(t, { partitionIdHeader: "p", defaultPartitionId: "2" }, kafka);
  await put(
    channel,
    EventBatch.fromEvents([
      { headers: new Map([["p", "1"]]), body: Buffer.from("a") },
      { headers: new Map([["key", "k"]]), body: Buffer.from("b") },
      { body: Buffer.from("c") },
    ]),
  );
  assert.deepEqual(
    kafka.partitions.map((records) => records.length),
    [0, 1, 2],
  );
});

void test("a partition that is no number, or that is not there, is KAFKA_PARTITION_INVALID (T817, T818)", async (t) => {
  const kafka = new FakeKafka(2);
  const { channel } = await started(t, { partitionIdHeader: "p" }, kafka);
  const of = (p: string) =>
    EventBatch.fromEvents([
      { body: Buffer.from("good") },
      { headers: new Map([["p", p]]), body: Buffer.from("bad") },
    ]);
  for (const text of ["x", "", "1.5", "-1", "99999999999"]) {
    await assert.rejects(put(channel, of(text)), {
      code: "KAFKA_PARTITION_INVALID",
      message: new RegExp(`event 1 of 2 has "${text.replace(".", "\\.")}" in its header p`),
    });
  }
  await assert.rejects(put(channel, of("2")), {
    code: "KAFKA_PARTITION_INVALID",
    message: /event 1 of 2 is for partition 2 .*; topic t has 2, from 0/,
  });
  assert.equal(kafka.partitions.flat().length, 0, "nothing of the batch was stored");
  assert.equal(channel.trouble, undefined, "an event of somebody's is not the channel's trouble");
});

void test("a partition that the topic got since is asked for when an event names it", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, { partitionIdHeader: "p" }, kafka);
  await put(channel, numberedBatch(1, 1));
  kafka.partitions.push([]);
  const batch = EventBatch.fromEvents([{ headers: new Map([["p", "1"]]), body: Buffer.from("a") }]);
  await put(channel, batch);
  assert.deepEqual(
    kafka.partitions.map((records) => records.length),
    [1, 1],
  );
  assert.equal(kafka.asked.count, 2);
});

void test("puts wait while buffer.memory is on its way, then are CHANNEL_FULL", async (t) => {
  const properties = {
    "kafka.producer.buffer.memory": "3000",
    "kafka.producer.max.block.ms": "5000",
  };
  const { channel, clock, context } = await started(t, properties);
  const thousand = EventBatch.fromEvents([{ body: Buffer.alloc(990) }]);
  const open = [await channel.beginPut(thousand), await channel.beginPut(thousand)];
  open.push(await channel.beginPut(thousand));
  assert.ok((context.metrics.value("millrace_kafka_channel_put_bytes") ?? 0) > 2900);
  const late = assert.rejects(channel.beginPut(thousand), { code: "CHANNEL_FULL" });
  await clock.advance(5000);
  await late;
  const waiting = channel.beginPut(thousand);
  await open[0]?.commit();
  await (await waiting).rollback();
  await assert.rejects(channel.beginPut(EventBatch.fromEvents([{ body: Buffer.alloc(4000) }])), {
    code: "TRANSACTION_TOO_LARGE",
  });
});

void test("a put without an answer is KAFKA_UNAVAILABLE after delivery.timeout.ms, and keeps its room", async (t) => {
  const { channel, clock, kafka, context } = await started(t, {
    "kafka.producer.delivery.timeout.ms": "7000",
  });
  let answer: () => void = () => {};
  kafka.held = new Promise((resolve) => (answer = resolve));
  const late = assert.rejects(put(channel, numberedBatch(1, 3)), {
    code: "KAFKA_UNAVAILABLE",
    message: /within delivery\.timeout\.ms of 7000; some of them may be/,
  });
  await clock.advance(7000);
  await late;
  const bytes = () => context.metrics.value("millrace_kafka_channel_put_bytes");
  assert.ok((bytes() ?? 0) > 0);
  answer();
  await waitFor("the room", () => bytes() === 0);
});

void test("a record that is too large is refused, and is no trouble of the channel's", async (t) => {
  const { channel, kafka } = await started(t);
  kafka.recordBytesMax = 100;
  const batch = EventBatch.fromEvents([{ body: Buffer.alloc(200) }]);
  await assert.rejects(put(channel, batch), { code: "KAFKA_RECORD_TOO_LARGE" });
  assert.equal(channel.trouble, undefined);
});

void test("a put with an event that no request can hold stores none of the others, in no partition", async (t) => {
  const { channel, kafka } = await started(t, {}, new FakeKafka(2));
  kafka.requestBytesMax = 100;
  const headers = (partition: string): Map<string, string> => new Map([["key", partition]]);
  const small = ["a", "b", "c", "d", "e", "f"].map((key) => ({ headers: headers(key), body: Buffer.from(key) })); // prettier-ignore
  await put(channel, EventBatch.fromEvents(small));
  const before = kafka.partitions.map(({ length }) => length);
  assert.ok(before.every((length) => length > 0), "the keys go to both partitions"); // prettier-ignore
  const large = { headers: headers("a"), body: Buffer.alloc(200) };
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(put(channel, EventBatch.fromEvents([...small, large])), {
      code: "KAFKA_RECORD_TOO_LARGE",
      message: /event 6 of 7/,
    });
  }
  assert.deepEqual(
    kafka.partitions.map(({ length }) => length),
    before,
    "its sender's retries would store them again each time",
  );
});

void test("a channel that is only put into joins no group", async (t) => {
  const { channel, kafka, context } = await started(t);
  await put(channel, numberedBatch(1, 3));
  assert.equal(context.metrics.value("millrace_kafka_channel_partitions"), 0);
  assert.equal(channel.size, 0, "what is only in the topic is not counted");
  assert.deepEqual(await takeNumbers(channel, 5), [1, 2, 3]);
  assert.equal(context.metrics.value("millrace_kafka_channel_partitions"), 1);
  assert.deepEqual(committed(kafka), [3]);
});

void test("offsets are committed up to the lowest event that is not settled", async (t) => {
  const { channel, kafka } = await started(t);
  await put(channel, numberedBatch(1, 10));
  const first = await channel.beginTake(4);
  const second = await channel.beginTake(4);
  await second.commit();
  assert.deepEqual(committed(kafka), [], "the first four are out");
  await first.commit([{ from: 0, to: 1 }, { from: 2, to: 4 }]); // prettier-ignore
  await waitFor("a commit", () => committed(kafka)[0] === 1);
  assert.deepEqual(await takeNumbers(channel, 1), [2]);
  await waitFor("a commit", () => committed(kafka)[0] === 8);
  assert.deepEqual(await takeNumbers(channel, 9), [9, 10]);
});

void test("a rolled-back take is taken again, also after a stop (T807, T808, T821, T823)", async (t) => {
  const kafka = new FakeKafka();
  const { channel, context } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 5));
  await (await channel.beginTake(3)).rollback();
  assert.deepEqual(channel.readCounters?.()["RollbackCount"], 3);
  assert.deepEqual(await takeNumbers(channel, 2), [1, 2]);
  await (await channel.beginTake(3)).rollback();
  await channel.stop(AbortSignal.abort());
  const other = await started(t, {}, kafka);
  assert.deepEqual(await takeNumbers(other.channel, 9), [3, 4, 5]);
  assert.equal(context.counters.EventTakeSuccessCount, 2);
});

void test("what is lent when an agent stops is another's [lost: kafka | agent stops | nothing]", async (t) => {
  const kafka = new FakeKafka();
  const { channel, context } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 6));
  const lent = await channel.beginTake(2);
  assert.equal(numbersOf(lent.batch).length, 2);
  const settled = await channel.beginTake(2);
  await settled.commit();
  await channel.stop(AbortSignal.abort());
  await lent.commit();
  assert.deepEqual(committed(kafka), [], "a commit after the stop has no effect");
  assert.equal(context.metrics.value("millrace_kafka_channel_given_up_events_total"), 2);
  const other = await started(t, {}, kafka);
  assert.deepEqual(await takeNumbers(other.channel, 9), numbers(1, 6));
  await other.channel.stop(never);
  assert.deepEqual(committed(kafka), [6]);
});

void test("a commit of offsets that failed is tried again until the group has it", async (t) => {
  const { channel, kafka, clock, context } = await started(t);
  await put(channel, numberedBatch(1, 3));
  kafka.failingCommits = 2;
  assert.deepEqual(await takeNumbers(channel, 3), [1, 2, 3]);
  await waitFor("the first try", () => kafka.asked.commit === 1);
  assert.deepEqual(committed(kafka), []);
  await put(channel, numberedBatch(4, 4));
  assert.deepEqual(await takeNumbers(channel, 3), [4]);
  await clock.advance(1000);
  assert.deepEqual(committed(kafka), [4]);
  assert.equal(kafka.asked.commit, 3);
  assert.equal(context.metrics.value("millrace_kafka_channel_commit_failures_total"), 2);
  assert.ok(context.log.lines.some(({ message }) => /or the events come twice/.test(message)));
});

void test("a partition that goes to another member takes its lent events with it", async (t) => {
  const kafka = new FakeKafka(2);
  const one = await started(t, { defaultPartitionId: "1" }, kafka);
  await put(one.channel, numberedBatch(1, 4));
  const lent = await one.channel.beginTake(2);
  assert.deepEqual(numbersOf(lent.batch), [1, 2]);
  const two = await started(t, {}, kafka);
  assert.deepEqual(await takeNumbers(two.channel, 2), [1, 2], "partition 1 is the other's now");
  assert.deepEqual(committed(kafka)[1], 2);
  await lent.commit();
  assert.equal(one.channel.size, 0);
  assert.equal(committed(kafka)[1], 2, "the late commit did nothing");
  assert.equal(one.context.metrics.value("millrace_kafka_channel_given_up_events_total"), 2);
  assert.match(
    one.context.log.lines.map(({ message }) => message).join("\n"),
    /partition 1 of topic t is another member's now: 2 events .* may be delivered twice/,
  );
  assert.deepEqual(await takeNumbers(two.channel, 9), [3, 4]);
});

void test("a partition that stays in a rebalance keeps what is lent and fetched", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 6));
  const lent = await channel.beginTake(2);
  kafka.group("flume").suspend();
  const waiting = channel.beginTake(2);
  kafka.group("flume").rebalance();
  const next = await waiting;
  assert.deepEqual(numbersOf(next.batch), [3, 4], "nothing is lent twice");
  await lent.commit();
  await next.commit();
  await waitFor("a commit", () => committed(kafka)[0] === 4);
  assert.deepEqual(await takeNumbers(channel, 9), [5, 6]);
});

void test("while the group is out of reach nothing is lent and nothing committed", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel, clock } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 4));
  const lent = await channel.beginTake(2);
  kafka.group("flume").suspend();
  await lent.commit();
  const waiting = channel.beginTake(2);
  await clock.advance(500);
  assert.equal((await waiting).batch.length, 0);
  assert.equal(kafka.asked.commit, 0);
  kafka.group("flume").rebalance();
  await waitFor("a commit", () => committed(kafka)[0] === 2);
  assert.deepEqual(await takeNumbers(channel, 9), [3, 4]);
});

void test("what another member settled meanwhile is not delivered again", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 6));
  const lent = await channel.beginTake(2);
  kafka.group("flume").committed[0] = 4;
  kafka.group("flume").rebalance();
  await lent.rollback();
  assert.deepEqual(await takeNumbers(channel, 9), [5, 6]);
  await waitFor("a commit", () => committed(kafka)[0] === 6);
});

void test("a group that was set back is read again from where it is", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 6));
  assert.deepEqual(await takeNumbers(channel, 4), [1, 2, 3, 4]);
  await waitFor("a commit", () => committed(kafka)[0] === 4);
  kafka.group("flume").committed[0] = 1;
  kafka.group("flume").rebalance();
  assert.deepEqual(await takeNumbers(channel, 9), [2, 3, 4, 5, 6]);
});

void test("with auto.offset.reset = latest, what comes after the first take is not passed over by a rebalance or a restart", async (t) => {
  const kafka = new FakeKafka(1);
  kafka.startsAt = "latest";
  const properties = { "kafka.consumer.auto.offset.reset": "latest" };
  const { channel, clock } = await started(t, properties, kafka);
  const takeSoon = async (from: Channel, time: FakeClock): Promise<TakeTransaction> => {
    const taking = from.beginTake(9);
    await time.advance(500);
    return taking;
  };
  await put(channel, numberedBatch(1, 3));
  const before = await takeSoon(channel, clock);
  assert.equal(before.batch.length, 0, "what was there before is not for this group");
  await put(channel, numberedBatch(4, 9));
  const lent = await takeSoon(channel, clock);
  kafka.group("flume").rebalance();
  await lent.rollback();
  const again = await takeSoon(channel, clock);
  assert.deepEqual(numbersOf(again.batch), numbers(4, 9));
  await channel.stop(never);
  const next = await started(t, properties, kafka);
  const rest = await takeSoon(next.channel, next.clock);
  assert.deepEqual(numbersOf(rest.batch), numbers(4, 9));
});

for (const startsAt of ["earliest", "latest"] as const) {
  void test(`events that were read before the topic let go of them are delivered after a rebalance, where it begins at the ${startsAt}`, async (t) => {
    const kafka = new FakeKafka(1);
    kafka.startsAt = startsAt;
    const properties = { "kafka.consumer.auto.offset.reset": startsAt };
    kafka.group("flume").committed[0] = 0;
    const { channel, clock, context } = await started(t, properties, kafka);
    await put(channel, numberedBatch(1, 9));
    const lent = await channel.beginTake(3);
    await put(channel, numberedBatch(10, 12));
    kafka.expire(0, 7);
    kafka.group("flume").rebalance();
    await lent.rollback();
    const taking = channel.beginTake(20);
    await clock.advance(500);
    const again = await taking;
    assert.deepEqual(numbersOf(again.batch), numbers(1, 12));
    await again.commit();
    const labels = { reason: "kafka_record_expired", intended: "false" };
    assert.equal(context.metrics.value("millrace_events_discarded_total", labels), 0);
  });
}

void test("records that are no events are skipped, counted and named by their offsets", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel, context } = await started(t, {}, kafka);
  const good = numberedBatch(7, 7).bytesAt(0);
  kafka.add(0, Buffer.from("not an event"));
  kafka.add(0, good);
  kafka.add(0, null);
  kafka.add(0, Buffer.concat([good, good]));
  assert.deepEqual(await takeNumbers(channel, 9), [7]);
  const skipped = () =>
    context.metrics.value("millrace_events_discarded_total", {
      reason: "kafka_record_malformed",
      intended: "false",
    });
  assert.equal(skipped(), 3);
  const line = context.log.lines.find(({ level }) => level === "error");
  assert.match(line?.message ?? "", /3 records of topic t, partition 0, .*: offsets 0, 2, 3; /);
  assert.match(line?.message ?? "", /EVENT_MALFORMED|header|number|byte/);
  await waitFor("a commit", () => committed(kafka)[0] === 4);
  kafka.add(0, Buffer.from("again"));
  await waitFor("a commit of what nobody takes", () => committed(kafka)[0] === 5);
});

void test("raw records are bodies, with the key as the only header (T829, T830, T809)", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, { parseAsFlumeEvent: "false" }, kafka);
  await put(
    channel,
    EventBatch.fromEvents([
      { headers: new Map([["key", "k1"], ["other", "lost"]]), body: Buffer.from("body") }, // prettier-ignore
      { headers: new Map([["other", "lost"]]), body: Buffer.from([0, 255]) },
    ]),
  );
  assert.deepEqual(
    kafka.partitions[0]?.map(({ key, value }) => [key?.toString(), value?.toString("latin1")]),
    [["k1", "body"], [undefined, "\u0000\u00ff"]], // prettier-ignore
  );
  kafka.add(0, null, "tombstone");
  const take = await channel.beginTake(9);
  assert.deepEqual(
    [...take.batch].map(({ headers, body }) => [
      Object.fromEntries(headers),
      body.toString("latin1"),
    ]),
    [[{ key: "k1" }, "body"], [{}, "\u0000\u00ff"], [{ key: "tombstone" }, ""]], // prettier-ignore
  );
  await take.commit();
});

void test("the record's key becomes the header, also where the event has another", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, {}, kafka);
  kafka.add(0, keyed("inside").bytesAt(0), "outside");
  kafka.add(0, numberedBatch(1, 1).bytesAt(0), "added");
  kafka.add(0, numberedBatch(2, 2).bytesAt(0));
  const take = await channel.beginTake(9);
  assert.deepEqual(
    [...take.batch].map(({ headers }) => Object.fromEntries(headers)),
    [{ key: "outside" }, { n: "1", key: "added" }, { n: "2" }],
  );
  await take.commit();
});

void test("fetching pauses above memoryBytes and goes on when half is taken", async (t) => {
  const kafka = new FakeKafka(1);
  kafka.fetchMax = 10;
  const { channel, context } = await started(t, { memoryBytes: "65536" }, kafka);
  const kibi = EventBatch.fromEvents(
    Array.from({ length: 300 }, () => ({ body: Buffer.alloc(1020) })),
  );
  await put(channel, kibi);
  const first = await channel.beginTake(1);
  await first.commit();
  const bytes = () => context.metrics.value("millrace_channel_bytes") ?? 0;
  assert.ok(bytes() >= 65_536 - 1024 && bytes() < 65_536 + 10 * 1024, `${bytes()} bytes`);
  let taken = 1;
  let most = 0;
  while (taken < 300) {
    const take = await channel.beginTake(7);
    taken += take.batch.length;
    await take.commit();
    most = Math.max(most, bytes());
  }
  assert.ok(most < 65_536 + 10 * 1024, `${most} bytes`);
  await waitFor("a commit", () => committed(kafka)[0] === 300);
});

void test("takes turn over the partitions, each in order", async (t) => {
  const kafka = new FakeKafka(2);
  const { channel } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 4));
  await put(channel, numberedBatch(11, 14));
  const came = [];
  for (let i = 0; i < 4; i++) came.push(await takeNumbers(channel, 2));
  assert.deepEqual(came, [[1, 2], [11, 12], [3, 4], [13, 14]]); // prettier-ignore
});

void test("a channel from which nobody takes for max.poll.interval.ms leaves its group, and comes back", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel, clock, context } = await started(
    t,
    { "kafka.consumer.max.poll.interval.ms": "60000" },
    kafka,
  );
  await put(channel, numberedBatch(1, 4));
  const lent = await channel.beginTake(2);
  await clock.advance(59_000);
  assert.equal(context.metrics.value("millrace_kafka_channel_partitions"), 1);
  await clock.advance(1_000);
  await waitFor("the leave", () => channel.size === 0);
  await lent.commit();
  assert.deepEqual(committed(kafka), []);
  const retaken = await channel.beginTake(9);
  assert.deepEqual(numbersOf(retaken.batch), [1, 2, 3, 4]);
  await clock.advance(30_000);
  await retaken.commit();
  await clock.advance(45_000);
  assert.equal(context.metrics.value("millrace_kafka_channel_partitions"), 1, "settling counts");
});

void test("a stop does not wait past its deadline for the commits of a channel that leaves its group already", async (t) => {
  const { channel, kafka, clock } = await started(t, {
    "kafka.consumer.max.poll.interval.ms": "60000",
  });
  await put(channel, numberedBatch(1, 4));
  kafka.failingCommits = Infinity;
  await takeNumbers(channel, 4);
  await clock.advance(60_000);
  let isStopped = false;
  const stopped = channel.stop(AbortSignal.abort()).then(() => (isStopped = true));
  await clock.advance(1000);
  await waitFor("the stop", () => isStopped, 2000);
  await stopped;
  assert.deepEqual(committed(kafka), []);
});

void test("counters and gauges show what moves and what waits (T811)", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel, clock, context } = await started(t, {}, kafka);
  kafka.nowMs = clock.now();
  for (let i = 0; i < 5; i++) await put(channel, numberedBatch(i * 10 + 1, i * 10 + 10));
  await clock.advance(4000);
  const lent = await channel.beginTake(20);
  const value = (name: string) => context.metrics.value(`millrace_${name}`);
  assert.equal(channel.size, 50);
  assert.equal(value("channel_events"), 50);
  assert.equal(value("kafka_channel_lag_events"), 50);
  assert.equal(value("channel_oldest_event_age_seconds"), 4);
  assert.equal(value("channel_capacity_bytes"), undefined);
  await lent.commit();
  while (channel.size > 0) await takeNumbers(channel, 20);
  assert.deepEqual(
    [context.counters.EventPutSuccessCount, context.counters.EventTakeSuccessCount],
    [50, 50],
  );
  assert.equal(value("channel_taken_events_total"), 50);
  assert.equal(value("kafka_channel_lag_events"), 0);
  assert.deepEqual(Object.keys(channel.readCounters?.() ?? {}), [
    "KafkaEventGetTimer",
    "KafkaEventSendTimer",
    "KafkaCommitTimer",
    "RollbackCount",
  ]);
});

void test("a stopped channel is CHANNEL_CLOSED to puts, gives nothing, and can start again (T806)", async (t) => {
  const kafka = new FakeKafka(1);
  const { channel } = await started(t, {}, kafka);
  await put(channel, numberedBatch(1, 2));
  const held = await channel.beginPut(numberedBatch(3, 3));
  await channel.stop(never);
  await assert.rejects(held.commit(), { code: "CHANNEL_CLOSED" });
  await assert.rejects(channel.beginPut(numberedBatch(4, 4)), { code: "CHANNEL_CLOSED" });
  assert.equal((await channel.beginTake(3)).batch.length, 0);
  await channel.start(never);
  assert.deepEqual(await takeNumbers(channel, 9), [1, 2]);
});

void test("a topic that cannot be asked for its partitions fails the put, not the channel", async (t) => {
  const { channel, kafka } = await started(t);
  kafka.failingCounts = 1;
  await assert.rejects(put(channel, numberedBatch(1, 1)), { code: "KAFKA_UNAVAILABLE" });
  await put(channel, numberedBatch(1, 1));
  assert.equal(channel.trouble, undefined);
});
