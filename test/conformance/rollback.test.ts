/**
 * A site moves an agent to Millrace and back. What Java and Millrace share is the source's side
 * files; each has a file channel of its own, and what is left in ours when we go is drained by an
 * agent that has no source.
 */
import { tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileChannel, tierConfig } from "./harness/agent-config.ts";
import { type AnyAgent, createAnyAgent, type Kind } from "./harness/any-agent.ts";
import { type Collector, createCollector } from "./harness/collector.ts";
import { findFlume, type Flume } from "./harness/fetch-flume.ts";
import type { Settings } from "./harness/transports.ts";

const arriveWithinMs = 90_000;

for (const version of ["1.11.0", "1.9.0"] as const) {
  void test(`one spooldir goes from Flume ${version} to Millrace and back in the middle of files`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const spool = join(folder, "spool");
    await mkdir(spool);
    const written: string[] = [];
    for (const name of ["1.log", "2.log", "3.log"]) {
      const lines = numberedLines(name, 4_000);
      written.push(...lines);
      await writeFile(join(spool, name), `${lines.join("\n")}\n`);
    }
    // Slower than the source, so that the small channel holds the source back inside a file.
    const collector = await createCollector(t, 20);
    const source: Settings = { type: "spooldir", spoolDir: spool, batchSize: "100" };
    const agents = await createPair(t, flume, folder, source, collector, "500");
    const metaFile = join(spool, ".flumespool", ".flumespool-main.meta");

    const phases = [
      { kind: "java", until: 2_000, end: "SIGTERM" },
      { kind: "ours", until: 6_000, end: "SIGKILL" },
      { kind: "java", until: written.length, end: "SIGTERM" },
    ] as const;
    for (const { kind, until, end } of phases) {
      const agent = agents[kind];
      await agent.start();
      if (until === written.length) {
        await waitFor("all files to be done", () => allDone(spool), arriveWithinMs);
        await emptied(agent);
      } else {
        await arrived(collector, until, agent);
        assert.ok((await stat(metaFile)).size > 0, `${kind} leaves its place in the file`);
      }
      await agent.kill(end);
    }
    await agents.drain.start();
    await arrivedAll(collector, written, agents.drain);
    // The first 2,000 lines or more would come again if a place was not understood.
    const duplicates = collector.events.length - written.length;
    assert.ok(duplicates <= 1_000, `${duplicates} duplicates`);
    t.diagnostic(`${written.length} lines, ${duplicates} duplicates`);
  });

  void test(`one taildir position file goes from Flume ${version} to Millrace and back without a duplicate`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    await mkdir(join(folder, "in"));
    const collector = await createCollector(t);
    const source: Settings = {
      type: "TAILDIR",
      filegroups: "all",
      "filegroups.all": `${join(folder, "in")}/.*[.]log`,
      positionFile: join(folder, "positions.json"),
      writePosInterval: "500",
    };
    const agents = await createPair(t, flume, folder, source, collector, "10000");
    const written: string[] = [];
    const write = async (count: number): Promise<void> => {
      for (const name of ["a.log", "b.log"]) {
        const lines = numberedLines(`${name} ${written.length}`, count);
        written.push(...lines);
        await appendFile(join(folder, "in", name), `${lines.join("\n")}\n`);
      }
    };
    for (const kind of ["java", "ours", "java", "ours"] as const) {
      const agent = agents[kind];
      // Written while nobody runs, and while one does.
      await write(500);
      await agent.start();
      await write(500);
      await arrivedAll(collector, written, agent);
      await emptied(agent);
      await agent.kill("SIGTERM");
    }
    assert.equal(collector.events.length, written.length, "each line once");
  });
}

interface Pair extends Readonly<Record<Kind, AnyAgent>> {
  /** Ours without a source, on our channel. */
  readonly drain: AnyAgent;
}

async function createPair(
  t: TestContext,
  flume: Flume,
  folder: string,
  source: Settings,
  collector: Collector,
  capacity: string,
): Promise<Pair> {
  const sink: Settings = {
    type: "avro",
    hostname: "127.0.0.1",
    port: String(collector.port),
    "batch-size": "100",
  };
  const create = async (kind: Kind, name: string, own: Settings | undefined): Promise<AnyAgent> => {
    const channel = {
      ...fileChannel(join(folder, kind)),
      capacity,
      transactionCapacity: "100",
    };
    const config = tierConfig(channel, own, sink);
    const configFile = join(folder, `${name}.conf`);
    return await createAnyAgent(t, { kind, flume, config, configFile, waitsFor: ["CHANNEL.c"] });
  };
  return {
    java: await create("java", "java", source),
    ours: await create("ours", "ours", source),
    drain: await create("ours", "drain", undefined),
  };
}

const numberedLines = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${name} line ${i} ${"x".repeat(i % 80)}`);

async function arrived(collector: Collector, count: number, agent: AnyAgent): Promise<void> {
  const seen = (): number => distinct(collector).size;
  await explained(`${count} lines`, () => seen() >= count, agent);
}

async function arrivedAll(
  collector: Collector,
  written: readonly string[],
  agent: AnyAgent,
): Promise<void> {
  await arrived(collector, written.length, agent);
  const bodies = distinct(collector);
  const missing = written.filter((line) => !bodies.has(line));
  assert.deepEqual(missing.slice(0, 5), [], `${missing.length} lines are missing`);
  assert.equal(bodies.size, written.length, "lines that nobody wrote");
}

const distinct = (collector: Collector): Set<string> =>
  new Set(collector.events.map(({ body }) => body.toString()));

/** Waits until the agent's channel is empty: then all it took has been acknowledged. */
async function emptied(agent: AnyAgent): Promise<void> {
  const empty = async (): Promise<boolean> =>
    (await agent.metrics())["CHANNEL.c"]?.["ChannelSize"] === "0";
  await explained("an empty channel", empty, agent);
}

async function allDone(spool: string): Promise<boolean> {
  const names = (await readdir(spool)).filter((name) => !name.startsWith("."));
  return names.length > 0 && names.every((name) => name.endsWith(".COMPLETED"));
}

async function explained(
  what: string,
  condition: () => boolean | Promise<boolean>,
  agent: AnyAgent,
): Promise<void> {
  await waitFor(what, condition, arriveWithinMs).catch((error: Error) => {
    throw new Error(`${error.message}; the agent:\n${agent.output().slice(-4_000)}`);
  });
}
