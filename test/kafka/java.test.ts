/**
 * Java Flume's Kafka channel and ours on one topic: what a Java agent puts we take, and the other way
 * round; and both as members of one group, as while a site moves one agent at a time.
 */
import { type Event, EventBatch } from "@millrace/core";
import { freePort, numbers, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createCollector } from "../conformance/harness/collector.ts";
import type { Flume, FlumeVersion } from "../conformance/harness/fetch-flume.ts";
import { createJavaAgent } from "../conformance/harness/java-agent.ts";
import { sendOverAvro } from "./harness/avro-sender.ts";
import { put, startChannel, takeEvents } from "./harness/channels.ts";
import { findJars } from "./harness/fetch-jars.ts";
import { type Cluster, startCluster } from "./harness/kafka-cluster.ts";

const sent = EventBatch.fromEvents([
  { headers: new Map([["key", "k1"], ["host", "größe"]]), body: Buffer.from("one") }, // prettier-ignore
  { headers: new Map([["host", "日本 🌊"]]), body: Buffer.from([0, 255, 10, 13]) },
  { body: Buffer.alloc(0) },
  { headers: new Map([["key", "k1"], ["", "empty"]]), body: Buffer.alloc(30_000, 7) }, // prettier-ignore
]);

interface Plain {
  readonly headers: Record<string, string>;
  readonly body: string;
}

function plain(events: Iterable<Event>): Plain[] {
  return [...events].map(({ headers, body }) => ({
    headers: Object.fromEntries([...headers].sort()),
    body: body.toString("hex"),
  }));
}

/** What is left of the events where records are bodies. */
function bare(events: Iterable<Event>): Plain[] {
  return plain(events).map(({ headers, body }) => ({
    headers: headers["key"] === undefined ? {} : { key: headers["key"] },
    body,
  }));
}

const javaChannel = (cluster: Cluster, name: string, topic: string, raw: boolean): string[] => [
  `a1.channels.${name}.type = org.apache.flume.channel.kafka.KafkaChannel`,
  `a1.channels.${name}.kafka.bootstrap.servers = ${cluster.bootstrapServers}`,
  `a1.channels.${name}.kafka.topic = ${topic}`,
  `a1.channels.${name}.kafka.consumer.group.id = group-of-${topic}`,
  `a1.channels.${name}.parseAsFlumeEvent = ${!raw}`,
];

const ourChannel = (cluster: Cluster, topic: string, raw: boolean): Record<string, string> => ({
  "kafka.bootstrap.servers": cluster.bootstrapServers,
  "kafka.topic": topic,
  "kafka.consumer.group.id": `group-of-${topic}`,
  parseAsFlumeEvent: String(!raw),
});

const avroSource = (name: string, channel: string, port: number): string[] => [
  `a1.sources.${name}.type = avro`,
  `a1.sources.${name}.bind = 127.0.0.1`,
  `a1.sources.${name}.port = ${port}`,
  `a1.sources.${name}.channels = ${channel}`,
];

const avroSink = (name: string, channel: string, port: number): string[] => [
  `a1.sinks.${name}.type = avro`,
  `a1.sinks.${name}.hostname = 127.0.0.1`,
  `a1.sinks.${name}.port = ${port}`,
  `a1.sinks.${name}.channel = ${channel}`,
];

