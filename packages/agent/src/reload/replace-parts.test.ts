import { MillraceError, systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  numberedBatch,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { createFakeWorld, fakeExample, type FakeWorld, loadText } from "../fake-registry.test.ts";
import type { Agent, AgentOptions } from "../graph/agent.ts";
import { createAgent } from "../graph/create-agent.ts";

const never = new AbortController().signal;

async function startAgent(context: TestContext, text: string, given: Partial<AgentOptions> = {}) {
  const world = createFakeWorld();
  const { mode = "strict" } = given;
  const load = async (changed: string) => {
    // The check makes components of its own; what runs is what the world is to know.
    const { sources, sinks, channels } = world;
    const kept = [sources, sinks, channels].map((map) => new Map<string, unknown>(map));
    const { configuration, startable, lines } = await loadText(changed, { world, mode });
    for (const [index, map] of [sources, sinks, channels].entries()) {
      map.clear();
      for (const [name, made] of kept[index] ?? []) map.set(name, made as never);
    }
    assert.equal(startable, true, lines.join("\n"));
    return configuration;
  };
  const configuration = await load(text);
  const log = createCollectingLog();
  const runtime = systemRuntime;
  const agent = createAgent({ configuration, mode, runtime, log: () => log, ...given });
  context.after(() => within("the agent's stop", agent.stop(AbortSignal.abort())));
  await agent.start();
  const reload = async (changed: string) => {
    const wanted = await load(changed);
    world.happened.length = 0;
    const before = log.lines.length;
    const outcome = await within("the reload", agent.reload(wanted));
    const steps = world.happened.filter((what) => !/^(make|deliver)/.test(what));
    const lines = log.lines.slice(before).map(({ message }) => message);
    return { outcome, steps, lines };
  };
  return { agent, world, load, reload };
}

const put = (world: FakeWorld, count: number, source = "r1"): Promise<void> =>
  world.sources.get(source)?.channelProcessor.processEventBatch(numberedBatch(1, count)) ??
  Promise.reject(new Error(`no source ${source}`));
const delivered = ({ delivered }: FakeWorld): number =>
  delivered.reduce((sum, { length }) => sum + length, 0);
const sample = (agent: Agent, name: string, component?: string): number | undefined => {
  const samples = agent.metrics.families.get(name)?.samples ?? [];
  const one = samples.find(({ labels }) => (component ?? labels["component"]) === labels["component"]); // prettier-ignore
  return one?.read() as number | undefined;
};

/** Two lines through one agent: r1 -> c1 -> k1, and r2 -> c2 (file) -> g2 of k2 and k3. */
const wide = `${fakeExample}
a1.sources = r1 r2
a1.sources.r2.type = avro
a1.sources.r2.port = 0
a1.sources.r2.channels = c2
a1.channels = c1 c2
a1.channels.c2.type = file
a1.channels.c2.dataDirs = /one
a1.sinks = k1 k2 k3
a1.sinks.k2.type = logger
a1.sinks.k2.channel = c2
a1.sinks.k3.type = logger
a1.sinks.k3.channel = c2
a1.sinkgroups = g2
a1.sinkgroups.g2.sinks = k2 k3
a1.sinkgroups.g2.processor.type = failover
`;

const stopG2 = ["stop g2", "stop k2", "stop k3"];
const startG2 = ["start k2", "start k3", "start g2"];
for (const { what, more, want } of [
  { what: "a source's option restarts the source", more: "sources.r1.port = 7", want: ["stop r1", "start r1"] }, // prettier-ignore
  {
    what: "an interceptor restarts its source",
    more: "sources.r2.interceptors = i\na1.sources.r2.interceptors.i.type = static\na1.sources.r2.interceptors.i.value = v",
    want: ["stop r2", "start r2"],
  },
  { what: "a selector's option restarts its source", more: "sources.r1.selector.optional = c1", want: ["stop r1", "start r1"] }, // prettier-ignore
  { what: "a sink's type restarts the sink", more: "sinks.k1.type = avro", want: ["stop k1", "start k1"] }, // prettier-ignore
  { what: "an option of a part restarts the sink", more: "sinks.k1.serializer.appendNewline = false", want: ["stop k1", "start k1"] }, // prettier-ignore
  { what: "a member restarts its group", more: "sinks.k3.batch-size = 7", want: [...stopG2, ...startG2] }, // prettier-ignore
  { what: "a processor's option restarts the group", more: "sinkgroups.g2.processor.maxpenalty = 200", want: [...stopG2, ...startG2] }, // prettier-ignore
  { what: "another order of members restarts the group", more: "sinkgroups.g2.sinks = k3 k2", want: [...stopG2, "start k3", "start k2", "start g2"] }, // prettier-ignore
  { what: "a sink that is new starts alone", more: "sinks = k1 k2 k3 k4\na1.sinks.k4.type = null\na1.sinks.k4.channel = c1", want: ["start k4"] }, // prettier-ignore
  { what: "a sink that is gone stops alone", more: "sinks = k1 k2\na1.sinkgroups.g2.sinks = k2", want: [...stopG2, "start k2", "start g2"] }, // prettier-ignore
  {
    what: "a channel that cannot take it while it runs is opened anew, with its source and sinks",
    more: "channels.c2.capacity = 200",
    want: ["stop r2", ...stopG2, "stop c2", "start c2", ...startG2, "start r2"],
  },
  { what: "a limit that a channel can take stops nothing", more: "channels.c1.capacity = 200", want: ["reconfigure c1 capacity 200"] }, // prettier-ignore
]) {
  test(`${what}, and nothing else is touched`, async (context) => {
    const { agent, reload } = await startAgent(context, wide);
    const { outcome, steps, lines } = await reload(`${wide}a1.${more}\n`);
    assert.deepEqual([outcome, steps], ["applied", want], lines.join("\n"));
    assert.deepEqual(agent.readiness(), { ready: true, reason: "ready" });
    assert.equal((await reload(`${wide}a1.${more}\n`)).outcome, "unchanged");
    assert.equal((await reload(wide)).outcome, "applied", "and back");
    assert.deepEqual(agent.state, "running");
  });
}

test("what an earlier reload made is stopped with the agent, and what it removed is not (T1053)", async (context) => {
  const { agent, world, reload } = await startAgent(context, wide);
  const other = wide.replaceAll("k1", "k9");
  const { outcome, steps, lines } = await reload(other);
  assert.deepEqual([outcome, steps], ["applied", ["stop k1", "start k9"]]);
  assert.match(lines.at(-1) ?? "", /taken over: a1\.sinks\.k1 \(gone\), a1\.sinks\.k9 \(new\)/);
  world.happened.length = 0;
  await agent.stop(never);
  assert.deepEqual(new Set(world.happened), new Set(["stop r1", "stop r2", "stop k9", ...stopG2, "stop c1", "stop c2"])); // prettier-ignore
});

test("a sink that is replaced gives back what it has not delivered, and the next one delivers it", async (context) => {
  const { world, reload, agent } = await startAgent(context, wide);
  world.step = (what) => {
    if (what === "deliver k1") throw new MillraceError("RPC_CONNECT_FAILED", "down");
  };
  await put(world, 5);
  await waitFor("a delivery", () => world.happened.includes("deliver k1"));
  const { outcome } = await reload(wide.replaceAll("k1", "k9"));
  assert.equal(outcome, "applied");
  await waitFor("the deliveries", () => delivered(world) === 5);
  assert.equal(sample(agent, "millrace_sink_delivered_events_total", "k9"), 5);
  assert.equal(sample(agent, "millrace_sink_delivered_events_total", "k1"), undefined);
});

for (const { what, change, becomes } of [
  { what: "removed", change: (text: string) => text.replace("a1.sources = r1 r2", "a1.sources = r1").replace("a1.sinks = k1 k2 k3", "a1.sinks = k1").replace("a1.sinkgroups = g2", "").replace("a1.channels = c1 c2", "a1.channels = c1"), becomes: "removed" }, // prettier-ignore
  { what: "of another type", change: (text: string) => text.replace("c2.type = file\na1.channels.c2.dataDirs = /one", "c2.type = memory"), becomes: "made a memory channel" }, // prettier-ignore
  { what: "moved", change: (text: string) => text.replace("/one", "/two"), becomes: "moved to another dataDirs" }, // prettier-ignore
]) {
  test(`a channel on disk that holds events is not ${what}, unless it is named in discardOnReload`, async (context) => {
    const { agent, world, reload } = await startAgent(context, wide);
    world.step = (step) => {
      if (step === "deliver k2") throw new MillraceError("RPC_CONNECT_FAILED", "down");
    };
    await put(world, 7, "r2");
    const refused = await reload(change(wide));
    assert.deepEqual([refused.outcome, refused.steps], ["refused", []]);
    assert.ok(
      refused.lines[0]?.includes(`channel c2 holds 7 events and would be ${becomes}`),
      refused.lines[0],
    );
    assert.match(refused.lines[0] ?? "", /discardOnReload = c2/);
    const counts = () =>
      ["last_reload_success", "reload_failures_total"].map((name) =>
        sample(agent, `millrace_config_${name}`),
      );
    assert.deepEqual(counts(), [0, 1]);
    assert.equal(sample(agent, "millrace_events_discarded_total", "a1"), 0);
    const { outcome, lines } = await reload(`${change(wide)}a1.discardOnReload = c2 c7\n`);
    assert.equal(outcome, "applied");
    assert.ok(lines.some((line) => /^discardOnReload: 7 events of channel c2 are given up/.test(line))); // prettier-ignore
    assert.equal(sample(agent, "millrace_events_discarded_total", "a1"), 7);
    assert.deepEqual(counts(), [1, 1]);
  });
}

test("what was to be given up and is there again with the old configuration is not counted", async (context) => {
  const { agent, world, reload } = await startAgent(context, wide);
  let failures = 1;
  world.step = (step) => {
    if (step === "deliver k2") throw new MillraceError("RPC_CONNECT_FAILED", "down");
    if (step === "start k1" && failures-- > 0) throw new MillraceError("PATH_MISSING", "no /out");
  };
  await put(world, 7, "r2");
  const text = `${wide.replace("/one", "/two")}a1.discardOnReload = c2\na1.sinks.k1.batch-size = 7\n`;
  assert.equal((await reload(text)).outcome, "reverted");
  assert.equal(sample(agent, "millrace_events_discarded_total", "a1"), 0);
});

const withoutC1 = wide
  .replace("a1.sources = r1 r2", "a1.sources = r2")
  .replace("a1.sinks = k1 k2 k3", "a1.sinks = k2 k3")
  .replace("a1.channels = c1 c2", "a1.channels = c2");

test("a channel in memory that ends is emptied first, as at a stop", async (context) => {
  const { world, reload } = await startAgent(context, wide);
  let letGo: () => void = () => {};
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  world.step = (what) => (what === "deliver k1" ? gate : undefined);
  await put(world, 5);
  await put(world, 3);
  const reloaded = reload(withoutC1);
  await waitFor("the source's stop", () => world.happened.includes("stop r1"));
  assert.equal(world.happened.includes("stop c1"), false);
  letGo();
  const { outcome, steps } = await reloaded;
  assert.deepEqual([outcome, steps], ["applied", ["stop r1", "stop k1", "stop c1"]]);
  assert.equal(delivered(world), 8);
});

test("one that cannot be emptied in time stays, with what is around it", async (context) => {
  const { agent, world, reload } = await startAgent(context, wide, { reloadDrainMs: 50 });
  let broken = true;
  world.step = (what) => {
    if (what === "deliver k1" && broken) throw new MillraceError("RPC_CONNECT_FAILED", "down");
  };
  await put(world, 5);
  const { outcome, steps, lines } = await reload(withoutC1);
  assert.equal(outcome, "refused");
  assert.deepEqual(steps, ["stop r1", "stop k1", "start k1", "start r1"]);
  assert.ok(lines.some((line) => line.includes("channel c1 holds 5 events and would be removed")));
  assert.equal(agent.readiness().ready, true);
  broken = false;
  await put(world, 2);
  await waitFor("the deliveries", () => delivered(world) === 7);
});

for (const { name, more, broken, outcome, steps } of [
  {
    name: "that cannot be made stops nothing",
    more: "sinks.k1.batch-size = 7",
    broken: "make k1",
    outcome: "refused",
    steps: [],
  },
  {
    name: "whose sink does not start is taken back",
    more: "sinks.k1.batch-size = 7",
    broken: "start k1",
    outcome: "reverted",
    steps: ["stop k1", "start k1", "stop k1", "start k1"],
  },
  {
    name: "whose source does not start is taken back with all that came with it",
    more: "sinks.k1.batch-size = 7\na1.sources.r1.port = 9",
    broken: "start r1",
    outcome: "reverted",
    steps: [
      ...["stop r1", "stop k1", "start k1", "start r1"],
      ...["stop r1", "stop k1", "start k1", "start r1"],
    ],
  },
  {
    name: "whose channel does not open is taken back",
    more: "channels.c2.capacity = 200",
    broken: "start c2",
    outcome: "reverted",
    steps: [
      ...["stop r2", ...stopG2, "stop c2", "start c2"],
      ...["stop r2", ...stopG2, "stop c2", "start c2", ...startG2, "start r2"],
    ],
  },
]) {
  test(`a configuration ${name}, and the old one runs`, async (context) => {
    const { agent, world, load, reload } = await startAgent(context, wide);
    await put(world, 1);
    await waitFor("the delivery", () => delivered(world) === 1);
    const text = `${wide}a1.${more}\n`;
    await load(text);
    let failures = 1;
    // The check of the configuration makes each component once, too.
    const skip = broken.startsWith("make") ? 1 : 0;
    let seen = 0;
    world.step = (what) => {
      if (what !== broken || seen++ < skip || failures-- <= 0) return;
      throw new MillraceError("PORT_IN_USE", "it is taken");
    };
    const result = await reload(text);
    assert.deepEqual([result.outcome, result.steps], [outcome, steps], result.lines.join("\n"));
    assert.ok(result.lines.some((line) => line.includes("it is taken")));
    assert.deepEqual(agent.readiness(), { ready: true, reason: "ready" });
    await put(world, 2);
    await waitFor("the delivery", () => delivered(world) === 3);
    assert.equal(sample(agent, "millrace_sink_delivered_events_total", "k1"), 3);
    world.delivered.length = 0;
    assert.equal((await reload(text)).outcome, "applied", "once it can");
    await put(world, 4);
    await waitFor("the delivery", () => delivered(world) === 4);
    assert.equal(sample(agent, "millrace_sink_delivered_events_total", "k1"), 7, "it counts on");
    const drained = agent
      .counterGroups()
      .find(({ name }) => name === "k1")
      ?.read();
    assert.equal(drained?.["EventDrainSuccessCount"], 7);
  });
}

test("what the old configuration has no place for is not taken back: the rest is tried on", async (context) => {
  const { agent, world, reload } = await startAgent(context, fakeExample, { reloadDrainMs: 50 });
  let broken = true;
  world.step = async (what) => {
    if (what === "deliver k9") throw new MillraceError("RPC_CONNECT_FAILED", "down");
    if (what !== "start r8" || !broken) return;
    if (world.channels.get("c9")?.size === 0) await put(world, 3, "r9");
    throw new MillraceError("PORT_IN_USE", "it is taken");
  };
  const { outcome, lines } = await reload(`${fakeExample}
a1.sources = r1 r9 r8
a1.channels = c1 c9
a1.sinks = k1 k9
a1.sources.r9.type = avro
a1.sources.r9.port = 0
a1.sources.r9.channels = c9
a1.sources.r8.type = avro
a1.sources.r8.port = 0
a1.sources.r8.channels = c9
a1.channels.c9.type = file
a1.sinks.k9.type = null
a1.sinks.k9.channel = c9
`).finally(() => (broken = false));
  assert.equal(outcome, "applied");
  assert.ok(lines.some((line) => line.startsWith("the old configuration cannot come back")));
  assert.match(agent.readiness().reason, /^not all started: source r8/);
  assert.equal(world.channels.get("c9")?.size, 3);
});

test("a stop in the middle of a reload lets it end, and then stops all there is (T591)", async (context) => {
  const { agent, world, load } = await startAgent(context, wide);
  let letGo: () => void = () => {};
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  world.step = (what) => (what === "deliver k1" ? gate : undefined);
  await put(world, 5);
  const wanted = await load(wide.replace("sinks.k1.type = null", "sinks.k1.type = avro"));
  world.happened.length = 0;
  const reloaded = agent.reload(wanted);
  await waitFor("the new sink", () => world.happened.includes("make k1"));
  const later = agent.reload(await load(fakeExample));
  const stopped = agent.stop(never);
  assert.equal(agent.state, "draining");
  letGo();
  assert.equal(await within("the reload", reloaded), "applied");
  assert.equal(await within("the second reload", later), "not-running");
  await within("the stop", stopped);
  assert.equal(agent.state, "stopped");
  assert.equal(delivered(world), 5, "the channel in memory was drained");
  const last = (name: string) => world.happened.filter((what) => what.endsWith(` ${name}`)).at(-1);
  for (const name of ["r1", "r2", "k1", "k2", "k3", "g2", "c1", "c2"]) {
    assert.equal(last(name), `stop ${name}`);
  }
});

test("a stop leaves its time to the channels, not to a reload that cannot empty one", async (context) => {
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock };
  const { agent, world, load } = await startAgent(context, wide, { runtime });
  let broken = true;
  world.step = (what) => {
    if (what === "deliver k1" && broken) throw new MillraceError("RPC_CONNECT_FAILED", "down");
  };
  await put(world, 5);
  const reloaded = agent.reload(await load(withoutC1));
  await waitFor("the source's stop", () => world.happened.includes("stop r1"));
  const fromMs = clock.monotonic();
  const stopped = agent.stop(never);
  let outcome: string | undefined;
  void reloaded.then((is) => (outcome = is));
  await waitFor("the reload's end", async () => (await clock.advance(100), outcome !== undefined));
  assert.equal(outcome, "refused");
  assert.ok(clock.monotonic() - fromMs <= 5000, "long before the reload's own 30 s");
  broken = false;
  let isStopped = false;
  void stopped.then(() => (isStopped = true));
  await waitFor("the stop", async () => (await clock.advance(100), isStopped));
  assert.equal(delivered(world), 5);
});

