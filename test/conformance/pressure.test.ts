/** What each side does when the other is full, fails, says nothing or has hung up. */
import { EventBatch, type MillraceError, silentLog, systemRuntime } from "@millrace/core";
import { createAvroClient, type EventClient } from "@millrace/rpc";
import { freePort, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { numberedDeck } from "./decks.ts";
import { tierConfig } from "./harness/agent-config.ts";
import { type AnyAgent, createAnyAgent, type Kind } from "./harness/any-agent.ts";
import { type Collector, createCollector } from "./harness/collector.ts";
import { assertSameEvents, event, writeDeck } from "./harness/deck.ts";
import { findFlume, type Flume, type FlumeVersion } from "./harness/fetch-flume.ts";
import type { Settings } from "./harness/transports.ts";

const local = "127.0.0.1";
const arriveWithinMs = 90_000;
const small: Settings = {
  type: "memory",
  capacity: "300",
  transactionCapacity: "100",
  "keep-alive": "1",
};
const large: Settings = { type: "memory", capacity: "10000", transactionCapacity: "1000" };
const deck = numberedDeck(Array.from({ length: 30 }, () => 50));
const events = deck.flat();

for (const version of ["1.11.0", "1.9.0"] as const) {
  void test(`a full channel of ours holds Flume ${version} back until it drains, and nothing is lost`, async (t) => {
    const stage = await createStage(t, version, { first: "java", second: "ours" });
    if (stage === undefined) return;
    stage.collector.mode = "FAILED";
    await stage.send();
    await held(stage, "ChannelWriteFail");
    stage.collector.mode = "OK";
    await arrived(stage);
    assertSameEvents(stage.collector.events, events);
  });

  void test(`a full channel of Flume ${version} holds us back until it drains, and nothing is lost`, async (t) => {
    const stage = await createStage(t, version, { first: "ours", second: "java" });
    if (stage === undefined) return;
    stage.collector.mode = "FAILED";
    await stage.send();
    await held(stage, version === "1.9.0" ? undefined : "ChannelWriteFail");
    stage.collector.mode = "OK";
    await arrived(stage);
    assertSameEvents(stage.collector.events, events);
  });

  void test(`Flume ${version} comes back after our idleTimeout hung up`, async (t) => {
    const stage = await createStage(
      t,
      version,
      { first: "java", second: "ours" },
      { idleTimeout: "1000" },
    );
    if (stage === undefined) return;
    await stage.send();
    await arrived(stage);
    await waitFor(
      "our source to hang up",
      async () => (await stage.second.metrics())["SOURCE.s"]?.["OpenConnectionCount"] === "0",
      30_000,
    );
    await stage.send();
    await arrived(stage, events.length * 2);
    assertSameEvents(stage.collector.events, [...events, ...events]);
  });

  void test(`what fails inside Flume ${version} reaches our client as Flume says it, or as a timeout`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const collector = await createCollector(t);
    const port = await freePort();
    const source: Settings = {
      ...avroSource(port),
      interceptors: "i",
      "interceptors.i.type": "millrace.conformance.BrokenInterceptor$Builder",
    };
    const java = await createAnyAgent(t, {
      kind: "java",
      flume,
      config: tierConfig(large, source, avroSink(collector.port)),
      configFile: join(folder, "java.conf"),
      listensOn: [port],
    });
    await java.start();
    const healthy = EventBatch.fromEvents([event("healthy")]);
    const failing = (how: string): EventBatch =>
      EventBatch.fromEvents([event("failing", { fail: how })]);

    const client = await connected(t, port, 20_000);
    await client.append(healthy);
    await fails(client.append(failing("exception")), "RPC_SYSTEM_ERROR");
    await fails(client.appendBatch(failing("exception")), "RPC_STATUS_FAILED");
    await client.append(healthy);
    // Avro's responder calls by reflection, so even a java.lang.Error is answered.
    await fails(client.append(failing("error")), "RPC_SYSTEM_ERROR");
    await fails(client.appendBatch(failing("error")), "RPC_SYSTEM_ERROR");
    await client.append(healthy);
    const impatient = await connected(t, port, 3_000);
    await impatient.append(healthy);
    await fails(impatient.append(failing("late")), "RPC_TIMEOUT");
    assert.equal(impatient.alive, false);
    await client.append(healthy);
    await waitFor("the healthy events", () => collector.events.length >= 5, arriveWithinMs);
    assert.deepEqual(
      collector.events.map(({ body }) => body.toString()),
      ["healthy", "healthy", "healthy", "healthy", "healthy"],
    );
  });
}

