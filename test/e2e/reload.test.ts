/**
 * Configurations that change under load, by real processes:
 *
 *     files -> edge: taildir -> file -> avro ==> a or b: avro -> memory or file -> file_roll
 */
import { generationOf } from "@millrace/agent";
import {
  type Child,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  freePort,
  placeFile,
  programCommand,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const seed = Number(process.env["SEED"] ?? "1");
const kills = Number(process.env["KILLS"] ?? "4");

/** An agent whose file is changed while it runs. */
async function createAgent(t: TestContext, folder: string, name: string, ...words: string[]) {
  const configFile = join(folder, `${name}.conf`);
  const port = await freePort();
  const lives: Child[] = [];
  const get = async (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
  const metric = async (pattern: string): Promise<number | undefined> => {
    const text = await (await get("/metrics")).text();
    const found = new RegExp(`^${pattern}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const output = (): string => lives.map((child) => child.output()).join("");
  return {
    configFile,
    metric,
    output,
    child: () => lives.at(-1) as Child,
    async start() {
      const life = startChild(t, {
        command: [
          ...programCommand("cli/main"),
          ...["agent", "-n", name, "-f", configFile, ...words],
          "-Dflume.monitoring.type=prometheus",
          `-Dflume.monitoring.port=${port}`,
        ],
      });
      lives.push(life);
      const ready = async () => life.exit !== undefined || (await get("/readyz").catch(() => undefined))?.ok === true; // prettier-ignore
      await waitFor(`agent ${name}`, ready, 60_000);
      assert.equal(life.exit, undefined, output());
    },
    configure: (text: string) => placeFile(configFile, text),
    /** Waits until this is what runs. */
    async runs(text: string) {
      const wanted = generationOf([Buffer.from(text)]);
      const done = async (): Promise<boolean> =>
        (await metric("millrace_config_generation")) === wanted;
      await waitFor(`agent ${name} to run the new file`, done, 60_000).catch((error: Error) => {
        throw new Error(`${error.message}; its output:\n${output()}`);
      });
    },
    /** When the component began to run. */
    async startedAt(component: string): Promise<string | undefined> {
      const groups = await (await get("/metrics.json")).json();
      return (groups as Record<string, Record<string, string>>)[component]?.["StartTime"];
    },
    readyz: async () => (await get("/readyz")).status,
  };
}

interface Edge {
  readonly port: number;
  readonly sink?: string;
  readonly batch?: number;
  readonly capacity?: number;
  readonly more?: string;
}

const edgeText = (folder: string, { port, sink = "k", batch = 100, capacity = 1e6, more = "" }: Edge) => `
edge.sources = r
edge.channels = c
edge.sinks = ${sink}
edge.sources.r.type = TAILDIR
edge.sources.r.channels = c
edge.sources.r.filegroups = all
edge.sources.r.filegroups.all = ${folder}/in/.*[.]log
edge.sources.r.positionFile = ${folder}/positions.json
edge.sources.r.batchSize = ${batch}
edge.channels.c.type = file
edge.channels.c.dataDirs = ${folder}/edge
edge.channels.c.capacity = ${capacity}
edge.channels.c.transactionCapacity = 1000
edge.channels.c.keep-alive = 1
edge.sinks.${sink}.type = avro
edge.sinks.${sink}.channel = c
edge.sinks.${sink}.hostname = 127.0.0.1
edge.sinks.${sink}.port = ${port}
edge.sinks.${sink}.batch-size = ${batch}
${more}`; // prettier-ignore

const collectorText = (folder: string, port: number, channel: "memory" | "file") => `
col.sources = r
col.channels = c
col.sinks = k
col.sources.r.type = avro
col.sources.r.bind = 127.0.0.1
col.sources.r.port = ${port}
col.sources.r.channels = c
col.channels.c.type = ${channel}
col.channels.c.capacity = 100000
col.channels.c.transactionCapacity = 1000
${channel === "file" ? `col.channels.c.dataDirs = ${folder}/channel` : ""}
col.sinks.k.type = file_roll
col.sinks.k.channel = c
col.sinks.k.sink.directory = ${folder}/out
col.sinks.k.sink.rollInterval = 0
`;

async function createStage(t: TestContext) {
  const folder = await tempDirectory(t);
  const ports = { a: await freePort(), b: await freePort() };
  for (const name of ["in", "a", "b", "a/out", "b/out"]) await mkdir(join(folder, name));
  const collector = async (name: "a" | "b") => {
    const agent = await createAgent(t, join(folder, name), "col", "--no-reload-conf");
    await agent.configure(collectorText(join(folder, name), ports[name], "memory"));
    await agent.start();
    return agent;
  };
  const [a, b] = await Promise.all([collector("a"), collector("b")]);
  const oracle = createOracle({
    positionFile: join(folder, "positions.json"),
    outputs: { a: join(folder, "a/out"), b: join(folder, "b/out") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: ["1.log", "2.log"].map((name) => join(folder, "in", name)),
    linesPerSecond: 1500,
    lineBytes: 100,
    random: createSeededRandom(seed),
  });
  t.after(() => writer.close());
  return { folder, ports, a, b, oracle, writer };
}

void test("an edge and a collector that take over new files again and again under load lose nothing", async (t) => {
  const { folder, ports, b, oracle, writer } = await createStage(t);
  const edge = await createAgent(t, folder, "edge", "-i", "1");
  const { a: port, b: other } = ports;
  const first = edgeText(folder, { port });
  await edge.configure(first);
  await edge.start();
  const { pid } = edge.child();
  const opened = await edge.startedAt("CHANNEL.c");
  writer.start();
  await oracle.progress(1000, 60_000);
  const spare = await freePort();
  const more = `
edge.sources = r r2
edge.sources.r2.type = avro
edge.sources.r2.bind = 127.0.0.1
edge.sources.r2.port = ${spare}
edge.sources.r2.channels = c
`;
  const steps: { readonly what: string; readonly text: string }[] = [
    { what: "another host for the sink", text: edgeText(folder, { port: other }) },
    { what: "a source more", text: edgeText(folder, { port: other, more }) },
    { what: "other batches", text: edgeText(folder, { port: other, more, batch: 37 }) },
    { what: "other limits", text: edgeText(folder, { port: other, more, batch: 37, capacity: 5e5 }) }, // prettier-ignore
    { what: "another name for the sink", text: edgeText(folder, { port: other, sink: "k9" }) },
  ];
  for (const { what, text } of steps) {
    await edge.configure(text);
    await edge.runs(text);
    oracle.fault(what);
    await oracle.progress(300, 60_000);
    if (text.includes("r2.type")) await accepts(spare);
  }
  await assert.rejects(accepts(spare), "the source that is gone does not listen");
  const last = steps.at(-1)?.text as string;

  await placeFile(edge.configFile, last.replace("batch-size = 100", "batch-size = many"));
  await waitFor("the refusal", async () => (await edge.metric("millrace_config_last_reload_success")) === 0, 30_000); // prettier-ignore
  assert.equal(await edge.metric("millrace_config_reload_failures_total"), 1);
  assert.match(edge.output(), /batch-size: "many" is/);
  await edge.runs(last);
  await oracle.progress(500, 60_000);
  await edge.configure(last);
  await waitFor("the restored file", async () => (await edge.metric("millrace_config_last_reload_success")) === 1, 30_000); // prettier-ignore
  oracle.fault("a broken file");

  const durable = collectorText(join(folder, "b"), ports.b, "file");
  await b.configure(durable);
  b.child().signal("SIGHUP");
  await b.runs(durable);
  oracle.fault("a file channel in the place of one in memory");
  await oracle.progress(500, 60_000);
  oracle.faultsEnded();
  await oracle.progress(1000, 60_000);
  await writer.stop();
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 5000, faults: 7, duplicates: 0, tornLinesMax: 0 });
  t.diagnostic(report.text);
  assert.equal(edge.child().pid, pid, "one process did it all");
  assert.deepEqual([await edge.readyz(), await b.readyz()], [200, 200]);
  assert.ok(Number(opened) > 0);
  assert.equal(await edge.startedAt("CHANNEL.c"), opened, "the channel was never closed");
  edge.child().signal("SIGTERM");
  assert.deepEqual(await edge.child().exited(30_000), { code: 0, signal: null }, edge.output());
});

void test("an edge that is killed in the middle of reloads loses nothing", async (t) => {
  const { folder, ports, oracle, writer } = await createStage(t);
  const edge = await createAgent(t, folder, "edge", "--no-reload-conf");
  await edge.configure(edgeText(folder, { port: ports.a }));
  await edge.start();
  writer.start();
  for (let i = 0; i < kills; i++) {
    await oracle.progress(500, 60_000);
    const port = i % 2 === 0 ? ports.b : ports.a;
    await edge.configure(edgeText(folder, { port, batch: 50 + i, sink: `k${i}` }));
    edge.child().signal("SIGHUP");
    // Anywhere between the reading of the file and the new sink's first batches.
    await new Promise((resolve) => setTimeout(resolve, 30 + i * 40));
    edge.child().signal("SIGKILL");
    await edge.child().exited();
    oracle.fault("kill -9");
    await edge.start();
  }
  oracle.faultsEnded();
  await oracle.progress(1000, 60_000);
  await writer.stop();
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 2000, faults: kills, duplicates: 0, tornLinesMax: 0 });
  const taken = edge.output().split("the new configuration is taken over").length - 1;
  t.diagnostic(`${report.text}; ${taken} of ${kills} reloads had come to their end`);
});

void test("a SIGTERM in the middle of a reload stops in order, and what a memory channel holds is delivered", async (t) => {
  const { folder, ports, b, oracle, writer } = await createStage(t);
  const edge = await createAgent(t, folder, "edge", "--no-reload-conf");
  await edge.configure(edgeText(folder, { port: ports.b }));
  await edge.start();
  writer.start();
  await oracle.progress(1000, 60_000);
  const folderB = join(folder, "b");
  const text = collectorText(folderB, ports.b, "memory");
  await b.configure(text.replace("sink.rollInterval = 0", "sink.batchSize = 7"));
  b.child().signal("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 40));
  b.child().signal("SIGTERM");
  assert.deepEqual(await b.child().exited(60_000), { code: 0, signal: null }, b.output());
  oracle.fault("SIGTERM in a reload");
  await edge.configure(edgeText(folder, { port: ports.a }));
  edge.child().signal("SIGHUP");
  oracle.faultsEnded();
  await oracle.progress(500, 60_000);
  await writer.stop();
  await oracle.settled(60_000);
  await oracle.check({ lines: 1500, faults: 1, duplicates: 0, tornLinesMax: 0 });
});

void test("a ConfigMap that is swapped, as kubelet does it, is taken over by itself", async (t) => {
  const folder = await tempDirectory(t);
  const version = async (name: string, text: string): Promise<void> => {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "a1.conf"), text);
    await symlink(name, join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  };
  const port = await freePort();
  const text = (capacity: number): string => `
a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = avro
a1.sources.r.bind = 127.0.0.1
a1.sources.r.port = ${port}
a1.sources.r.channels = c
a1.channels.c.type = memory
a1.channels.c.capacity = ${capacity}
a1.sinks.k.type = null
a1.sinks.k.channel = c
`;
  await version("..1", text(1000));
  await symlink("..data/a1.conf", join(folder, "a1.conf"));
  const agent = await createAgent(t, folder, "a1", "-i", "1");
  await agent.start();
  await version("..2", text(2000));
  await rm(join(folder, "..1"), { recursive: true });
  await agent.runs(text(2000));
  assert.match(agent.output(), /a1\.channels\.c\.capacity is 2000 now; it was 1000/);
});

/** Resolves when something listens there. */
function accepts(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}
