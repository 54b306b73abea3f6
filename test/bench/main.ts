/**
 * `npm run bench [-- --rounds 5 --seconds 3 --batches 1,100,1000 --paths client,bare]`: every path and
 * both bare loops in each round, medians over rounds, ratios made within a round. `--paths` takes
 * those whose names contain one of the words: `--paths client` is the wires against each other.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBareSync } from "./bare-sync.ts";
import { measureChannelPut } from "./durable-put.ts";
import { type Path, startAgents, startBare, type Wire } from "./paths.ts";
import { root, startNode } from "./processes.ts";
import { printTable, type Sample } from "./table.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    batches: { type: "string", default: "1,100,1000" },
    paths: { type: "string", default: "" },
  },
});
const rounds = Number(values.rounds);
const measureMs = Number(values.seconds) * 1000;
const warmUpMs = Math.max(1000, measureMs / 2);
const wanted = values.paths.split(",").filter((word) => word !== "");
const isWanted = (name: string): boolean =>
  wanted.length === 0 || wanted.some((word) => name.includes(word));
const wires: readonly Wire[] = ["avro", "avro-tls", "avro-deflate", "thrift", "grpc"];
const connections = 2;
const inFlight = 4;

const samples: Sample[] = [];
for (const batch of values.batches.split(",").map(Number)) {
  for (let round = 0; round < rounds; round++) {
    const take = async (name: string, start: () => Promise<Path>): Promise<void> => {
      if (!isWanted(name)) return;
      const sample = await measure(name, batch, round, await start());
      samples.push(sample);
      console.error(
        `batch ${batch} round ${round + 1}: ${name} ${Math.round(sample.eventsPerSecond)} events/s`,
      );
    };
    const takeLoop = async (name: string, loop: typeof measureBareSync): Promise<void> => {
      if (!isWanted(name)) return;
      const eventsPerSecond = await loop(batch, measureMs);
      samples.push({ name, batch, round, eventsPerSecond });
    };
    await take("bare frame-and-count", () => startBare());
    await take("bare frame, copy and count", () => startBare("--assemble"));
    await take("avro -> memory -> null", () => startAgents({ tiers: 1, channel: "memory", batch }));
    await take("avro -> file -> null", () => startAgents({ tiers: 1, channel: "file", batch }));
    for (const batchesInFlight of [1, 4]) {
      const some = batchesInFlight === 1 ? "" : `, ${batchesInFlight} in flight`;
      for (const channel of ["memory", "file"] as const) {
        await take(`two tiers, ${channel}${some}`, () =>
          startAgents({ tiers: 2, channel, batch, batchesInFlight }),
        );
      }
    }
    for (const wire of wires) {
      await take(`client -> ${wire} -> memory -> null`, () =>
        startAgents({ tiers: 1, channel: "memory", batch, wire }),
      );
    }
    for (const wire of wires) {
      await take(`client -> two tiers of ${wire}`, () =>
        startAgents({ tiers: 2, channel: "memory", batch, wire }),
      );
    }
    await takeLoop("bare write + fdatasync", measureBareSync);
    await takeLoop("file channel put", measureChannelPut);
  }
}
printTable(samples);

/** Loads a path and measures between the load's marks; then waits until all of it is delivered. */
async function measure(name: string, batch: number, round: number, path: Path): Promise<Sample> {
  try {
    const load = startNode([
      "--conditions=millrace-source",
      "--import=tsx",
      join(root, path.wire === undefined ? "test/bench/load.ts" : "test/bench/load-wire.ts"),
      ...[path.port, batch, connections, inFlight, warmUpMs, measureMs].map(String),
      ...(path.wire === undefined ? [] : [path.wire, path.truststore ?? ""]),
    ]);
    await load.line(/^begin/);
    const cpuBefore = path.agents.map((agent) => agent.usage().cpuSeconds);
    const deliveredBefore = await path.delivered();
    const began = performance.now();
    await load.line(/^end/, measureMs + 20_000);
    const seconds = (performance.now() - began) / 1000;
    const usage = path.agents.map((agent) => agent.usage());
    const delivered = (await path.delivered()) - deliveredBefore;
    const [json] = await load.line(/^\{.*\}$/);
    const result = JSON.parse(json) as { events: number; failed: number; total: number };
    if (result.failed > 0)
      console.error(`${name}: ${result.failed} events answered FAILED, not counted`);
    const bare = name.startsWith("bare");
    const events = bare ? result.events : Math.min(result.events, delivered);
    const cpu = usage.reduce(
      (sum, { cpuSeconds }, i) => sum + cpuSeconds - (cpuBefore[i] as number),
      0,
    );
    if (!bare) await drained(path, result.total);
    return {
      name,
      batch,
      round,
      eventsPerSecond: events / seconds,
      cpuSecondsPerMillion: (cpu / events) * 1e6,
      residentMiB: Math.max(...usage.map(({ residentBytes }) => residentBytes)) / 1024 / 1024,
    };
  } finally {
    await path.stop();
  }
}

/** Every event that was acknowledged must come out: a fast path that loses is not fast. */
async function drained(path: Path, total: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while ((await path.delivered()) < total) {
    if (performance.now() > deadline)
      throw new Error(`${await path.delivered()} of ${total} events came out`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