interface Stage {
  readonly first: AnyAgent;
  readonly second: AnyAgent;
  readonly collector: Collector;
  send(): Promise<void>;
}

/** deck -> first (large channel) ==> second (small channel) ==> collector */
async function createStage(
  t: TestContext,
  version: FlumeVersion,
  kinds: { readonly first: Kind; readonly second: Kind },
  sourceSettings: Settings = {},
): Promise<Stage | undefined> {
  const flume: Flume | undefined = await findFlume(t, version);
  if (flume === undefined) return undefined;
  const folder = await tempDirectory(t);
  const collector = await createCollector(t);
  const [feed, between] = [await freePort(), await freePort()];
  const deckFile = join(folder, "deck");
  const input: Settings =
    kinds.first === "java"
      ? {
          type: "millrace.conformance.DeckSource",
          deck: deckFile,
          backoffSleepIncrement: "100",
          maxBackoffSleep: "100",
        }
      : avroSource(feed);
  const agent = async (
    name: "first" | "second",
    config: string,
    port: number | undefined,
  ): Promise<AnyAgent> => {
    const created = await createAnyAgent(t, {
      kind: kinds[name],
      flume,
      config,
      configFile: join(folder, `${name}.conf`),
      listensOn: port === undefined ? [] : [port],
      waitsFor: ["CHANNEL.c"],
    });
    await created.start();
    return created;
  };
  const secondSource = { ...avroSource(between), ...sourceSettings };
  const second = await agent(
    "second",
    tierConfig(small, secondSource, avroSink(collector.port)),
    between,
  );
  const first = await agent("first", tierConfig(large, input, avroSink(between)), undefined);
  return {
    first,
    second,
    collector,
    async send() {
      if (kinds.first === "java") return await writeDeck(deckFile, deck);
      const client = await connected(t, feed, 20_000);
      for (const batch of deck) await client.appendBatch(EventBatch.fromEvents(batch));
    },
  };
}

const avroSource = (port: number): Settings => ({ type: "avro", bind: local, port: String(port) });

const avroSink = (port: number): Settings => ({
  type: "avro",
  hostname: local,
  port: String(port),
  "batch-size": "100",
});

/** The second agent has refused a batch of the first, and has a full channel. */
async function held({ second, collector }: Stage, counter: string | undefined): Promise<void> {
  const isHeld = async (): Promise<boolean> => {
    const { "SOURCE.s": source, "CHANNEL.c": channel } = await second.metrics();
    const refused =
      Number(source?.["AppendBatchReceivedCount"]) - Number(source?.["AppendBatchAcceptedCount"]);
    const counted = counter === undefined || Number(source?.[counter] ?? 0) > 0;
    return (
      refused > 0 && counted && Number(channel?.["ChannelSize"]) > 200 && collector.refusals > 1
    );
  };
  await waitFor("a batch to be refused for want of room", isHeld, arriveWithinMs);
}

async function arrived(stage: Stage, count = events.length): Promise<void> {
  const { collector, first, second } = stage;
  await waitFor(`${count} events`, () => collector.events.length >= count, arriveWithinMs).catch(
    (error: Error) => {
      const outputs = [first, second].map((agent) => agent.output().slice(-3_000));
      throw new Error(`${error.message}; the agents:\n${outputs.join("\n----\n")}`);
    },
  );
}

async function connected(
  t: TestContext,
  port: number,
  requestTimeoutMs: number,
): Promise<EventClient> {
  const client = createAvroClient({
    host: local,
    port,
    connectTimeoutMs: 3_000,
    requestTimeoutMs,
    maxFrameBytes: 1 << 20,
    clock: systemRuntime.clock,
    log: silentLog,
  });
  t.after(() => client.close());
  await client.connect();
  return client;
}

async function fails(call: Promise<void>, code: string): Promise<void> {
  await assert.rejects(call, (error: MillraceError) => {
    assert.equal(error.code, code, error.message);
    return true;
  });
}
