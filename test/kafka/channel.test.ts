/** The channel on a real broker: what goes in, what comes out, what the group has committed. */
import { EventBatch } from "@millrace/core";
import { numberedBatch, numbers, numbersOf, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { put, startChannel, takeEvents } from "./harness/channels.ts";
import { type Cluster, type KafkaVersion, startCluster } from "./harness/kafka-cluster.ts";

/** A topic of its own for each test, and the properties of a channel on it. */
async function topicOf(
  cluster: Cluster,
  name: string,
  partitions = 1,
): Promise<{ topic: string; group: string; properties: Record<string, string> }> {
  const group = `group-of-${name}`;
  if (partitions > 0) await cluster.createTopic(name, partitions);
  return {
    topic: name,
    group,
    properties: {
      "kafka.bootstrap.servers": cluster.bootstrapServers,
      "kafka.topic": name,
      "kafka.consumer.group.id": group,
    },
  };
}

type Case = (t: TestContext, cluster: Cluster) => Promise<void>;

const eventsOf = (...events: { key?: string; partition?: string; body: string }[]): EventBatch =>
  EventBatch.fromEvents(
    events.map(({ key, partition, body }) => ({
      headers: new Map([
        ...(key === undefined ? [] : [["key", key] as const]),
        ...(partition === undefined ? [] : [["p", partition] as const]),
        ["größe", "日本"],
      ]),
      body: Buffer.from(body),
    })),
  );

/** What a broker is asked. */
const cases: Readonly<Record<string, Case>> = {
  "events come out in order, and their offsets are committed (T819)": async (t, cluster) => {
    const { topic, group, properties } = await topicOf(cluster, "order");
    const { channel, context } = await startChannel(t, properties);
    for (let i = 0; i < 10; i++) await put(channel, numberedBatch(i * 50 + 1, i * 50 + 50));
    const taken = await takeEvents(channel, 500);
    assert.deepEqual(numbersOf(taken), numbers(1, 500));
    assert.equal(taken.at(0).headers.get("n"), "1");
    const { EventPutSuccessCount, EventTakeSuccessCount } = context.counters;
    assert.deepEqual([EventPutSuccessCount, EventTakeSuccessCount], [500, 500]);
    await channel.stop(AbortSignal.timeout(5_000));
    assert.deepEqual(await cluster.committed(topic, group), [500]);
    assert.deepEqual(
      context.log.lines.filter(({ level }) => level === "error"),
      [],
    );
  },

  "an event is in the record to the byte, its key as the record's key": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "bytes");
    const { channel } = await startChannel(t, properties);
    const batch = eventsOf({ key: "schlüssel", body: "a" }, { body: "" });
    await put(channel, batch);
    const records = await cluster.records(topic);
    assert.deepEqual(
      records.map(({ key, value }) => [key, value.toString("hex")]),
      [0, 1].map((i) => [["schlüssel", undefined][i], batch.bytesAt(i).toString("hex")]),
    );
    const taken = await takeEvents(channel, 2);
    assert.deepEqual(
      [...taken].map(({ headers, body }) => [[...headers], body.toString()]),
      [...batch].map(({ headers, body }) => [[...headers], body.toString()]),
    );
  },

  "raw records carry the body and the key only (T829, T830, T831, T832)": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "raw");
    const { channel } = await startChannel(t, { ...properties, parseAsFlumeEvent: "false" });
    await put(channel, eventsOf({ key: "k", body: "one" }, { body: "two" }));
    await cluster.produce(topic, [{ key: "other", value: Buffer.from("three") }]);
    const records = await cluster.records(topic);
    assert.deepEqual(
      records.map(({ key, value }) => [key, value.toString()]),
      [["k", "one"], [undefined, "two"], ["other", "three"]], // prettier-ignore
    );
    const taken = await takeEvents(channel, 3);
    assert.deepEqual(
      [...taken].map(({ headers, body }) => [Object.fromEntries(headers), body.toString()]),
      [[{ key: "k" }, "one"], [{}, "two"], [{ key: "other" }, "three"]], // prettier-ignore
    );
  },

  "headers name partitions, and puts of several requests are whole (T812, T813)": async (
    t,
    cluster,
  ) => {
    const { topic, properties } = await topicOf(cluster, "partitions", 3);
    const { channel } = await startChannel(t, {
      ...properties,
      partitionIdHeader: "p",
      "kafka.producer.max.request.size": "4096",
      "kafka.producer.compression.type": "gzip",
    });
    const named = Array.from({ length: 60 }, (_, i) => ({
      partition: String(i % 3),
      body: `${i} ${"x".repeat(500)}`,
    }));
    await put(channel, eventsOf(...named));
    const records = await cluster.records(topic);
    assert.deepEqual(
      records.map(({ partition, offset }) => [partition, offset]),
      numbers(0, 59).map((i) => [Math.floor(i / 20), i % 20]),
    );
    const invalid = put(channel, eventsOf({ partition: "3", body: "" }));
    await assert.rejects(invalid, { code: "KAFKA_PARTITION_INVALID" });
    const large = put(channel, eventsOf({ body: "x".repeat(5000) }));
    await assert.rejects(large, { code: "KAFKA_RECORD_TOO_LARGE" });
    const taken = await takeEvents(channel, 60);
    const came = [...taken].map(({ body }) => Number(body.toString().split(" ")[0]));
    for (const partition of [0, 1, 2]) {
      assert.deepEqual(
        came.filter((n) => n % 3 === partition),
        numbers(0, 19).map((i) => i * 3 + partition),
      );
    }
  },

  "what is put into a partition that the topic got since is there": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "grown", 1);
    const { channel } = await startChannel(t, { ...properties, partitionIdHeader: "p" });
    await put(channel, eventsOf({ partition: "0", body: "before" }));
    await cluster.growTopic(topic, 3);
    await put(channel, eventsOf({ partition: "2", body: "after" }));
    const records = await cluster.records(topic);
    assert.deepEqual(
      records.map(({ partition }) => partition),
      [0, 2],
    );
  },

  "a topic that is not there comes into being with the first put (T828)": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "new", 0);
    const { channel } = await startChannel(t, properties);
    const early = await channel.beginTake(10);
    await early.rollback();
    await put(channel, numberedBatch(1, 3));
    assert.equal(await cluster.count(topic), 3);
    assert.deepEqual(numbersOf(await takeEvents(channel, 3)), [1, 2, 3]);
  },

  "what was rolled back, or lent at a stop, is there after a restart (T806, T807, T822, T823)":
    async (t, cluster) => {
      const { topic, group, properties } = await topicOf(cluster, "restart");
      const { channel } = await startChannel(t, properties);
      await put(channel, numberedBatch(1, 50));
      assert.deepEqual(numbersOf(await takeEvents(channel, 10)), numbers(1, 10));
      const back = await channel.beginTake(10);
      await back.rollback();
      await put(channel, numberedBatch(51, 60));
      const again = await channel.beginTake(5);
      assert.deepEqual(numbersOf(again.batch), numbers(11, 15));
      await again.commit([{ from: 0, to: 2 }]);
      await channel.beginTake(5);
      await channel.stop(AbortSignal.timeout(5_000));
      assert.deepEqual(await cluster.committed(topic, group), [12]);
      const other = await startChannel(t, properties);
      assert.deepEqual(numbersOf(await takeEvents(other.channel, 48)), numbers(13, 60));
    },

  "a group without offsets begins where auto.offset.reset says (T824)": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "latest");
    await cluster.produce(topic, [{ value: numberedBatch(1, 1).bytesAt(0) }]);
    const { channel, context } = await startChannel(t, {
      ...properties,
      readSmallestOffset: "false",
    });
    await (await channel.beginTake(1)).rollback();
    await waitFor(
      "the partition",
      () => context.metrics.value("millrace_kafka_channel_partitions") === 1,
    );
    await cluster.produce(topic, [{ value: numberedBatch(2, 2).bytesAt(0) }]);
    assert.deepEqual(numbersOf(await takeEvents(channel, 1)), [2]);
    const none = await startChannel(t, {
      ...properties,
      "kafka.consumer.group.id": "group-without",
      "kafka.consumer.auto.offset.reset": "none",
    });
    await (await none.channel.beginTake(1)).rollback();
    await waitFor("the trouble", () => none.channel.trouble !== undefined);
    assert.equal(none.channel.trouble?.code, "KAFKA_REFUSED");
    assert.match(
      none.channel.trouble?.message ?? "",
      /has no offset in partition 0 of topic latest/,
    );
  },

  "records that are no events are skipped, counted and named": async (t, cluster) => {
    const { topic, group, properties } = await topicOf(cluster, "malformed");
    const good = (n: number) => numberedBatch(n, n).bytesAt(0);
    const values = [good(1), Buffer.from("x"), null, good(2), Buffer.alloc(0)];
    await cluster.produce(
      topic,
      values.map((value) => ({ value })),
    );
    const { channel, context } = await startChannel(t, properties);
    assert.deepEqual(numbersOf(await takeEvents(channel, 2)), [1, 2]);
    const labels = { reason: "kafka_record_malformed", intended: "false" };
    assert.equal(context.metrics.value("millrace_events_discarded_total", labels), 3);
    const line = context.log.lines.find(({ level }) => level === "error")?.message ?? "";
    assert.match(line, /topic malformed, partition 0, .* offsets 1, 2, 4;/);
    await waitFor("the commit", async () => (await cluster.committed(topic, group))[0] === 5);
  },

  "records that the topic deleted before they were delivered are counted": async (t, cluster) => {
    const { topic, properties } = await topicOf(cluster, "expired");
    const { channel } = await startChannel(t, properties);
    await put(channel, numberedBatch(1, 20));
    assert.deepEqual(numbersOf(await takeEvents(channel, 5)), numbers(1, 5));
    await channel.stop(AbortSignal.timeout(5_000));
    await cluster.deleteBelow(topic, 0, 12);
    const other = await startChannel(t, properties);
    assert.deepEqual(numbersOf(await takeEvents(other.channel, 8)), numbers(13, 20));
    const labels = { reason: "kafka_record_expired", intended: "false" };
    assert.equal(other.context.metrics.value("millrace_events_discarded_total", labels), 7);
    assert.match(
      other.context.log.lines.find(({ level }) => level === "error")?.message ?? "",
      /topic expired, partition 0, no longer holds offsets 5 to 11/,
    );
  },

  "aborted transactions of others are passed over": async (t, cluster) => {
    const { topic, group, properties } = await topicOf(cluster, "transactions");
    const value = (n: number) => numberedBatch(n, n).bytesAt(0);
    await cluster.produceInTransaction(topic, [{ value: value(1) }], "commit");
    for (let i = 0; i < 3; i++) {
      await cluster.produceInTransaction(topic, [{ value: value(99) }], "abort");
    }
    const { channel, context } = await startChannel(t, {
      ...properties,
      "kafka.consumer.isolation.level": "read_committed",
      "kafka.consumer.max.partition.fetch.bytes": "1024",
    });
    assert.deepEqual(numbersOf(await takeEvents(channel, 1)), [1]);
    await cluster.produceInTransaction(topic, [{ value: value(2) }], "commit");
    assert.deepEqual(numbersOf(await takeEvents(channel, 1)), [2]);
    // Offsets: 1 and its marker, three of 99 with theirs, 2 and its marker.
    await waitFor("the commit", async () => ((await cluster.committed(topic, group))[0] ?? 0) >= 9);
    assert.equal(context.counters.EventTakeSuccessCount, 2);
  },

  "a sink slower than the session timeout keeps its partition": async (t, cluster) => {
    const { topic, group, properties } = await topicOf(cluster, "slow");
    const { channel } = await startChannel(t, {
      ...properties,
      "kafka.consumer.session.timeout.ms": "2000",
      "kafka.consumer.heartbeat.interval.ms": "300",
    });
    await put(channel, numberedBatch(1, 10));
    let lent = await channel.beginTake(5);
    while (lent.batch.length === 0) lent = await channel.beginTake(5);
    // Longer than the session, on purpose: what is tested is that time passing does nothing.
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    assert.equal(channel.size, 10);
    await lent.commit();
    await waitFor("the commit", async () => (await cluster.committed(topic, group))[0] === 5);
    assert.deepEqual(numbersOf(await takeEvents(channel, 5)), numbers(6, 10));
  },
};

/** Of the newer line what its protocol could change; the rest is ours. */
const newer = /^(events come out|headers name|a topic that|what was rolled|aborted)/;

for (const version of ["3.9.1", "4.1.0"] as const satisfies readonly KafkaVersion[]) {
  void test(`the Kafka channel on Apache Kafka ${version}`, async (t) => {
    const cluster = await startCluster(t, { version });
    if (cluster === undefined) return;
    for (const [title, run] of Object.entries(cases)) {
      if (version !== "3.9.1" && !newer.test(title)) continue;
      await t.test(title, (inner) => run(inner, cluster));
    }
  });
}
