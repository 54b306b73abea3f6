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
  const [a, b] = [await loadText(fakeExample), await loadText(fakeExample)];
  assert.deepEqual(compareConfigurations(a.configuration, b.configuration), []);
});
