/**
 * The first step of a migration, and its way back: a collector of one kind joins the failover group
 * of the other kind's edge as its lowest priority.
 *
 *     files -> edge: taildir -> file -> failover group |- 10 -> collector of the edge's kind
 *                                                      '-  5 -> collector of the other kind
 */
import {
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  freePort,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileChannel, settings, tierConfig } from "./harness/agent-config.ts";
import { type AnyAgent, createAnyAgent, type Kind } from "./harness/any-agent.ts";
import { findFlume } from "./harness/fetch-flume.ts";
import type { Settings } from "./harness/transports.ts";

const arriveWithinMs = 90_000;

for (const { version, edgeKind } of [
  { version: "1.11.0", edgeKind: "java" },
  { version: "1.9.0", edgeKind: "ours" },
] as const) {
  const otherKind: Kind = edgeKind === "java" ? "ours" : "java";
  const title = `a collector of kind ${otherKind} stands in for the ${edgeKind} one (Flume ${version}), and gives back`;
  void test(title, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const path = (...names: readonly string[]): string => join(folder, ...names);
    for (const name of ["in", "high-out", "low-out"]) await mkdir(path(name));
    const ports = { high: await freePort(), low: await freePort() };
    const collector = async (name: "high" | "low", kind: Kind): Promise<AnyAgent> => {
      const source = { type: "avro", bind: "127.0.0.1", port: String(ports[name]) };
      const sink = { type: "file_roll", "sink.directory": path(`${name}-out`) };
      return await createAnyAgent(t, {
        kind,
        flume,
        config: tierConfig(fileChannel(path(name)), source, sink),
        configFile: path(`${name}.conf`),
        listensOn: [ports[name]],
      });
    };
    const high = await collector("high", edgeKind);
    const low = await collector("low", otherKind);
    const edge = await createAnyAgent(t, {
      kind: edgeKind,
      flume,
      config: edgeConfig(folder, ports),
      configFile: path("edge.conf"),
      waitsFor: ["CHANNEL.c"],
    });
    const oracle = createOracle({
      positionFile: path("positions.json"),
      outputs: { high: path("high-out"), low: path("low-out") },
    });
    const writer = await createNumberedWriter({
      judge: oracle.judge,
      paths: [path("in", "a.log")],
      linesPerSecond: 500,
      lineBytes: 100,
      random: createSeededRandom(11),
    });
    t.after(() => writer.close());

    /** Waits until that collector has got this much more. */
    const delivers = async (name: "high" | "low"): Promise<void> => {
      const agent = name === "high" ? high : low;
      const taken = async (): Promise<number> =>
        Number((await agent.metrics())["SOURCE.s"]?.["EventAcceptedCount"] ?? 0);
      const goal = (await taken()) + 500;
      const reached = async (): Promise<boolean> => (await taken()) >= goal;
      await waitFor(`collector ${name} to take events`, reached, arriveWithinMs).catch(
        (error: Error) => {
          throw new Error(`${error.message}; the edge:\n${edge.output().slice(-3_000)}`);
        },
      );
    };
    await low.start();
    await high.start();
    await edge.start();
    writer.start();
    await delivers("high");
    await high.kill("SIGKILL");
    await delivers("low");
    await high.start();
    await delivers("high");
    // The way back: the guest leaves in order.
    await low.kill("SIGTERM");
    await delivers("high");
    await writer.stop();
    // What the killed and the stopped one still hold.
    await low.start();
    await oracle.settled(arriveWithinMs);
    const { missingLines, unknown, changed, issued, duplicates } = oracle.judge.verdict();
    assert.deepEqual([missingLines, unknown, changed], [[], 0, 0]);
    assert.ok(issued >= 2_000, `only ${issued} lines`);
    t.diagnostic(`${issued} lines, ${duplicates} duplicates`);
  });
}

function edgeConfig(
  folder: string,
  ports: { readonly high: number; readonly low: number },
): string {
  const source: Settings = {
    type: "TAILDIR",
    filegroups: "all",
    "filegroups.all": `${join(folder, "in")}/.*[.]log`,
    positionFile: join(folder, "positions.json"),
    writePosInterval: "500",
  };
  const sink = (port: number): Settings => ({
    channel: "c",
    type: "avro",
    hostname: "127.0.0.1",
    port: String(port),
    "batch-size": "100",
  });
  return [
    "a1.sources = s",
    "a1.channels = c",
    "a1.sinks = high low",
    "a1.sinkgroups = g",
    ...settings("a1.sources.s", { channels: "c", ...source }),
    ...settings("a1.channels.c", fileChannel(join(folder, "edge"))),
    ...settings("a1.sinks.high", sink(ports.high)),
    ...settings("a1.sinks.low", sink(ports.low)),
    ...settings("a1.sinkgroups.g", {
      sinks: "high low",
      "processor.type": "failover",
      "processor.priority.high": "10",
      "processor.priority.low": "5",
      "processor.maxpenalty": "2000",
    }),
    "",
  ].join("\n");
}
