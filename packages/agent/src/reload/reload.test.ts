import { systemRuntime } from "@millrace/core";
import { createCollectingLog, createFakeClock, numberedBatch, within } from "@millrace/testing";
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { createFakeWorld, fakeExample, loadText } from "../fake-registry.test.ts";
import { createAgent } from "../graph/create-agent.ts";
import { compareConfigurations } from "./compare-configurations.ts";

const never = new AbortController().signal;

async function startAgent(context: TestContext, text: string, mode: "strict" | "lenient") {
  const world = createFakeWorld();
  const load = (changed: string) => loadText(changed, { world, mode });
  const { configuration, startable, lines } = await load(text);
  assert.equal(startable, true, lines.join("\n"));
  const log = createCollectingLog();
  const agent = createAgent({ configuration, mode, runtime: systemRuntime, log: () => log });
  context.after(() => within("the agent's stop", agent.stop(AbortSignal.abort())));
  const reload = async (changed: string) => {
    const { configuration: wanted } = await load(changed);
    world.happened.length = 0;
    const before = log.lines.length;
    const outcome = await agent.reload(wanted);
    const lines = log.lines.slice(before).map(({ message }) => message);
    return { outcome, happened: world.happened, lines };
  };
  return { agent, reload };
}

test("new limits of a channel are taken over, each said with what it was", async (context) => {
  const { agent, reload } = await startAgent(context, fakeExample, "strict");
  await agent.start();
  const changed = `${fakeExample}\na1.channels.c1.capacity = 200`;
  assert.deepEqual(await reload(changed), {
    outcome: "applied",
    happened: ["reconfigure c1 capacity 200"],
    lines: ["a1.channels.c1.capacity is 200 now; it was 100"],
  });
  assert.equal((await reload(changed)).outcome, "unchanged", "it is what runs now");
  assert.equal((await reload(fakeExample)).outcome, "applied", "and may be taken back");
});

test("a new keep-alive also bounds the wait of a batch that goes to several channels", async (context) => {
  const text = `${fakeExample}
a1.channels = c1 c2
a1.sources.r1.channels = c1 c2
a1.channels.c2.type = memory
a1.channels.c1.capacity = 1
`;
  const world = createFakeWorld();
  const load = async (more: string) =>
    (await loadText(text + more, { world, mode: "strict" })).configuration;
  const clock = createFakeClock();
  const timers: number[] = [];
  const timed = {
    ...clock,
    setTimer: (ms: number, fire: () => void) => (timers.push(ms), clock.setTimer(ms, fire)),
  };
  const agent = createAgent({
    configuration: await load(""),
    mode: "strict",
    runtime: { ...systemRuntime, clock: timed },
    log: () => createCollectingLog(),
  });
  context.after(() => within("the agent's stop", agent.stop(AbortSignal.abort())));
  await agent.start();
  const processor = world.sources.get("r1")?.channelProcessor;
  assert.ok(processor !== undefined);
  const waitOfAPut = async () => {
    timers.length = 0;
    await processor.processEventBatch(numberedBatch(1, 1)).catch(() => {});
    return timers[0];
  };
  assert.equal(await waitOfAPut(), 3000);
  const changed = "a1.channels.c1.keep-alive = 20\na1.channels.c1.capacity = 2\n";
  assert.equal(await agent.reload(await load(changed)), "applied");
  const late = waitOfAPut();
  await clock.advance(30_000);
  assert.equal(await late, 20_000);
});

test("a configuration that says the same in other words changes nothing", async (context) => {
  const { agent, reload } = await startAgent(context, fakeExample, "strict");
  await agent.start();
  const words = `# moved\n${fakeExample.split("\n").toReversed().join("\n")}\na1.channels.c1.capacity=100\na1.sources.r1.type = org.apache.flume.source.AvroSource\n`;
  assert.deepEqual(await reload(words), {
    outcome: "unchanged",
    happened: [],
    lines: ["the configuration was read again: nothing in it has changed"],
  });
});

