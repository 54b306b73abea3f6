/**
 * Collectors that share one port, each at an address of its own of this machine, found by one name:
 *
 *     files -> edge: taildir -> direct -> avro == dns://collectors.test ==> collector N at 127.0.0.N:
 *              avro -> file -> file_roll in out-N, or a sink that nobody listens to
 */
import {
  type AgentProcess,
  createAgentProcess,
  createDnsServer,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  type DnsServer,
  freePort,
  type NumberedWriter,
  type Oracle,
  placeFile,
  tempDirectory,
} from "@millrace/testing";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface CollectorsOptions {
  /** How many there may be, at 127.0.0.1, 127.0.0.2, ... */
  readonly collectors: number;
  readonly edges: number;
  readonly linesPerSecond?: number;
  /** Properties of every collector's source, and of every edge's sink. */
  readonly sourceLines?: string;
  readonly sinkLines?: string;
  /** -D words of every collector. */
  readonly defines?: Readonly<Record<string, string | number>>;
}

export interface Collectors {
  readonly folder: string;
  readonly port: number;
  readonly dns: DnsServer;
  /** Of `dns://collectors.test` with its server. */
  readonly host: string;
  readonly oracle: Oracle;
  readonly writer: NumberedWriter;
  readonly edges: readonly AgentProcess[];
  readonly collectors: readonly AgentProcess[];
  /** From now on the name stands for these. */
  name(numbers: readonly number[]): void;
  /** Writes collector N's configuration: a sink that works, or one that nobody listens to. */
  configure(number: number, sink: "works" | "stuck"): Promise<void>;
  channelOf(number: number): string;
  /** Another process on collector N's configuration and directories, as its next pod is. */
  successorOf(number: number): Promise<AgentProcess>;
  /** What stuck sinks wait for: it listens where nobody did, and writes into out-1. */
  startStore(): Promise<void>;
}

export const collectorsName = "collectors.test";

export async function createCollectors(
  t: TestContext,
  options: CollectorsOptions,
): Promise<Collectors> {
  const folder = await tempDirectory(t);
  const port = await freePort();
  const nobody = await freePort();
  const dns = await createDnsServer();
  t.after(() => dns.close());
  const host = `dns://${collectorsName}:${port}?server=${dns.address}&interval=1s&family=4`;
  const numbers = Array.from({ length: options.collectors }, (_, i) => i + 1);
  const edgeNumbers = Array.from({ length: options.edges }, (_, i) => i + 1);
  const outOf = (number: number): string => join(folder, `out-${number}`);
  const channelOf = (number: number): string => join(folder, `channel-${number}`);
  for (const number of numbers) await mkdir(outOf(number));
  const oracle = createOracle({
    positionFile: edgeNumbers.map((number) => join(folder, `positions-${number}.json`)),
    outputs: Object.fromEntries(numbers.map((number) => [`out-${number}`, outOf(number)])),
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: edgeNumbers.map((number) => join(folder, `edge-${number}.log`)),
    linesPerSecond: options.linesPerSecond ?? 200,
    lineBytes: 100,
    random: createSeededRandom(5),
  });
  t.after(() => writer.close());

  const configOf = (number: number): string => join(folder, `collector-${number}.conf`);
  const configure = (number: number, sink: "works" | "stuck"): Promise<void> =>
    placeFile(
      configOf(number),
      `
collector.sources = in
collector.channels = disk
collector.sinks = out
collector.sources.in.type = avro
collector.sources.in.channels = disk
collector.sources.in.bind = 127.0.0.${number}
collector.sources.in.port = ${port}
${options.sourceLines ?? ""}
collector.channels.disk.type = file
collector.channels.disk.dataDirs = ${channelOf(number)}
collector.channels.disk.minimumRequiredSpace = 1048576
collector.sinks.out.channel = disk
${sink === "works" ? fileRoll(outOf(number)) : deadAvro(nobody)}
`,
    );
  for (const number of numbers) await configure(number, "works");
  const collectorOf = (number: number): Promise<AgentProcess> =>
    createAgentProcess(t, {
      name: "collector",
      configFile: configOf(number),
      environment: { POD_IP: `127.0.0.${number}`, POD_NAME: `collector-${number - 1}` },
      defines: { "millrace.drainSeconds": 5, "millrace.handOver": host, ...options.defines },
    });
  const collectors = await Promise.all(numbers.map(collectorOf));
  const edges = await Promise.all(
    edgeNumbers.map(async (number) => {
      const configFile = join(folder, `edge-${number}.conf`);
      await writeFile(configFile, edgeText(folder, number, host, options.sinkLines ?? ""));
      return createAgentProcess(t, { name: "edge", configFile });
    }),
  );
  const name = (listed: readonly number[]): void =>
    dns.set(collectorsName, { addresses: listed.map((number) => `127.0.0.${number}`) });
  return {
    ...{ folder, port, dns, host, oracle, writer, edges, collectors },
    ...{ name, configure, channelOf, successorOf: collectorOf },
    async startStore() {
      const configFile = join(folder, "store.conf");
      await writeFile(configFile, storeText(nobody, outOf(1)));
      await (await createAgentProcess(t, { name: "store", configFile })).start();
    },
  };
}

function fileRoll(directory: string): string {
  return `
collector.sinks.out.type = file_roll
collector.sinks.out.sink.directory = ${directory}
collector.sinks.out.sink.rollInterval = 0
`;
}

function deadAvro(port: number): string {
  return `
collector.sinks.out.type = avro
collector.sinks.out.hostname = 127.0.0.1
collector.sinks.out.port = ${port}
`;
}

function storeText(port: number, directory: string): string {
  return `
store.sources = in
store.channels = direct
store.sinks = out
store.sources.in.type = avro
store.sources.in.channels = direct
store.sources.in.bind = 127.0.0.1
store.sources.in.port = ${port}
store.channels.direct.type = direct
store.sinks.out.type = file_roll
store.sinks.out.channel = direct
store.sinks.out.sink.directory = ${directory}
store.sinks.out.sink.rollInterval = 0
`;
}

function edgeText(folder: string, number: number, host: string, more: string): string {
  return `
edge.sources = files
edge.channels = direct
edge.sinks = out
edge.sources.files.type = TAILDIR
edge.sources.files.channels = direct
edge.sources.files.filegroups = all
edge.sources.files.filegroups.all = ${folder}/edge-${number}\\\\.log
edge.sources.files.positionFile = ${folder}/positions-${number}.json
edge.sources.files.writePosInterval = 200
edge.channels.direct.type = direct
edge.sinks.out.type = avro
edge.sinks.out.channel = direct
edge.sinks.out.hostname = ${host}
edge.sinks.out.client.type = default_loadbalance
edge.sinks.out.backoff = true
edge.sinks.out.maxBackoff = 1000
edge.sinks.out.connect-timeout = 2000
edge.sinks.out.request-timeout = 10000
${more}
`;
}
