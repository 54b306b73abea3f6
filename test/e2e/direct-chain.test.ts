/**
 * Two tiers of collectors that hold nothing, killed while traffic flows:
 *
 *     files -> edge: taildir -> file or direct -> failover group
 *                |- avro ==> a1: avro -> direct -> load balance =\\
 *                '- avro ==> a2: the same ======================\\\\
 *                                b1, b2: avro -> direct -> avro ==> last: avro -> file -> file_roll
 */
import {
  type AgentProcess,
  createAgentProcess,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  freePort,
  type NumberedWriter,
  type Oracle,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const seed = Number(process.env["SEED"] ?? "1");
const kills = Number(process.env["KILLS"] ?? "7");

interface Chain {
  readonly edge: AgentProcess;
  readonly tiers: Readonly<Record<"a1" | "a2" | "b1" | "b2" | "last", AgentProcess>>;
  readonly writer: NumberedWriter;
  readonly oracle: Oracle;
  /** Waits until so many more lines have arrived. */
  progress(lines: number): Promise<void>;
}

async function startChain(t: TestContext, edgeChannel: "file" | "direct"): Promise<Chain> {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "in"));
  await mkdir(join(folder, "out"));
  const names = ["a1", "a2", "b1", "b2", "last"] as const;
  const ports = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await freePort()] as const)),
  ) as Record<(typeof names)[number], number>;
  const agent = async (name: string, text: string): Promise<AgentProcess> => {
    const configFile = join(folder, `${name}.conf`);
    await writeFile(configFile, text.replaceAll("AGENT", name));
    return createAgentProcess(t, { name, configFile });
  };
  const toB = group("load_balance", { b1: ports.b1, b2: ports.b2 });
  const toLast = sink("last", ports.last) + "\nAGENT.sinks = last\n";
  const tiers = {
    a1: await agent("a1", avroSource(ports.a1) + direct + toB),
    a2: await agent("a2", avroSource(ports.a2) + direct + toB),
    b1: await agent("b1", avroSource(ports.b1) + direct + toLast),
    b2: await agent("b2", avroSource(ports.b2) + direct + toLast),
    last: await agent("last", avroSource(ports.last) + file(folder, "last") + fileRoll(folder)),
  };
  const edge = await agent(
    "edge",
    tailedFiles(folder) +
      (edgeChannel === "file" ? file(folder, "edge") : direct) +
      group("failover", { a1: ports.a1, a2: ports.a2 }),
  );
  await Promise.all(Object.values(tiers).map((one) => one.start()));
  await edge.start();

  const oracle = createOracle({
    positionFile: join(folder, "positions.json"),
    outputs: { last: join(folder, "out") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: ["a.log", "b.log"].map((name) => join(folder, "in", name)),
    linesPerSecond: 500,
    lineBytes: 100,
    random: createSeededRandom(seed),
  });
  t.after(() => writer.close());
  return {
    ...{ edge, tiers, writer, oracle },
    async progress(lines) {
      await oracle.progress(lines, 60_000);
    },
  };
}

/** Writes some fresh lines after the last fault, and lets the oracle judge. */
async function judge(t: TestContext, chain: Chain, faults: number, duplicates = 1): Promise<void> {
  const { oracle, writer } = chain;
  oracle.faultsEnded();
  await writer.stop();
  await writer.write(300);
  await oracle.settled(60_000);
  const report = await oracle.check({
    lines: 500,
    faults,
    duplicates,
    tornLinesMax: oracle.faults.get("SIGKILL of last") ?? 0,
  });
  t.diagnostic(`seed ${seed}: ${report.text}`);
}

void test("two tiers of direct collectors killed at random lose nothing of what an edge has on its disk [lost: direct | agent killed | nothing; some twice]", async (t) => {
  const chain = await startChain(t, "file");
  const { oracle, writer, tiers } = chain;
  const random = createSeededRandom(seed);
  writer.start();
  await chain.progress(200);
  // Each tier's both, and the last collector, once; then whoever comes.
  const order = ["a1", "b1", "last", "b2", "a2"] as const;
  for (let kill = 0; kill < kills; kill++) {
    const name = order[kill < order.length ? kill : random.integer(order.length)] ?? "a1";
    await chain.progress(random.integer(150));
    await tiers[name].kill("SIGKILL");
    oracle.fault(`SIGKILL of ${name}`);
    const restarted = tiers[name].start();
    if (name !== "last") await chain.progress(100);
    await restarted;
    await chain.progress(50);
  }
  assert.equal([...oracle.faults.keys()].length, order.length);
  await judge(t, chain, kills);
});