const wide = `${fakeExample}
a1.sources.r1.interceptors = i1 i2
a1.sources.r1.interceptors.i1.type = static
a1.sources.r1.interceptors.i1.value = v
a1.sources.r1.interceptors.i2.type = static
a1.sources.r1.interceptors.i2.value = w
a1.channels = c1 c2
a1.channels.c2.type = file
a1.sources.r1.channels = c1 c2
a1.sinks = k1 k2
a1.sinks.k2.type = logger
a1.sinks.k2.channel = c1
a1.sinkgroups = g1
a1.sinkgroups.g1.sinks = k2 k1
a1.sinkgroups.g1.processor.type = failover
`;

for (const { what, more, names } of [
  { what: "a source's option", more: "sources.r1.port = 7", names: ["sources.r1.port"] },
  { what: "a type", more: "sinks.k2.type = avro", names: ["sinks.k2.type"] },
  { what: "an option under a prefix", more: "sinks.k1.headers.a = b", names: ["sinks.k1.headers"] },
  {
    what: "an option of a part",
    more: "sinks.k1.serializer.appendNewline = false",
    names: ["sinks.k1.serializer"],
  },
  {
    what: "a channel's option that it cannot take while it runs",
    more: "channels.c2.capacity = 200",
    names: ["channels.c2.capacity"],
  },
  {
    what: "a source's channels",
    more: "sources.r1.channels = c1",
    names: ["channels.c2 (gone)", "sources.r1.channels"],
  },
  {
    what: "the order of interceptors",
    more: "sources.r1.interceptors = i2 i1",
    names: ["sources.r1.interceptors"],
  },
  {
    what: "an interceptor's option",
    more: "sources.r1.interceptors.i2.value = x",
    names: ["sources.r1.interceptors.i2.value"],
  },
  {
    what: "a selector's option",
    more: "sources.r1.selector.optional = c2",
    names: ["sources.r1.selector.optional"],
  },
  { what: "a sink's channel", more: "sinks.k2.channel = c2\na1.sinkgroups = ", names: ["sinks.k2.channel", "sinkgroups.g1 (gone)"] }, // prettier-ignore
  {
    what: "a group's processor",
    more: "sinkgroups.g1.processor.maxpenalty = 200",
    names: ["sinkgroups.g1.processor.maxpenalty"],
  },
  {
    what: "a sink that is new",
    more: "sinks = k1 k2 k3\na1.sinks.k3.type = null\na1.sinks.k3.channel = c1",
    names: ["sinks.k3 (new)"],
  },
]) {
  test(`${what} needs a restart, and keeps a channel's new limit from being taken over alone`, async (context) => {
    const { agent, reload } = await startAgent(context, wide, "strict");
    await agent.start();
    const { outcome, happened, lines } = await reload(
      `${wide}a1.${more}\na1.channels.c1.capacity = 200\n`,
    );
    assert.equal(outcome, "needs-restart");
    assert.deepEqual(happened, [], "nothing half applied");
    const [line = ""] = lines;
    for (const name of names) assert.ok(line.includes(`a1.${name}`), line);
    assert.match(line, /nothing was changed: only a restart/);
    assert.equal((await reload(wide)).outcome, "unchanged");
  });
}

test("a channel that a lenient start left out needs a restart", async (context) => {
  const { agent, reload } = await startAgent(context, fakeExample, "lenient");
  await agent.start();
  const { outcome, lines } = await reload(
    `${fakeExample}\na1.channels = c1 c3\na1.channels.c3.type = memory\na1.sinks = k1 k3\na1.sinks.k3.type = null\na1.sinks.k3.channel = c3\n`,
  );
  assert.equal(outcome, "needs-restart");
  assert.match(lines[0] ?? "", /a1\.channels\.c3 \(new\), a1\.sinks\.k3 \(new\)/);
});

test("an agent that does not run takes nothing over", async (context) => {
  const { agent, reload } = await startAgent(context, fakeExample, "strict");
  const changed = `${fakeExample}\na1.channels.c1.capacity = 200`;
  assert.deepEqual(
    [(await reload(changed)).outcome, (await reload(changed)).lines],
    ["not-running", ["the configuration is not read again: the agent is idle"]],
  );
  await agent.start();
  await agent.stop(never);
  assert.equal((await reload(changed)).outcome, "not-running");
});

test("two readings of one text differ in nothing", async () => {
  const [a, b] = [await loadText(wide), await loadText(wide)];
  assert.deepEqual(compareConfigurations(a.configuration, b.configuration), {
    resized: [],
    restart: [],
  });
});
