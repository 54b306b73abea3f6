import {
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  freePort,
  type NumberedWriter,
  type Oracle,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileChannel, tierConfig } from "./agent-config.ts";
import { type AnyAgent, createAnyAgent, type Kind } from "./any-agent.ts";
import type { Flume } from "./fetch-flume.ts";
import type { Settings } from "./transports.ts";

/**
 * Three tiers over file channels. The same configuration is given to either kind of agent:
 *
 *     files -> first: taildir -> file -> avro ==> second: avro -> file -> avro ==> third: avro -> file -> file_roll
 */
export interface Chain {
  readonly tiers: readonly { readonly kind: Kind; readonly agent: AnyAgent }[];
  readonly writer: NumberedWriter;
  readonly oracle: Oracle;
  start(): Promise<void>;
  /** Waits until so many more lines have arrived. */
  progress(lines: number): Promise<void>;
  /**
   * Nothing acknowledged is missing, nothing is changed or invented, and what was written at the
   * end has come through. Order is not asked for: Java's file channel gives it up at a crash.
   */
  check(demands: { readonly lines: number; readonly kills: number }): Promise<string>;
}

const progressWithinMs = 120_000;
const streams = ["a.log", "b.log"];

export async function createChain(
  test: TestContext,
  flume: Flume,
  kinds: readonly [Kind, Kind, Kind],
  seed: number,
): Promise<Chain> {
  const folder = await tempDirectory(test);
  const path = (...names: readonly string[]): string => join(folder, ...names);
  for (const name of ["in", "first", "second", "third", "out"]) await mkdir(path(name));
  const ports = [await freePort(), await freePort()] as const;
  const configs = {
    first: tierConfig(fileChannel(path("first")), tailSource(folder), avroSink(ports[0])),
    second: tierConfig(fileChannel(path("second")), avroSource(ports[0]), avroSink(ports[1])),
    third: tierConfig(fileChannel(path("third")), avroSource(ports[1]), rollSink(path("out"))),
  };
  const tiers: { kind: Kind; agent: AnyAgent }[] = [];
  for (const [index, [tier, config]] of Object.entries(configs).entries()) {
    const kind = kinds[index] ?? "ours";
    const port = ports[index - 1];
    const agent = await createAnyAgent(test, {
      kind,
      flume,
      config,
      configFile: path(`${tier}.conf`),
      listensOn: port === undefined ? [] : [port],
      waitsFor: ["CHANNEL.c"],
    });
    tiers.push({ kind, agent });
  }
  const oracle = createOracle({
    positionFile: path("first", "positions.json"),
    outputs: { third: path("out") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: streams.map((name) => path("in", name)),
    linesPerSecond: 500,
    lineBytes: 100,
    random: createSeededRandom(seed),
  });
  test.after(() => writer.close());

  return {
    tiers,
    writer,
    oracle,
    async start() {
      for (const { agent } of tiers.toReversed()) await agent.start();
    },
    async progress(lines) {
      await oracle.progress(lines, progressWithinMs).catch((error: Error) => {
        const outputs = tiers.map(({ agent }) => agent.output().slice(-2_000));
        throw new Error(`${error.message}; the tiers:\n${outputs.join("\n----\n")}`);
      });
    },
    async check({ lines, kills }) {
      await oracle.settled(progressWithinMs);
      const { missingLines, ...verdict } = oracle.judge.verdict();
      assert.deepEqual(missingLines, []);
      assert.deepEqual([verdict.unknown, verdict.changed], [0, 0], verdict.complaints.join("; "));
      assert.equal(verdict.acknowledged, verdict.issued);
      assert.ok(verdict.issued >= lines, `only ${verdict.issued} lines were written`);
      const done = [...oracle.faults.values()].reduce((sum, count) => sum + count, 0);
      assert.ok(done >= kills, `only ${done} agents were killed`);
      const { issued, duplicates, outOfOrder } = verdict;
      return `${issued} lines, ${done} kills, ${duplicates} duplicates, ${outOfOrder} out of order`;
    },
  };
}

const tailSource = (folder: string): Settings => ({
  type: "TAILDIR",
  filegroups: "all",
  "filegroups.all": `${join(folder, "in")}/.*[.]log`,
  positionFile: join(folder, "first", "positions.json"),
  writePosInterval: "500",
  batchSize: "100",
  maxBatchCount: "5",
});

const avroSource = (port: number): Settings => ({
  type: "avro",
  bind: "127.0.0.1",
  port: String(port),
});

const avroSink = (port: number): Settings => ({
  type: "avro",
  hostname: "127.0.0.1",
  port: String(port),
  "batch-size": "100",
  "request-timeout": "10000",
});

const rollSink = (directory: string): Settings => ({
  type: "file_roll",
  "sink.directory": directory,
  "sink.rollInterval": "5",
  "sink.batchSize": "100",
});
