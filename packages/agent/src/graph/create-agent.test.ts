import { type Channel, type EventBatch, MillraceError, systemRuntime } from "@millrace/core";
import { createFakeClock, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import test from "node:test";
import { createFakeWorld, fakeExample } from "../fake-registry.test.ts";
import {
  attribute,
  batch,
  bodies,
  makeAgent,
  never,
  over,
  process,
  steps,
  withFakeClock,
} from "./made-agent.test.ts";

void test("channels start before sinks before sources, and stop behind them (T589, T592, T595)", async (context) => {
  const { agent, world } = await makeAgent(context, fakeExample);
  assert.deepEqual([agent.state, agent.readiness().ready], ["idle", false]);
  await agent.start();
  assert.deepEqual(world.happened.splice(0), [
    ...["make c1", "make k1", "make r1"],
    ...["start c1", "start k1", "start r1"],
  ]);
  assert.deepEqual([agent.state, agent.readiness()], ["running", { ready: true, reason: "ready" }]);
  await Promise.all([agent.stop(never), agent.stop(never)]);
  assert.deepEqual(world.happened, ["stop r1", "stop k1", "stop c1"]);
  assert.deepEqual(
    [agent.state, agent.readiness()],
    ["stopped", { ready: false, reason: "stopped" }],
  );
});

void test("a channel in trouble makes the agent not ready and shows its own counters", async (context) => {
  const { agent, world } = await makeAgent(context, fakeExample);
  await agent.start();
  const trouble = new MillraceError("CHANNEL_CORRUPT", "7.seg does not verify at offset 512");
  Object.assign(world.channels.get("c1") as Channel, {
    trouble,
    readCounters: () => ({ Unhealthy: 1, ChannelCapacity: 7 }),
  });
  const reason = `in trouble: ${trouble.message}`;
  assert.deepEqual([agent.state, agent.readiness()], ["running", { ready: false, reason }]);
  assert.equal(attribute(agent, "c1", "Unhealthy"), 1);
  assert.equal(attribute(agent, "c1", "ChannelCapacity"), 7);
  await agent.stop(never);
});

void test("an event goes from source over interceptor and channel to the sink, and is counted on its way", async (context) => {
  const text = `${fakeExample}\na1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = static\na1.sources.r1.interceptors.i1.value = v`;
  const { agent, world } = await makeAgent(context, text, { labels: { role: "edge" } });
  await agent.start();
  await process(world, batch("one", "two"));
  await waitFor("the delivery", () => attribute(agent, "k1", "EventDrainSuccessCount") === 2);
  assert.deepEqual(bodies(world), ["one", "two"]);
  assert.equal(world.delivered[0]?.at(0).headers.get("key"), "v");
  assert.equal(attribute(agent, "c1", "EventPutSuccessCount"), 2);
  await waitFor("the take's end", () => attribute(agent, "c1", "ChannelSize") === 0);
  assert.equal(attribute(agent, "c1", "ChannelCapacity"), 100);
  assert.equal(attribute(agent, "c1", "ChannelFillPercentage"), 0);
  const { families } = agent.metrics;
  const accepted = families.get("millrace_source_accepted_events_total")?.samples[0];
  assert.deepEqual(accepted?.labels, { agent: "a1", role: "edge", component: "r1", type: "avro" });
  assert.equal(accepted?.read(), 2);
  const delivered = families.get("millrace_sink_delivered_events_total")?.samples;
  assert.deepEqual(
    delivered?.map(({ labels, read }) => [labels["component"], read()]),
    [["k1", 2]],
  );
});

const groupText = `${fakeExample}
a1.sinks = k1 k2
a1.sinks.k2.type = logger
a1.sinks.k2.channel = c1
a1.sinkgroups = g1
a1.sinkgroups.g1.sinks = k2 k1
a1.sinkgroups.g1.processor.type = failover
`;

void test("a group's members start before it, and the members count what they deliver", async (context) => {
  const { agent, world } = await makeAgent(context, groupText);
  await agent.start();
  assert.deepEqual(steps(world), ["start c1", "start k2", "start k1", "start g1", "start r1"]);
  await process(world, batch("x"));
  await waitFor("the delivery", () => attribute(agent, "k2", "EventDrainSuccessCount") === 1);
  assert.equal(attribute(agent, "k1", "EventDrainSuccessCount"), 0);
  const delivered = agent.metrics.families.get("millrace_sink_delivered_events_total")?.samples;
  assert.deepEqual(
    delivered?.map(({ labels, read }) => [labels["component"], read()]),
    [
      ["k2", 1],
      ["k1", 0],
    ],
  );
  world.happened.length = 0;
  await agent.stop(never);
  assert.deepEqual(steps(world), ["stop r1", "stop g1", "stop k2", "stop k1", "stop c1"]);
});

void test("a group that does not start names its member", async (context) => {
  const world = createFakeWorld();
  world.step = (what) => {
    if (what === "start k1") throw new MillraceError("PATH_MISSING", "no /out");
  };
  const { agent } = await makeAgent(context, groupText, { world });
  await assert.rejects(
    agent.start(),
    /sink group g1 \(failover, .*flume\.conf:15\) did not start: sink k1 \(null, .*flume\.conf:8\): no \/out/,
  );
});

void test("an agent of many components draws no warning of listeners that leak, at its start or stop", async (context) => {
  const names = Array.from({ length: 12 }, (_, i) => `k${i + 1}`);
  const sinks = names.map((name) => `a1.sinks.${name}.type = null\na1.sinks.${name}.channel = c1`);
  const text = fakeExample.replace("a1.sinks = k1", `a1.sinks = ${names.join(" ")}`);
  const world = createFakeWorld();
  const warnings: string[] = [];
  const warned = ({ message }: Error): void => void warnings.push(message);
  globalThis.process.on("warning", warned);
  context.after(() => globalThis.process.off("warning", warned));
  let stopping = 0;
  let letGo: () => void = () => {};
  const stops = new Promise<void>((resolve) => (letGo = resolve));
  world.step = (what) => (what.startsWith("stop k") && ++stopping > 0 ? stops : undefined);
  const { agent } = await makeAgent(context, `${text}\n${sinks.join("\n")}`, { world });
  await agent.start();
  const stopped = agent.stop(new AbortController().signal);
  await waitFor("all sinks to stop at once", () => stopping === 12);
  letGo();
  await within("the stop", stopped);
  assert.deepEqual(warnings, []);
});

void test("an agent that was stopped is not started, and one that never started stops", async (context) => {
  const { agent, world } = await makeAgent(context, fakeExample);
  await agent.stop(never);
  await assert.rejects(agent.start(), { code: "START_ABORTED" });
  assert.deepEqual(world.happened, []);
});

void test("a drain delivers what a channel that is not durable holds, behind the sources' stop", async (context) => {
  const world = createFakeWorld();
  let open = false;
  world.step = (what) => {
    if (what === "deliver k1" && !open) throw new MillraceError("RPC_CONNECT_FAILED", "down");
  };
  const { clock, runtime } = withFakeClock();
  const { agent } = await makeAgent(context, fakeExample, { world, runtime });
  await agent.start();
  await process(world, batch("1", "2"));
  await process(world, batch("3"));
  await clock.advance(100);
  assert.deepEqual(bodies(world), []);
  world.happened.length = 0;
  open = true;
  const stopped = agent.stop(never);
  for (let i = 0; i < 20; i++) await clock.advance(500);
  await within("the stop", stopped);
  assert.deepEqual(bodies(world).sort(), ["1", "2", "3"]);
  assert.equal(world.happened[0], "stop r1");
  assert.deepEqual(world.happened.slice(-2), ["stop k1", "stop c1"]);
  assert.equal(attribute(agent, "c1", "ChannelSize"), 0);
});

void test("at the deadline the drain gives up, and the agent stops all the same", async (context) => {
  const world = createFakeWorld();
  world.step = (what) => {
    if (what === "deliver k1") throw new MillraceError("RPC_CONNECT_FAILED", "down");
  };
  const { clock, runtime } = withFakeClock();
  const { agent } = await makeAgent(context, fakeExample, { world, runtime });
  await agent.start();
  await process(world, batch("1"));
  const deadline = new AbortController();
  const stopped = agent.stop(deadline.signal);
  await clock.advance(1000);
  assert.deepEqual(
    [agent.state, agent.readiness()],
    ["draining", { ready: false, reason: "draining" }],
  );
  deadline.abort();
  for (let i = 0; i < 10; i++) await clock.advance(500);
  await within("the stop", stopped);
  assert.equal(agent.state, "stopped");
  assert.deepEqual(steps(world).slice(-2), ["stop k1", "stop c1"]);
});

void test("a component that ignores the deadline is named and left behind", async (context) => {
  const world = createFakeWorld();
  world.step = (what) => (what === "stop r1" ? new Promise<void>(() => {}) : undefined);
  const { clock, runtime } = withFakeClock();
  const { agent, log } = await makeAgent(context, fakeExample, { world, runtime });
  await agent.start();
  const stopped = agent.stop(over);
  await clock.advance(3000);
  await within("the stop", stopped);
  const errors = log.lines.filter(({ level }) => level === "error").map(({ message }) => message);
  assert.equal(errors.length, 1);
  assert.match(errors[0] ?? "", /^source r1 .* did not stop by the deadline and is left behind$/);
  assert.deepEqual(steps(world).slice(-2), ["stop k1", "stop c1"]);
});

for (const where of ["a delivery", "a put"] as const) {
  void test(`an error of ${where} that is fatal is told once, and the agent is not ready any more`, async (context) => {
    const world = createFakeWorld();
    world.step = (what) => {
      if (what === "deliver k1" && where === "a delivery") {
        throw new MillraceError("CHANNEL_FAILED", "fdatasync failed");
      }
    };
    const { agent, log } = await makeAgent(context, fakeExample, { world });
    await agent.start();
    if (where === "a delivery") await process(world, batch("1"));
    else {
      const source = world.sources.get("r1");
      assert(source !== undefined);
      const broken = {
        *[Symbol.iterator]() {},
        get length(): number {
          throw new MillraceError("CHANNEL_FAILED", "fdatasync failed");
        },
      } as unknown as EventBatch;
      for (let i = 0; i < 2; i++) {
        await assert.rejects(source.channelProcessor.processEventBatch(broken), {
          code: "CHANNEL_FAILED",
        });
      }
    }
    const error = await within("the failure", agent.failed);
    assert.equal(error.code, "CHANNEL_FAILED");
    assert.equal(error.message, `${where === "a put" ? "r1" : "k1"}: fdatasync failed`);
    assert.deepEqual(agent.readiness(), { ready: false, reason: `failed: ${error.message}` });
    const told = log.lines.filter(({ message }) => message.startsWith("the agent stops"));
    assert.equal(told.length, 1);
  });
}

void test("the monitoring port answers while the agent starts, runs and drains, and no longer", async (context) => {
  const world = createFakeWorld();
  const gates = new Map<string, () => void>();
  world.step = (what) =>
    ["start c1", "stop c1"].includes(what)
      ? new Promise<void>((resolve) => gates.set(what, resolve))
      : undefined;
  const monitoring = { type: "http", host: "127.0.0.1", port: 0 } as const;
  const { agent } = await makeAgent(context, fakeExample, { world, monitoring });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${agent.monitoringPort}${path}`);
    return { status: response.status, body: await response.text() };
  };
  const started = agent.start();
  await waitFor("the channel's start", () => gates.has("start c1"));
  const early = await get("/readyz");
  assert.equal(early.status, 503);
  assert.match(early.body, /^starting: channel c1 \(memory, .*flume\.conf:7\) is starting\n$/);
  assert.equal((await get("/startedz")).status, 503);
  gates.get("start c1")?.();
  await started;
  assert.equal((await get("/readyz")).status, 200);
  const json = JSON.parse((await get("/metrics")).body) as Record<string, Record<string, string>>;
  assert.deepEqual(Object.keys(json).sort(), ["CHANNEL.c1", "SINK.k1", "SOURCE.r1"]);
  assert.notEqual(json["SOURCE.r1"]?.["StartTime"], "0");
  assert.equal(json["CHANNEL.c1"]?.["ChannelFillPercentage"], "0.0");
  const stopped = agent.stop(never);
  await waitFor("the channel's stop", () => gates.has("stop c1"));
  assert.deepEqual(await get("/readyz"), { status: 503, body: "draining\n" });
  assert.equal((await get("/startedz")).status, 200, "it was never asked while all ran");
  gates.get("stop c1")?.();
  await stopped;
  await assert.rejects(get("/healthz"));
});

void test("the event loop's lag is measured while the monitoring port is served, and then no more", async (context) => {
  const clock = createFakeClock();
  const monitoring = { type: "prometheus", host: "127.0.0.1", port: 0 } as const;
  const runtime = { ...systemRuntime, clock };
  const measured = await makeAgent(context, fakeExample, { runtime, monitoring });
  const lag = () => measured.agent.metrics.families.get("millrace_event_loop_lag_seconds")?.samples;
  assert.deepEqual(
    lag()?.map(({ labels, read }) => [labels["quantile"], read()]),
    [
      ["0.5", 0],
      ["0.99", 0],
    ],
  );
  await measured.agent.start();
  const timers = clock.timerCount;
  await clock.advance(1000);
  assert.equal(clock.timerCount, timers);
  await measured.agent.stop(over);
  assert.equal(clock.timerCount, 0);
  const unmonitored = await makeAgent(context, fakeExample, { runtime });
  await unmonitored.agent.start();
  assert.equal(clock.timerCount, timers - 1);
});