test("a stop gives up what a reload brings and what does not start, and drains what there was", async (context) => {
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock };
  const { agent, world, load } = await startAgent(context, wide, { runtime });
  let broken = true;
  world.step = (what, aborted) => {
    if (what === "deliver k1" && broken) throw new MillraceError("RPC_CONNECT_FAILED", "down");
    if (what !== "start r9") return;
    // As a channel whose directory another agent holds.
    return new Promise<void>((_, reject) => {
      const giveUp = (): void => reject(new MillraceError("START_ABORTED", "given up"));
      aborted?.addEventListener("abort", giveUp);
    });
  };
  await put(world, 5);
  const more = "a1.sources = r1 r2 r9\na1.sources.r9.type = avro\na1.sources.r9.port = 0\n";
  const reloaded = agent.reload(await load(`${wide}${more}a1.sources.r9.channels = c1\n`));
  await waitFor("the new source's start", () => world.happened.includes("start r9"));
  const fromMs = clock.monotonic();
  const stopped = agent.stop(never);
  let outcome: string | undefined;
  void reloaded.then((is) => (outcome = is));
  await waitFor("the reload's end", async () => (await clock.advance(100), outcome !== undefined));
  assert.equal(outcome, "reverted");
  assert.ok(clock.monotonic() - fromMs <= 5000);
  broken = false;
  let isStopped = false;
  void stopped.then(() => (isStopped = true));
  await waitFor("the stop", async () => (await clock.advance(100), isStopped));
  assert.equal(delivered(world), 5);
});

