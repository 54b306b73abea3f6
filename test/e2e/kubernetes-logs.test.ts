/** A node's container logs, rotated as kubelet does it, through an edge agent and a collector, with kills. */
import {
  createArrivalJudge,
  createOutputTail,
  encodeNumberedLine,
  nodeFileSystem,
  parseNumberedLine,
} from "@millrace/core";
import {
  type AgentProcess,
  createAgentProcess,
  createFakeKubelet,
  createSeededRandom,
  type FakeContainer,
  type FakePod,
  freePort,
  type LogStream,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const runMs = Number(process.env["SECONDS"] ?? "10") * 1000;
const tickMs = 50;
/** Fewer than kubelet keeps: what is rotated while the agent is down is there for the next one. */
const rotationsWhileDownMax = 3;

interface Written {
  readonly container: FakeContainer;
  readonly name: string;
  rotatedAtMs: number;
  rotationsWhileDown: number;
}

/** A node with an edge agent, a collector, and a judge at both ends. */
async function createNode(test: TestContext) {
  const folder = await tempDirectory(test);
  const kubelet = createFakeKubelet({ directory: join(folder, "log"), maxFiles: 6 });
  const judge = createArrivalJudge();
  const port = await freePort();
  const out = join(folder, "out");
  await mkdir(out);
  const edgeConf = join(folder, "edge.conf");
  const collectorConf = join(folder, "collector.conf");
  await writeFile(edgeConf, edgeText(folder, kubelet.podsDirectory, port));
  await writeFile(collectorConf, collectorText(folder, out, port));
  const edge = await createAgentProcess(test, { name: "edge", configFile: edgeConf });
  const collector = await createAgentProcess(test, { name: "col", configFile: collectorConf });
  const tail = createOutputTail(nodeFileSystem, out);
  const lines = new Map<string, { count: number; endOffset: number }>();
  const random = createSeededRandom(11);

  const write = (container: FakeContainer, name: string, stream: LogStream): void => {
    const key = `${name}-${stream}`;
    const state = lines.get(key) ?? { count: 0, endOffset: 0 };
    lines.set(key, state);
    // Now and then a line that the runtime writes in pieces.
    const bytes = random.integer(40) === 0 ? 40_000 : random.integer(200);
    const line = encodeNumberedLine(key, state.count++, "x".repeat(bytes));
    state.endOffset += line.length + 1;
    judge.issue(key, line, state.endOffset);
    container.write(stream, line);
  };
  const update = async (): Promise<void> => {
    await tail.read(await tail.sizes(), (line, where) =>
      judge.arrive("out", parseNumberedLine(line), where),
    );
  };
  return {
    kubelet,
    judge,
    edge,
    collector,
    write,
    /** Waits until every line written so far has arrived. */
    async settled(): Promise<void> {
      await waitFor(
        "every line to arrive",
        async () => {
          await update();
          const { distinct, issued } = judge.totals();
          return distinct === issued;
        },
        90_000,
      ).catch((error: Error) => {
        const { missing, missingLines, ...totals } = judge.verdict();
        const text = JSON.stringify({ missing, missingLines: missingLines.slice(0, 4), totals });
        throw new Error(`${error.message}: ${text}\n${edge.output().slice(-3000)}`);
      });
    },
    update,
  };
}

function edgeText(folder: string, pods: string, port: number): string {
  return `
edge.sources = pods
edge.channels = disk
edge.sinks = near
edge.sources.pods.type = kubernetes
edge.sources.pods.channels = disk
edge.sources.pods.path = ${pods}
edge.sources.pods.positionFile = ${folder}/edge/positions.json
edge.sources.pods.podAnnotations = false
edge.sources.pods.excludeSelf = false
edge.sources.pods.backoffSleepIncrement = 100
edge.sources.pods.maxBackoffSleep = 200
edge.sources.pods.batchSize = 200
edge.channels.disk.type = file
edge.channels.disk.checkpointDir = ${folder}/edge/checkpoint
edge.channels.disk.dataDirs = ${folder}/edge/data
edge.channels.disk.minimumRequiredSpace = 1
edge.sinks.near.type = avro
edge.sinks.near.channel = disk
edge.sinks.near.hostname = 127.0.0.1
edge.sinks.near.port = ${port}
edge.sinks.near.batch-size = 200
`;
}

function collectorText(folder: string, out: string, port: number): string {
  return `
col.sources = in
col.channels = disk
col.sinks = out
col.sources.in.type = avro
col.sources.in.channels = disk
col.sources.in.bind = 127.0.0.1
col.sources.in.port = ${port}
col.channels.disk.type = file
col.channels.disk.checkpointDir = ${folder}/col/checkpoint
col.channels.disk.dataDirs = ${folder}/col/data
col.channels.disk.minimumRequiredSpace = 1
col.sinks.out.type = file_roll
col.sinks.out.channel = disk
col.sinks.out.sink.directory = ${out}
col.sinks.out.sink.rollInterval = 0
`;
}

/** Writes to all containers and rotates each every second, until the promise has settled. */
async function underLoad(
  node: Awaited<ReturnType<typeof createNode>>,
  containers: readonly Written[],
  edge: AgentProcess,
  until: Promise<unknown>,
): Promise<number> {
  let isOver = false;
  void until.finally(() => (isOver = true));
  let rotations = 0;
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, tickMs));
    for (const written of containers) {
      for (let i = 0; i < 15; i++) {
        node.write(written.container, written.name, i % 3 === 0 ? "stderr" : "stdout");
      }
      if (edge.running) written.rotationsWhileDown = 0;
      const isDue = performance.now() - written.rotatedAtMs > 1000;
      if (!isDue || written.rotationsWhileDown >= rotationsWhileDownMax) continue;
      written.container.rotate();
      written.rotatedAtMs = performance.now();
      written.rotationsWhileDown++;
      rotations++;
    }
  }
  return rotations;
}

