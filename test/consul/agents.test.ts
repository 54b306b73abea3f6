/** The configurations in deploy/agents/discovery as real agents, with a real Consul that comes and goes. */
import {
  type AgentProcess,
  createAgentProcess,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  freePort,
  projectRoot,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { findGoProgram } from "../harness/go-program.ts";
import { consulProgram } from "../harness/go-programs.ts";
import { createConsulServer } from "./harness/consul-server.ts";

const patienceMs = 60_000;
const configuration = (name: string): string =>
  join(projectRoot, "deploy", "agents", "discovery", `consul-${name}.conf`);

interface Stage {
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

async function createCollector(
  t: TestContext,
  { folder, environment }: Stage,
  name: string,
): Promise<{ agent: AgentProcess; port: number; out: string }> {
  const out = join(folder, name, "out");
  await mkdir(out, { recursive: true });
  const port = await freePort();
  const agent = await createAgentProcess(t, {
    name: "collector",
    configFile: configuration("collector"),
    environment,
    defines: {
      "collector.bind": "127.0.0.1",
      "collector.port": port,
      "collector.state": join(folder, name),
      "collector.out": out,
      "collector.consul.interval": 1,
    },
  });
  return { agent, port, out };
}

async function accepted({ metrics }: AgentProcess): Promise<number> {
  return Number((await metrics())["SOURCE.in"]?.["EventAcceptedCount"] ?? 0);
}

test("edges and collectors find each other in Consul, and lose nothing when it, or one of them, is gone", async (t) => {
  const binary = findGoProgram(t, consulProgram);
  if (binary === undefined) return;
  const consul = await createConsulServer(t, binary);
  await consul.start();
  const folder = await tempDirectory(t);
  const stage = { folder, environment: { CONSUL_HTTP_ADDR: consul.address } };
  const first = await createCollector(t, stage, "first");
  const second = await createCollector(t, stage, "second");
  const logs = join(folder, "logs");
  const state = join(folder, "edge");
  await mkdir(logs);
  await mkdir(state);
  const edge = await createAgentProcess(t, {
    name: "edge",
    configFile: configuration("edge"),
    environment: stage.environment,
    defines: { "edge.logs": logs, "edge.state": state },
  });
  const oracle = createOracle({
    positionFile: join(state, "positions.json"),
    outputs: { first: first.out, second: second.out },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: ["a.log", "b.log"].map((name) => join(logs, name)),
    linesPerSecond: 500,
    lineBytes: 100,
    random: createSeededRandom(11),
  });
  t.after(() => writer.close());

  const registered = (...collectors: readonly { port: number }[]): Promise<void> => {
    const ids = collectors.map(({ port }) => `millrace:collector:127.0.0.1:${port} passing`).sort();
    return waitFor(
      `Consul to have ${ids.join(", ") || "none"}`,
      async () => JSON.stringify(await consul.health("collectors")) === JSON.stringify(ids),
      patienceMs,
    );
  };
  const progress = async (lines: number): Promise<void> => {
    await oracle.progress(lines, patienceMs);
  };
  const receives = async (agent: AgentProcess): Promise<void> => {
    const before = await accepted(agent);
    const more = async (): Promise<boolean> => (await accepted(agent)) > before;
    await waitFor("a collector's share", more, patienceMs).catch((error: Error) => {
      throw new Error(`${error.message}; the edge said:\n${edge.output()}`);
    });
  };

  await Promise.all([first.agent.start(), second.agent.start()]);
  await registered(first, second);
  await edge.start();
  writer.start();
  await receives(first.agent);
  await receives(second.agent);

  // One stops in order: it is out of Consul at once, and the other has all.
  assert.equal((await first.agent.kill("SIGTERM")).code, 0);
  await registered(second);
  await progress(500);
  await first.agent.start();
  await registered(first, second);
  await receives(first.agent);

  // Consul is gone: what was last known is used, also by an edge that starts without it.
  await consul.kill();
  await progress(500);
  assert.equal((await edge.kill("SIGTERM")).code, 0);
  await edge.start();
  await progress(500);
  assert.match(edge.output(), /last known, from .*collectors\.json: 127\.0\.0\.1:\d+, 127/);

  // A collector dies without Consul to tell: the edge leaves it out by itself.
  await second.agent.kill("SIGKILL");
  await progress(500);
  await second.agent.start();
  await receives(second.agent);

  // A Consul that knows nothing: collectors register again, edges follow again.
  await consul.forget();
  await consul.start();
  await registered(first, second);
  await waitFor("the edge to follow Consul", () => / names again /.test(edge.output()), patienceMs);
  await receives(first.agent);
  await receives(second.agent);

  await writer.stop();
  await oracle.settled(patienceMs);
  const { issued, missing, unknown, changed, duplicates } = oracle.judge.verdict();
  assert.deepEqual({ missing, unknown, changed }, { missing: 0, unknown: 0, changed: 0 });
  assert.ok(issued > 3000, `only ${issued} lines were written`);
  t.diagnostic(`${issued} lines, ${duplicates} duplicates, nothing missing`);
});
