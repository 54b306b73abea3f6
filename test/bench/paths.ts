import { writeTestStores } from "@millrace/testing";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentMain, freePort, type Running, root, startNode } from "./processes.ts";

export type ChannelType = "memory" | "file";
/** What a path speaks from the load to its last tier. */
export type Wire = "avro" | "avro-tls" | "avro-deflate" | "thrift" | "grpc";

/** One way through one or two agents to a null sink, as running processes. */
export interface Path {
  /** Where the load connects. */
  readonly port: number;
  /** By which the load connects; prepared Avro frames when not given. */
  readonly wire?: Wire;
  /** PEM file of the authority that signed the path's certificates. */
  readonly truststore?: string;
  readonly agents: readonly Running[];
  /** Events that left the last channel, by its own counter. */
  delivered(): Promise<number>;
  stop(): Promise<void>;
}

/** The bare loop in the place of an agent, with `--assemble` or without. */
export async function startBare(...args: readonly string[]): Promise<Path> {
  const server = startNode(["--import=tsx", join(root, "test/bench/bare-server.ts"), ...args]);
  const port = Number((await server.line(/^port (\d+)/))[1]);
  return { port, agents: [server], delivered: () => Promise.resolve(0), stop: () => server.stop() };
}

export interface AgentsOptions {
  readonly tiers: 1 | 2;
  readonly channel: ChannelType;
  readonly batch: number;
  /** Of every tier. The load then goes through that wire's client; it is prepared Avro frames when not given. */
  readonly wire?: Wire;
  /** Between the tiers; 1 when not given. */
  readonly batchesInFlight?: number;
}

/** Agents chained by a wire, each with a channel of the type; the last ends in a null sink. */
export async function startAgents(options: AgentsOptions): Promise<Path> {
  const { tiers, wire } = options;
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const stores = wire === "avro-tls" ? await writeTestStores(directory) : undefined;
  const agents: Running[] = [];
  const ports: number[] = [];
  const monitors: number[] = [];
  for (let tier = 0; tier < tiers; tier++) {
    ports.push(await freePort());
    monitors.push(await freePort());
  }
  for (let tier = tiers - 1; tier >= 0; tier--) {
    const conf = join(directory, `tier-${tier}.conf`);
    await writeFile(
      conf,
      agentConf(
        options,
        ports[tier] as number,
        ports[tier + 1],
        join(directory, `channel-${tier}`),
        wireLines(wire ?? "avro", stores),
      ),
    );
    const agent = startNode([
      agentMain,
      "agent",
      "-n",
      "a1",
      "-f",
      conf,
      "-Dflume.monitoring.type=http",
      `-Dflume.monitoring.port=${monitors[tier]}`,
    ]);
    agents.unshift(agent);
    await ready(monitors[tier] as number, agent);
  }
  const last = monitors.at(-1) as number;
  return {
    port: ports[0] as number,
    ...(wire === undefined ? {} : { wire }),
    ...(stores === undefined ? {} : { truststore: stores.trust.pem }),
    agents,
    async delivered() {
      const response = await fetch(`http://127.0.0.1:${last}/metrics`);
      const metrics = (await response.json()) as Record<string, Record<string, string>>;
      return Number(metrics["CHANNEL.c1"]?.["EventTakeSuccessCount"] ?? NaN);
    },
    async stop() {
      for (const agent of agents) await agent.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface WireLines {
  readonly type: string;
  readonly source: readonly string[];
  readonly sink: readonly string[];
}

/** The type of sources and sinks, and what each needs beside where it listens or sends to. */
function wireLines(
  wire: Wire,
  stores: Awaited<ReturnType<typeof writeTestStores>> | undefined,
): WireLines {
  if (wire === "avro-deflate") {
    const lines = ["compression-type = deflate"];
    return { type: "avro", source: lines, sink: lines };
  }
  if (stores === undefined) return { type: wire, source: [], sink: [] };
  return {
    type: "avro",
    source: [
      "ssl = true",
      "keystore-type = PEM",
      `keystore = ${stores.server.pem}`,
      `keystore-key = ${stores.server.keyPem}`,
    ],
    sink: ["ssl = true", "truststore-type = PEM", `truststore = ${stores.trust.pem}`],
  };
}

function agentConf(
  { channel, batch, batchesInFlight = 1 }: AgentsOptions,
  port: number,
  next: number | undefined,
  directory: string,
  { type, source, sink }: WireLines,
): string {
  const sinkBatch = Math.max(batch, 100);
  const lines = [
    "a1.sources = r1",
    "a1.channels = c1",
    "a1.sinks = k1",
    `a1.sources.r1.type = ${type}`,
    "a1.sources.r1.channels = c1",
    "a1.sources.r1.bind = 127.0.0.1",
    `a1.sources.r1.port = ${port}`,
    ...source.map((line) => `a1.sources.r1.${line}`),
    `a1.channels.c1.type = ${channel}`,
    "a1.channels.c1.capacity = 1000000",
    "a1.channels.c1.byteCapacity = 268435456",
    "a1.channels.c1.transactionCapacity = 10000",
    ...(channel === "file" ? [`a1.channels.c1.dataDirs = ${directory}`] : []),
    "a1.sinks.k1.channel = c1",
    ...(next === undefined
      ? [
          "a1.sinks.k1.type = null",
          `a1.sinks.k1.batchSize = ${sinkBatch}`,
          "a1.sinks.k1.logEveryNEvents = 1000000000",
        ]
      : [
          `a1.sinks.k1.type = ${type}`,
          "a1.sinks.k1.hostname = 127.0.0.1",
          `a1.sinks.k1.port = ${next}`,
          `a1.sinks.k1.batch-size = ${sinkBatch}`,
          `a1.sinks.k1.batchesInFlight = ${batchesInFlight}`,
          ...sink.map((line) => `a1.sinks.k1.${line}`),
        ]),
  ];
  return `${lines.join("\n")}\n`;
}

async function ready(port: number, agent: Running): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const ok = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    if (agent.process.exitCode !== null || performance.now() > deadline) {
      await agent.line(/no agent became ready/, 1);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
