import { EventBatch, MillraceError, systemRuntime } from "@millrace/core";
import { createCollectingLog, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createFakeWorld, fakeExample, loadText } from "../fake-registry.test.ts";
import { createAgent } from "../graph/create-agent.ts";
import { describeAgent } from "./describe-agent.ts";

const never = new AbortController().signal;
const facts = { version: "1.2.3", pid: 7, uptimeSeconds: 5, role: undefined };

async function given(t: TestContext, text = fakeExample) {
  const world = createFakeWorld();
  const { configuration, lines } = await loadText(text, { world });
  assert.deepEqual(lines, []);
  const log = createCollectingLog();
  const agent = createAgent({
    configuration,
    mode: "strict",
    runtime: systemRuntime,
    log: () => log,
  });
  t.after(() => within("the agent's stop", agent.stop(AbortSignal.abort())));
  const put = (): Promise<void> => {
    const batch = EventBatch.fromEvents([{ body: Buffer.from("x") }]);
    return (
      world.sources.get("r1")?.channelProcessor.processEventBatch(batch) ?? assert.fail("no r1")
    );
  };
  return { agent, world, put, describe: () => describeAgent(agent, facts) };
}

void test("an agent is described with its state, its parts and what its paths promise", async (t) => {
  const { agent, describe } = await given(t);
  const own = { agent: "a1", version: "1.2.3", pid: 7, uptimeSeconds: 5 };
  const parts = {
    configurationGeneration: agent.configuration.generation,
    sources: [{ name: "r1", type: "avro" }],
    channels: [{ name: "c1", type: "memory", events: 0 }],
    sinks: [{ name: "k1", type: "null", channel: "c1" }],
  };
  const idle = { state: "idle", ready: false, reason: "idle" };
  const { paths, ...rest } = describe();
  assert.deepEqual(rest, { ...own, ...idle, ...parts });
  assert.match(paths.join(), /^r1 -> c1 -> k1: /);
  await agent.start();
  assert.equal(describe().state, "running");
  assert.deepEqual([describe().ready, describe().reason], [true, "ready"]);
  assert.equal(describeAgent(agent, { ...facts, role: "edge" }).role, "edge");
  await agent.stop(never);
  assert.deepEqual(
    [describe().state, describe().ready, describe().reason],
    ["stopped", false, "stopped"],
  );
});

void test("a channel is described by its gauges, without what it does not show", async (t) => {
  const { agent, describe } = await given(t);
  let [events, oldest, bytes] = [3, 12.5, NaN];
  const metrics = agent.metrics.withLabels({ component: "c1" });
  metrics.gauge("millrace_channel_events", "Events.", () => events);
  metrics.gauge("millrace_channel_bytes", "Bytes.", () => bytes);
  metrics.gauge("millrace_channel_oldest_event_age_seconds", "Age.", () => oldest);
  agent.metrics
    .withLabels({ component: "c2" })
    .gauge("millrace_channel_capacity_bytes", "Of another.", () => 9);
  const shown = () => describe().channels[0];
  assert.deepEqual(shown(), { name: "c1", type: "memory", events: 3, oldestAgeSeconds: 12.5 });
  [events, oldest, bytes] = [0, 0, 0];
  assert.deepEqual(shown(), { name: "c1", type: "memory", events: 0, bytes: 0 });
  metrics.gauge("millrace_channel_bytes", "Bytes.", () => {
    throw new Error("a channel of a plugin, closed");
  });
  assert.deepEqual(shown(), { name: "c1", type: "memory", events: 0 });
});

void test("a sink is described with why its deliveries fail and since when, until one succeeds", async (t) => {
  const { agent, world, put, describe } = await given(t);
  let fails = true;
  world.step = (what) => {
    if (what === "deliver k1" && fails)
      throw new MillraceError("RPC_CONNECT_FAILED", "no one there");
  };
  await agent.start();
  const beganMs = Date.now();
  await put();
  const lastError = () => describe().sinks[0]?.lastError;
  await waitFor("the failure", () => lastError() !== undefined);
  const { sinceMs, ...why } = lastError() ?? assert.fail("none");
  assert.deepEqual(why, { code: "RPC_CONNECT_FAILED", message: "no one there" });
  assert.ok(sinceMs >= beganMs && sinceMs <= Date.now());
  fails = false;
  await waitFor("the delivery", () => lastError() === undefined, 30_000);
});

void test("the members of a group are described with their group, each with its own failure", async (t) => {
  const { agent, world, put, describe } = await given(
    t,
    `${fakeExample.replace("a1.sinks = k1", "a1.sinks = k1 k2")}
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
a1.sinkgroups = g
a1.sinkgroups.g.sinks = k1 k2
a1.sinkgroups.g.processor.type = failover`,
  );
  world.step = (what) => {
    if (what === "deliver k1") throw new MillraceError("RPC_CONNECT_FAILED", "no one there");
  };
  await agent.start();
  await put();
  await waitFor("the failure", () => describe().sinks[0]?.lastError !== undefined);
  assert.deepEqual(
    describe().sinks.map(({ name, group, lastError }) => [name, group, lastError?.code]),
    [
      ["k1", "g", "RPC_CONNECT_FAILED"],
      ["k2", "g", undefined],
    ],
  );
});
