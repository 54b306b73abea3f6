/** The channel on a real broker: what goes in, what comes out, what the group has committed. */
import { numberedBatch, numbers, numbersOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { put, startChannel, takeEvents } from "./harness/channels.ts";
import { startCluster } from "./harness/kafka-cluster.ts";

void test("the Kafka channel on a real broker", async (t) => {
  const cluster = await startCluster(t);
  if (cluster === undefined) return;
  let topics = 0;
  const topicOf = async (partitions = 1): Promise<Record<string, string>> => {
    const topic = `topic-${++topics}`;
    await cluster.createTopic(topic, partitions);
    return {
      "kafka.bootstrap.servers": cluster.bootstrapServers,
      "kafka.topic": topic,
      "kafka.consumer.group.id": `group-${topics}`,
    };
  };
  const topicName = (properties: Record<string, string>) => properties["kafka.topic"] ?? "";

  await t.test("events come out in order, and their offsets are committed (T819)", async (t2) => {
    const properties = await topicOf();
    const { channel, context } = await startChannel(t2, properties);
    for (let i = 0; i < 10; i++) await put(channel, numberedBatch(i * 50 + 1, i * 50 + 50));
    const taken = await takeEvents(channel, 500);
    assert.deepEqual(numbersOf(taken), numbers(1, 500));
    assert.equal(taken.at(0).headers.get("n"), "1");
    assert.equal(context.counters.EventPutSuccessCount, 500);
    assert.equal(context.counters.EventTakeSuccessCount, 500);
    await channel.stop(AbortSignal.timeout(5_000));
    assert.deepEqual(await cluster.committed(topicName(properties), "group-1"), [500]);
  });
});