test("reloads go one after the other, and the last one asked for runs at the end", async (context) => {
  const { agent, world, load } = await startAgent(context, wide);
  const texts = [7, 8, 9].map((port) => `${wide}a1.sources.r1.port = ${port}\n`);
  const wanted = await Promise.all(texts.map(load));
  world.happened.length = 0;
  const outcomes = await Promise.all(wanted.map((one) => agent.reload(one)));
  assert.deepEqual(outcomes, ["applied", "applied", "applied"]);
  const steps = world.happened.filter((what) => /^(start|stop)/.test(what));
  assert.deepEqual(steps, ["stop r1", "start r1", "stop r1", "start r1", "stop r1", "start r1"]);
  assert.equal(agent.configuration, wanted[2]);
});

test("in lenient mode a reload ends the attempts to start what it replaces", async (context) => {
  const world = createFakeWorld();
  const text = `${wide}a1.sinks.k1.batch-size = 7\n`;
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock };
  const { configuration } = await loadText(text, { world, mode: "lenient" });
  const { configuration: wanted } = await loadText(wide, { world, mode: "lenient" });
  let broken = true;
  world.step = (what) => {
    if (what === "start k1" && broken) throw new MillraceError("PATH_MISSING", "no /out");
  };
  const log = createCollectingLog();
  const agent = createAgent({ configuration, mode: "lenient", runtime, log: () => log });
  context.after(() => within("the agent's stop", agent.stop(AbortSignal.abort())));
  await agent.start();
  await clock.advance(0);
  assert.match(agent.readiness().reason, /^not all started: sink k1/);
  broken = false;
  world.happened.length = 0;
  assert.equal(await within("the reload", agent.reload(wanted)), "applied");
  assert.deepEqual(agent.readiness(), { ready: true, reason: "ready" });
  await clock.advance(10_000);
  const starts = world.happened.filter((what) => what === "start k1");
  assert.equal(starts.length, 1, "the one that was tried before is tried no more");
});

