/**
 * Every way to speak, in both directions, against a real agent of each version:
 *
 *     deck -> Java: channel -> sink  ==T==> ours: source -> channel -> avro sink -> this test
 *     this test -> ours: avro source -> channel -> sink  ==T==> Java: source -> channel -> deck
 */
import { EventBatch, silentLog, systemRuntime } from "@millrace/core";
import { createAvroClient } from "@millrace/rpc";
import {
  type AgentProcess,
  createAgentProcess,
  freePort,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { awkwardEvents, numberedDeck } from "./decks.ts";
import { agentConfig, memoryChannel, type Path } from "./harness/agent-config.ts";
import { type Collector, createCollector } from "./harness/collector.ts";
import { assertSameEvents, type Deck, readDeck, writeDeck } from "./harness/deck.ts";
import { findFlume, type Flume, flumeVersions } from "./harness/fetch-flume.ts";
import { createJavaAgent, type JavaAgent } from "./harness/java-agent.ts";
import { createTlsStores } from "./harness/tls-stores.ts";
import { type Transport, transports } from "./harness/transports.ts";

const arriveWithinMs = 120_000;
/** The largest body, with the rest of its batch, still fits Thrift's 16,384,000 bytes a frame. */
const bodyBytesMax = 10 * 1024 * 1024;
const deck: Deck = [awkwardEvents(bodyBytesMax), ...numberedDeck([1, 2, 99, 100, 101, 2_000])];
const events = deck.flat();
const local = "127.0.0.1";
/** TRANSPORTS='thrift' runs those alone. */
const asked = new RegExp(process.env["TRANSPORTS"] ?? "");

for (const version of flumeVersions) {
  void test(`Flume ${version} and Millrace understand each other on every wire`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const stage = await createStage(t, flume);
    assert.ok(stage.lanes.size > 0, "no transport of that name");
    for (const [name, lane] of stage.lanes) {
      await t.test(`${name}: Java's sink to our source`, async () => {
        await arrived(stage, () => lane.collector.events.length);
        assertSameEvents(lane.collector.events, events);
      });
      await t.test(`${name}: our sink to Java's source`, async () => {
        await arrived(stage, async () => (await readDeck(lane.javaOutput)).length);
        assertSameEvents(await readDeck(lane.javaOutput), events);
      });
    }
  });
}

interface Lane {
  readonly transport: Transport;
  readonly toOurs: number;
  readonly toJava: number;
  readonly feed: number;
  readonly javaInput: string;
  readonly javaOutput: string;
  readonly collector: Collector;
}

interface Stage {
  readonly java: JavaAgent;
  readonly ours: AgentProcess;
  readonly lanes: ReadonlyMap<string, Lane>;
}

/** All lanes of one version run at once, over one agent of each kind: a JVM takes seconds to start. */
async function createStage(t: TestContext, flume: Flume): Promise<Stage> {
  const folder = await tempDirectory(t);
  const stores = await createTlsStores(t, folder);
  const lanes = new Map<string, Lane>();
  for (const transport of transports(flume.version, stores)) {
    if (!asked.test(transport.name)) continue;
    const file = join(folder, transport.name.replaceAll(" ", "-"));
    lanes.set(transport.name, {
      transport,
      toOurs: await freePort(),
      toJava: await freePort(),
      feed: await freePort(),
      javaInput: `${file}.in`,
      javaOutput: `${file}.out`,
      collector: await createCollector(t),
    });
  }
  const configFile = (agent: string): string => join(folder, `${agent}.conf`);
  await writeFile(configFile("ours"), ourConfig([...lanes.values()]));
  await writeFile(configFile("java"), javaConfig([...lanes.values()]));
  const ours = await createAgentProcess(t, { name: "ours", configFile: configFile("ours") });
  const java = await createJavaAgent(t, flume, {
    name: "java",
    configFile: configFile("java"),
    listensOn: [...lanes.values()].map(({ toJava }) => toJava),
    heapMiB: 1024,
  });
  await ours.start();
  await java.start();
  await Promise.all(
    [...lanes.values()].map(async (lane) => {
      await writeDeck(lane.javaInput, deck);
      await feed(lane.feed);
    }),
  );
  return { java, ours, lanes };
}

function ourConfig(lanes: readonly Lane[]): string {
  const paths: Record<string, Path> = {};
  for (const [index, { transport, collector, ...ports }] of lanes.entries()) {
    const { wire, ourSource, ourSink } = transport;
    paths[`in${index}`] = {
      source: { type: wire, bind: local, port: String(ports.toOurs), ...ourSource },
      channel: memoryChannel,
      sink: avroSink(collector.port),
    };
    paths[`out${index}`] = {
      source: { type: "avro", bind: local, port: String(ports.feed) },
      channel: memoryChannel,
      sink: { ...avroSink(ports.toJava), type: wire, ...ourSink },
    };
  }
  return agentConfig("ours", paths);
}

function javaConfig(lanes: readonly Lane[]): string {
  const paths: Record<string, Path> = {};
  for (const [index, { transport, ...lane }] of lanes.entries()) {
    const { wire, javaSource, javaSink } = transport;
    paths[`in${index}`] = {
      source: { type: wire, bind: local, port: String(lane.toJava), ...javaSource },
      channel: { ...memoryChannel, "keep-alive": "0" },
      sink: { type: "millrace.conformance.DeckSink", deck: lane.javaOutput },
    };
    paths[`out${index}`] = {
      source: {
        type: "millrace.conformance.DeckSource",
        deck: lane.javaInput,
        backoffSleepIncrement: "100",
        maxBackoffSleep: "100",
      },
      channel: memoryChannel,
      sink: { ...avroSink(lane.toOurs), type: wire, ...javaSink },
    };
  }
  return agentConfig("java", paths);
}

/** Patient: a second attempt on a slow machine would make duplicates of what arrived. */
const avroSink = (port: number): Record<string, string> => ({
  type: "avro",
  hostname: local,
  port: String(port),
  "batch-size": "1000",
  "connect-timeout": "60000",
  "request-timeout": "60000",
});

async function feed(port: number): Promise<void> {
  const client = createAvroClient({
    host: local,
    port,
    connectTimeoutMs: 60_000,
    requestTimeoutMs: 60_000,
    maxFrameBytes: 1 << 20,
    clock: systemRuntime.clock,
    log: silentLog,
  });
  await client.connect();
  for (const batch of deck) await client.appendBatch(EventBatch.fromEvents(batch));
  client.close();
}

async function arrived(stage: Stage, count: () => number | Promise<number>): Promise<void> {
  await waitFor(
    `${events.length} events`,
    async () => (await count()) >= events.length,
    arriveWithinMs,
  ).catch((error: Error) => {
    const { ours, java } = stage;
    throw new Error(
      `${error.message}; our agent:\n${ours.output().slice(-3_000)}\nJava's:\n${java.output().slice(-3_000)}`,
    );
  });
}