test(
  "no line of a node's containers is lost, whatever kubelet rotates and whenever the agent is killed",
  { timeout: 240_000 },
  async (t) => {
    const node = await createNode(t);
    const { edge } = node;
    const pods: FakePod[] = ["web-0", "web-1"].map((name) => node.kubelet.pod({ name }));
    const containers: Written[] = pods.flatMap((pod) =>
      ["app", "sidecar"].map((name, i) => ({
        container: pod.container(name),
        name: `${pod.name}-${name}`,
        rotatedAtMs: performance.now() + i * 500,
        rotationsWhileDown: 0,
      })),
    );
    await node.collector.start();
    await edge.start();
    let kills = 0;
    const faults = async (): Promise<void> => {
      const endsAt = performance.now() + runMs;
      while (performance.now() < endsAt) {
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        await edge.kill("SIGKILL");
        kills++;
        await edge.start();
        // A look at every log of now, before any more is removed.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    };
    const rotations = await underLoad(node, containers, edge, faults());
    await node.settled();

    const [first] = containers;
    assert.ok(first !== undefined);
    first.container.restart();
    node.write(first.container, first.name, "stdout");
    await node.settled();
    // The agent holds these logs open: they are read to their end although they are gone.
    for (const { container, name } of containers) node.write(container, name, "stdout");
    for (const pod of pods) pod.delete();
    await node.settled();

    const verdict = node.judge.verdict();
    t.diagnostic(
      `${verdict.issued} lines, ${verdict.duplicates} duplicates, ${rotations} rotations, ${kills} kills`,
    );
    assert.equal(verdict.missing, 0);
    assert.equal(verdict.unknown, 0, verdict.complaints.join("; "));
    assert.equal(verdict.changed, 0, verdict.complaints.join("; "));
    assert.equal(verdict.outOfOrder, 0, verdict.complaints.join("; "));
    assert.ok(rotations >= 12, `${rotations} rotations`);
    assert.ok(kills >= 2, `${kills} kills`);
    assert.ok(verdict.issued > 3_000, `${verdict.issued} lines`);
  },
);

test(
  "what kubelet removes while no agent runs is counted, and nothing else is missing",
  { timeout: 120_000 },
  async (t) => {
    const node = await createNode(t);
    const { edge } = node;
    const app = node.kubelet.pod({ name: "web-0" }).container("app");
    await node.collector.start();
    await edge.start();
    node.write(app, "web-0-app", "stdout");
    await node.settled();
    await edge.kill("SIGKILL");
    const before = node.judge.totals().issued;
    let removed = 0;
    for (let i = 0; i < 10; i++) {
      node.write(app, "web-0-app", "stdout");
      removed += app.rotate().length;
    }
    node.write(app, "web-0-app", "stdout");
    assert.ok(removed >= 2, `${removed} logs removed`);
    await edge.start();
    // The first log held the line that was read, and the first of the others.
    const { issued } = node.judge.totals();
    await waitFor("what is left to arrive", async () => {
      await node.update();
      return node.judge.totals().distinct === issued - removed;
    });
    const verdict = node.judge.verdict();
    assert.equal(verdict.missing, removed);
    assert.equal(verdict.missingLines[0]?.lineNumber, before + 1);
    assert.equal(verdict.outOfOrder, 0);
    const url = `http://127.0.0.1:${edge.monitoringPort}/metrics/prometheus`;
    const metrics = await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();
    assert.match(metrics, /^millrace_source_files_lost_total\{[^}]*\} 1$/m);
  },
);
