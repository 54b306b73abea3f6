import { MillraceError } from "@millrace/core";
import { waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import test from "node:test";
import { createFakeWorld, fakeExample } from "../fake-registry.test.ts";
import { makeAgent, never, steps, withFakeClock } from "./made-agent.test.ts";

void test("in strict mode one that does not start ends the whole start, and names its line", async (context) => {
  const world = createFakeWorld();
  world.step = (what) => {
    if (what === "start r1") throw new MillraceError("PORT_IN_USE", "0.0.0.0:4141 is taken");
  };
  const monitoring = { type: "http", host: "127.0.0.1", port: 0 } as const;
  const { agent, log } = await makeAgent(context, fakeExample, { world, monitoring });
  await assert.rejects(agent.start(), (error: MillraceError) => {
    assert.equal(error.code, "PORT_IN_USE");
    assert.match(
      error.message,
      /^source r1 \(avro, .*flume\.conf:4\) did not start: 0\.0\.0\.0:4141 is taken$/,
    );
    return true;
  });
  assert.deepEqual(steps(world), [
    ...["start c1", "start k1", "start r1"],
    ...["stop r1", "stop k1", "stop c1"],
  ]);
  assert.equal(agent.state, "failed");
  assert.match(String(log.lines.find(({ level }) => level === "error")?.detail["todo"]), /port/);
  await assert.rejects(fetch(`http://127.0.0.1:${agent.monitoringPort}/readyz`));
});

void test("in strict mode one that cannot be made ends the start before anything runs", async (context) => {
  const world = createFakeWorld();
  world.step = (what) => {
    if (what === "make k1") throw new Error("cannot load");
  };
  const { agent } = await makeAgent(context, fakeExample, { world });
  await assert.rejects(agent.start(), /sink k1 \(null, .*\) could not be made: cannot load/);
  assert.deepEqual(
    steps(world).filter((what) => what.startsWith("start")),
    [],
  );
});

const wide = `${fakeExample}
a1.sources = r1 r2
a1.sources.r2.type = avro
a1.sources.r2.port = 0
a1.sources.r2.channels = c2
a1.channels = c1 c2
a1.channels.c2.type = memory
a1.sinks = k1 k2
a1.sinks.k2.type = null
a1.sinks.k2.channel = c2
`;
const unmade: { name: string; broken: string; want: string[] }[] = [
  {
    name: "a source is left out alone (T566)",
    broken: "r2",
    want: ["start c1", "start c2", "start k1", "start k2", "start r1"],
  },
  {
    name: "a channel takes its source and sink with it (T567)",
    broken: "c2",
    want: ["start c1", "start k1", "start r1"],
  },
  {
    name: "a sink is left out alone (T568)",
    broken: "k2",
    want: ["start c1", "start c2", "start k1", "start r1", "start r2"],
  },
];
for (const { name, broken, want } of unmade) {
  void test(`in lenient mode ${name} when it cannot be made`, async (context) => {
    const world = createFakeWorld();
    world.step = (what) => {
      if (what === `make ${broken}`) throw new Error("cannot load");
    };
    const { agent, log } = await makeAgent(context, wide, { world, mode: "lenient" });
    await agent.start();
    await waitFor("all starts", () => steps(world).length === want.length);
    assert.deepEqual(steps(world), want);
    assert.ok(
      log.lines.some(({ level, message }) => level === "error" && message.includes(broken)),
    );
  });
}

void test("in lenient mode one that does not start is tried every 3 s, and the others run (T597, T600)", async (context) => {
  const { clock, runtime } = withFakeClock();
  const world = createFakeWorld();
  let broken = true;
  world.step = (what) => {
    if (what === "start k1" && broken) throw new MillraceError("PATH_MISSING", "no /out");
  };
  const { agent } = await makeAgent(context, fakeExample, { world, mode: "lenient", runtime });
  await agent.start();
  await clock.advance(0);
  assert.deepEqual(steps(world), ["start c1", "start k1", "start r1", "stop k1"]);
  assert.equal(agent.state, "running");
  assert.match(agent.readiness().reason, /^not all started: sink k1 .* PATH_MISSING no \/out$/);
  world.happened.length = 0;
  await clock.advance(2999);
  assert.deepEqual(world.happened, []);
  await clock.advance(1);
  assert.deepEqual(world.happened, ["start k1", "stop k1"]);
  broken = false;
  world.happened.length = 0;
  await clock.advance(3000);
  assert.deepEqual([world.happened, agent.readiness().ready], [["start k1"], true]);
  await clock.advance(10_000);
  assert.deepEqual(world.happened, ["start k1"]);
  await agent.stop(never);
  assert.deepEqual(world.happened, ["start k1", "stop r1", "stop k1", "stop c1"]);
});

void test("one that fails between two attempts is tried on", async (context) => {
  const { clock, runtime } = withFakeClock();
  const world = createFakeWorld();
  let broken = true;
  world.step = (what) => {
    if (broken && /^(start|stop) k1$/.test(what)) throw new MillraceError("PATH_MISSING", what);
  };
  const { agent, log } = await makeAgent(context, fakeExample, { world, mode: "lenient", runtime });
  await agent.start();
  await clock.advance(0);
  broken = false;
  await clock.advance(3000);
  assert.equal(agent.readiness().ready, true);
  assert.ok(log.lines.some(({ message }) => /^sink k1 .* did not stop well$/.test(message)));
});

void test("in lenient mode a channel that does not start holds back what is behind it", async (context) => {
  const { clock, runtime } = withFakeClock();
  const world = createFakeWorld();
  let broken = true;
  world.step = (what) => {
    if (what === "start c1" && broken) throw new MillraceError("CHANNEL_LOCKED", "locked");
  };
  const { agent } = await makeAgent(context, fakeExample, { world, mode: "lenient", runtime });
  const started = agent.start();
  await clock.advance(3000);
  assert.deepEqual(steps(world), ["start c1", "stop c1", "start c1", "stop c1"]);
  assert.match(agent.readiness().reason, /^starting: channel c1 .* did not start: CHANNEL_LOCKED/);
  broken = false;
  await clock.advance(3000);
  await within("the start", started);
  assert.deepEqual(steps(world).slice(4), ["start c1", "start k1", "start r1"]);
});

void test("a stop while components start gives the start up and leaves nothing running (T590, T591)", async (context) => {
  const world = createFakeWorld();
  let waiting = false;
  let letGo: () => void = () => {};
  world.step = (what) => {
    if (what !== "start k1") return undefined;
    waiting = true;
    return new Promise<void>((resolve) => (letGo = resolve));
  };
  const { agent } = await makeAgent(context, fakeExample, { world });
  const started = assert.rejects(agent.start(), { code: "START_ABORTED" });
  await waitFor("the sink's start", () => waiting);
  assert.match(agent.readiness().reason, /^starting: sink k1 .* is starting$/);
  const stopped = agent.stop(never);
  letGo();
  await within("start and stop", Promise.all([started, stopped]));
  assert.deepEqual(steps(world), ["start c1", "start k1", "stop r1", "stop k1", "stop c1"]);
  assert.equal(agent.state, "stopped");
});