void test("an edge that tails files into a direct channel needs no second copy: killed with collectors, it loses nothing [lost: direct | agent killed | nothing; some twice]", async (t) => {
  const chain = await startChain(t, "direct");
  const { oracle, writer, tiers, edge } = chain;
  writer.start();
  await chain.progress(200);
  for (let round = 0; round < 4; round++) {
    await edge.kill("SIGKILL");
    oracle.fault("SIGKILL of the edge");
    const starting = [edge.start()];
    if (round === 2) {
      await Promise.all([tiers.a1.kill(), tiers.b2.kill()]);
      oracle.fault("SIGKILL of a1");
      oracle.fault("SIGKILL of b2");
      starting.push(tiers.a1.start(), tiers.b2.start());
    }
    await Promise.all(starting);
    await chain.progress(200);
  }
  await judge(t, chain, 6);
});

void test("direct collectors, and an edge, that are told to stop under load end in order and lose nothing [lost: direct | agent stops | nothing]", async (t) => {
  const chain = await startChain(t, "direct");
  const { oracle, writer, tiers, edge } = chain;
  writer.start();
  await chain.progress(200);
  for (const agent of [tiers.a1, tiers.b1, edge]) {
    assert.deepEqual(await agent.kill("SIGTERM", 30_000), { code: 0, signal: null });
    oracle.fault("SIGTERM");
    await agent.start();
    await chain.progress(200);
  }
  await judge(t, chain, 3, 0);
});

/** Short waits, so that what is late is late within the test. */
const direct = `
AGENT.channels = c
AGENT.channels.c.type = direct
AGENT.channels.c.keep-alive = 1
AGENT.channels.c.answerTimeout = 2
`;

const file = (folder: string, name: string): string => `
AGENT.channels = c
AGENT.channels.c.type = file
AGENT.channels.c.dataDirs = ${folder}/${name}-data
AGENT.channels.c.minimumRequiredSpace = 1048576
`;

const fileRoll = (folder: string): string => `
AGENT.sinks = out
AGENT.sinks.out.type = file_roll
AGENT.sinks.out.channel = c
AGENT.sinks.out.sink.directory = ${folder}/out
AGENT.sinks.out.sink.rollInterval = 5
AGENT.sinks.out.sink.batchSize = 100
`;

const avroSource = (port: number): string => `
AGENT.sources = in
AGENT.sources.in.type = avro
AGENT.sources.in.channels = c
AGENT.sources.in.bind = 127.0.0.1
AGENT.sources.in.port = ${port}
`;

const tailedFiles = (folder: string): string => `
AGENT.sources = logs
AGENT.sources.logs.type = TAILDIR
AGENT.sources.logs.channels = c
AGENT.sources.logs.filegroups = all
AGENT.sources.logs.filegroups.all = ${folder}/in/.*[.]log
AGENT.sources.logs.positionFile = ${folder}/positions.json
AGENT.sources.logs.writePosInterval = 500
AGENT.sources.logs.backoffSleepIncrement = 100
AGENT.sources.logs.maxBackoffSleep = 500
AGENT.sources.logs.batchSize = 50
AGENT.sources.logs.maxBatchCount = 5
`;

const sink = (name: string, port: number): string => `
AGENT.sinks.${name}.type = avro
AGENT.sinks.${name}.channel = c
AGENT.sinks.${name}.hostname = 127.0.0.1
AGENT.sinks.${name}.port = ${port}
AGENT.sinks.${name}.batch-size = 100
AGENT.sinks.${name}.connect-timeout = 1000
AGENT.sinks.${name}.request-timeout = 5000
`;

function group(
  type: "failover" | "load_balance",
  members: Readonly<Record<string, number>>,
): string {
  const names = Object.keys(members);
  const policy =
    type === "load_balance"
      ? "AGENT.sinkgroups.g.processor.backoff = true\nAGENT.sinkgroups.g.processor.selector.maxTimeOut = 1000"
      : names
          .map((name, i) => `AGENT.sinkgroups.g.processor.priority.${name} = ${10 - i}`)
          .join("\n") + "\nAGENT.sinkgroups.g.processor.maxpenalty = 1000";
  return `${names.map((name) => sink(name, members[name] ?? 0)).join("")}
AGENT.sinks = ${names.join(" ")}
AGENT.sinkgroups = g
AGENT.sinkgroups.g.sinks = ${names.join(" ")}
AGENT.sinkgroups.g.processor.type = ${type}
${policy}
`;
}