for (const version of ["1.11.0", "1.9.0"] as const satisfies readonly FlumeVersion[]) {
  void test(`Java Flume ${version} and a Kafka channel of ours on one topic`, async (t) => {
    const classPath = await findJars(t, {
      name: `flume-kafka-${version}`,
      pom: "flume-pom.xml",
      versionProperty: "flume.version",
      version,
      contains: `flume-kafka-channel-${version}.jar`,
    });
    if (classPath === undefined) return;
    const cluster = await startCluster(t);
    if (cluster === undefined) return;
    const flume: Flume = { version, classPath };
    const folder = await tempDirectory(t);
    const ports = { parsed: await freePort(), raw: await freePort() };
    const collectors = { parsed: await createCollector(t), raw: await createCollector(t) };
    for (const topic of ["jp", "jr", "op", "or"]) await cluster.createTopic(topic, 1);
    const configFile = join(folder, "java.conf");
    await writeFile(
      configFile,
      [
        "a1.sources = rp rr",
        "a1.channels = jp jr op or",
        "a1.sinks = kp kr",
        ...javaChannel(cluster, "jp", "jp", false),
        ...javaChannel(cluster, "jr", "jr", true),
        ...javaChannel(cluster, "op", "op", false),
        ...javaChannel(cluster, "or", "or", true),
        ...avroSource("rp", "jp", ports.parsed),
        ...avroSource("rr", "jr", ports.raw),
        ...avroSink("kp", "op", collectors.parsed.port),
        ...avroSink("kr", "or", collectors.raw.port),
        "",
      ].join("\n"),
    );
    const agent = await createJavaAgent(t, flume, {
      ...{ name: "a1", configFile },
      listensOn: [ports.parsed, ports.raw],
    });
    await agent.start();

    await t.test("what a Java agent puts is taken by ours, keys and headers equal", async (t2) => {
      await sendOverAvro(ports.parsed, sent);
      const { channel, context } = await startChannel(t2, ourChannel(cluster, "jp", false));
      assert.deepEqual(plain(await takeEvents(channel, sent.length)), plain(sent));
      const records = await cluster.records("jp");
      assert.deepEqual(
        records.map(({ key }) => key),
        ["k1", undefined, undefined, "k1"],
      );
      assert.equal(records[1]?.value.toString("hex"), sent.bytesAt(1).toString("hex"));
      assert.deepEqual(
        context.log.lines.filter(({ level }) => level === "error"),
        [],
      );
    });

    await t.test("so are its raw records", async (t2) => {
      await sendOverAvro(ports.raw, sent);
      const { channel } = await startChannel(t2, ourChannel(cluster, "jr", true));
      assert.deepEqual(plain(await takeEvents(channel, sent.length)), bare(sent));
    });

    await t.test("what ours puts is taken by a Java agent", async (t2) => {
      const { channel } = await startChannel(t2, ourChannel(cluster, "op", false));
      await put(channel, sent);
      await waitFor("the events", () => collectors.parsed.events.length >= sent.length, 60_000);
      assert.deepEqual(plain(collectors.parsed.events), plain(sent));
    });

    await t.test("so are our raw records", async (t2) => {
      const { channel } = await startChannel(t2, ourChannel(cluster, "or", true));
      await put(channel, sent);
      await waitFor("the events", () => collectors.raw.events.length >= sent.length, 60_000);
      assert.deepEqual(plain(collectors.raw.events), bare(sent));
    });

    if (version !== "1.11.0") return;
    await t.test(
      "both are members of one group, and ours goes on when the other stops",
      async (t2) => {
        await agent.kill("SIGTERM");
        await cluster.createTopic("mixed", 4);
        const collector = await createCollector(t2);
        const mixedFile = join(folder, "mixed.conf");
        await writeFile(
          mixedFile,
          [
            "a1.channels = c",
            "a1.sinks = k",
            ...javaChannel(cluster, "c", "mixed", false),
            "a1.channels.c.kafka.consumer.metadata.max.age.ms = 1000",
            ...avroSink("k", "c", collector.port),
            "",
          ].join("\n"),
        );
        const java = await createJavaAgent(t2, flume, { name: "a1", configFile: mixedFile });
        await java.start();
        const { channel, context } = await startChannel(t2, ourChannel(cluster, "mixed", false));
        const ours: string[] = [];
        const takeSome = async (): Promise<void> => {
          const take = await channel.beginTake(100);
          for (const { body } of take.batch) ours.push(body.toString());
          await take.commit();
        };
        const partitions = () => context.metrics.value("millrace_kafka_channel_partitions") ?? 0;
        const shared = async (): Promise<boolean> => {
          await takeSome();
          return partitions() === 2;
        };
        await waitFor("a half of the partitions", shared, 30_000);
        let last = 0;
        const putMore = async (): Promise<void> => {
          for (let i = 0; i < 8; i++, last += 10) {
            const bodies = numbers(last + 1, last + 10).map((n) => ({ body: Buffer.from(`${n}`) }));
            await put(channel, EventBatch.fromEvents(bodies));
          }
        };
        const arrived = (): Set<string> =>
          new Set([...ours, ...collector.events.map(({ body }) => body.toString())]);
        const all = async (): Promise<boolean> => {
          await takeSome();
          return arrived().size === last;
        };
        await putMore();
        await waitFor("every event", all, 60_000);
        assert.equal(ours.length, 40, "half of the partitions, half of the events");
        assert.equal(collector.events.length, 40);
        await java.kill("SIGTERM");
        await putMore();
        await waitFor("every event, from ours alone", all, 60_000);
        assert.equal(partitions(), 4);
        assert.ok(ours.length >= 120);
      },
    );
  });
}
