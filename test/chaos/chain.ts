import {
  type AgentProcess,
  createAgentProcess,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  createTcpProxy,
  freePort,
  type NumberedWriter,
  type Oracle,
  type TcpProxy,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

/**
 * Real processes under load, with a cable to damage before each collector:
 *
 *     files -> edge: taildir -> file channel -> failover group
 *                                                 |- avro == cable == collector-1: avro -> file -> file_roll
 *                                                 '- avro == cable == collector-2: the same
 */
export interface Chain {
  readonly edge: AgentProcess;
  readonly collectors: readonly ChainCollector[];
  readonly writer: NumberedWriter;
  readonly oracle: Oracle;
  /** The collector that the edge delivers to now; waits until it delivers to one. */
  active(): Promise<ChainCollector>;
  /** Waits until so many more lines have arrived. */
  progress(lines: number): Promise<void>;
  start(): Promise<void>;
}

export interface ChainCollector {
  readonly name: string;
  /** The edge's sink that sends to it. */
  readonly sink: string;
  readonly agent: AgentProcess;
  readonly cable: TcpProxy;
}

export interface ChainOptions {
  readonly linesPerSecond: number;
  readonly seed: number;
}

const inputFiles = ["a.log", "b.log", "c.log"];
const progressWithinMs = 60_000;

export async function createChain(test: TestContext, options: ChainOptions): Promise<Chain> {
  const folder = await tempDirectory(test);
  const path = (...names: readonly string[]): string => join(folder, ...names);
  await mkdir(path("in"));
  const first = await createCollector(test, folder, "collector-1", "first");
  const second = await createCollector(test, folder, "collector-2", "second");
  const collectors = [first, second];
  await writeFile(path("edge.conf"), edgeConfig(folder, first.cable.port, second.cable.port));
  const edge = await createAgentProcess(test, { name: "edge", configFile: path("edge.conf") });
  const oracle = createOracle({
    positionFile: path("edge", "positions.json"),
    outputs: Object.fromEntries(collectors.map(({ name }) => [name, path(name, "out")])),
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: inputFiles.map((name) => path("in", name)),
    linesPerSecond: options.linesPerSecond,
    lineBytes: 100,
    random: createSeededRandom(options.seed),
  });
  test.after(() => writer.close());

  return {
    edge,
    collectors,
    writer,
    oracle,
    async active() {
      let before: ReadonlyMap<string, number> | undefined;
      let found: ChainCollector | undefined;
      await waitFor(
        "the edge to deliver",
        async () => {
          const now = await deliveredBySink(edge);
          const earlier = before;
          before = now;
          if (now === undefined || earlier === undefined) return false;
          found = collectors.find(({ sink }) => (now.get(sink) ?? 0) > (earlier.get(sink) ?? 0));
          return found !== undefined;
        },
        progressWithinMs,
      );
      return found ?? first;
    },
    async progress(lines) {
      await oracle.progress(lines, progressWithinMs);
    },
    async start() {
      for (const { agent } of collectors) await agent.start();
      await edge.start();
    },
  };
}

async function createCollector(
  test: TestContext,
  folder: string,
  name: string,
  sink: string,
): Promise<ChainCollector> {
  const own = join(folder, name);
  await mkdir(join(own, "out"), { recursive: true });
  const port = await freePort();
  const configFile = join(own, "collector.conf");
  await writeFile(configFile, collectorConfig(own, port));
  const cable = await createTcpProxy({ host: "127.0.0.1", port });
  test.after(() => cable.close());
  const agent = await createAgentProcess(test, { name: "collector", configFile });
  return { name, sink, agent, cable };
}

/** Undefined when it does not answer: nothing grows from there. */
async function deliveredBySink(
  edge: AgentProcess,
): Promise<ReadonlyMap<string, number> | undefined> {
  const metrics = await edge.metrics().catch(() => undefined);
  if (metrics === undefined) return undefined;
  return new Map(
    Object.entries(metrics)
      .filter(([group]) => group.startsWith("SINK."))
      .map(([group, values]) => [
        group.slice("SINK.".length),
        Number(values["EventDrainSuccessCount"] ?? 0),
      ]),
  );
}

function edgeConfig(folder: string, firstPort: number, secondPort: number): string {
  const sink = (name: string, port: number): string => `
edge.sinks.${name}.type = avro
edge.sinks.${name}.channel = disk
edge.sinks.${name}.hostname = 127.0.0.1
edge.sinks.${name}.port = ${port}
edge.sinks.${name}.batch-size = 100
edge.sinks.${name}.connect-timeout = 1000
edge.sinks.${name}.request-timeout = 1500`;
  return `
edge.sources = logs
edge.channels = disk
edge.sinks = first second
edge.sinkgroups = collectors

edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = disk
edge.sources.logs.filegroups = all
edge.sources.logs.filegroups.all = ${folder}/in/.*[.]log
edge.sources.logs.positionFile = ${folder}/edge/positions.json
edge.sources.logs.writePosInterval = 500
edge.sources.logs.backoffSleepIncrement = 200
edge.sources.logs.batchSize = 100
edge.sources.logs.maxBatchCount = 5

edge.channels.disk.type = file
edge.channels.disk.dataDirs = ${folder}/edge/data
edge.channels.disk.minimumRequiredSpace = 1048576
${sink("first", firstPort)}
${sink("second", secondPort)}

edge.sinkgroups.collectors.sinks = first second
edge.sinkgroups.collectors.processor.type = failover
edge.sinkgroups.collectors.processor.priority.first = 10
edge.sinkgroups.collectors.processor.priority.second = 5
edge.sinkgroups.collectors.processor.maxpenalty = 2000
`;
}

function collectorConfig(folder: string, port: number): string {
  return `
collector.sources = in
collector.channels = disk
collector.sinks = out

collector.sources.in.type = avro
collector.sources.in.channels = disk
collector.sources.in.bind = 127.0.0.1
collector.sources.in.port = ${port}

collector.channels.disk.type = file
collector.channels.disk.dataDirs = ${folder}/data
collector.channels.disk.minimumRequiredSpace = 1048576

collector.sinks.out.type = file_roll
collector.sinks.out.channel = disk
collector.sinks.out.sink.directory = ${folder}/out
collector.sinks.out.sink.rollInterval = 5
collector.sinks.out.sink.batchSize = 100
`;
}