test("a start that does not heed its end keeps no reload from going on after the deadline", async (context) => {
  const world = createFakeWorld();
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock };
  const { configuration } = await loadText(`${wide}a1.sinks.k1.batch-size = 7\n`, { world });
  const { configuration: wanted } = await loadText(wide, { world });
  let starts = 0;
  world.step = (what) => {
    if (what === "start k1" && starts++ === 0) return new Promise<void>(() => {});
  };
  const log = createCollectingLog();
  const agent = createAgent({ configuration, mode: "lenient", runtime, log: () => log });
  const passing = async (what: string, work: Promise<unknown>): Promise<void> => {
    let isOver = false;
    void work.then(() => (isOver = true));
    await waitFor(what, async () => (await clock.advance(1000), isOver));
  };
  context.after(() => passing("the agent's stop", agent.stop(AbortSignal.abort())));
  await agent.start();
  const outcome = agent.reload(wanted);
  await passing("the reload", outcome);
  assert.deepEqual([await outcome, starts], ["applied", 2]);
});

test("in lenient mode what still did not start can be put right by a reload (T1054)", async (context) => {
  const large = `${wide}a1.sinks.k1.batch-size = 1000\n`;
  const { agent, world, reload } = await startAgent(context, large, { mode: "lenient" });
  await put(world, 4, "r2");
  await waitFor("the others' delivery", () => delivered(world) === 4);
  await put(world, 5);
  assert.equal(agent.configuration.sinks.has("k1"), false, "its batches are too large");
  const { outcome, steps } = await reload(wide);
  assert.deepEqual([outcome, steps], ["applied", ["start k1"]]);
  await waitFor("its deliveries", () => delivered(world) === 9);
});
