/**
 * Chains of both kinds of agent, each killed in turn under load, judged by the oracle. With MINUTES
 * set, agents are killed at random for that long in each chain, and both versions have both chains.
 */
import { createSeededRandom } from "@millrace/testing";
import { test } from "node:test";
import type { Kind } from "./harness/any-agent.ts";
import { type Chain, createChain } from "./harness/chain.ts";
import { findFlume, type FlumeVersion, flumeVersions } from "./harness/fetch-flume.ts";

const minutes = Number(process.env["MINUTES"] ?? "0");
const seed = Number(process.env["SEED"] ?? "7");

interface Case {
  readonly version: FlumeVersion;
  readonly kinds: readonly [Kind, Kind, Kind];
}

const mixed = [
  ["ours", "java", "ours"],
  ["java", "ours", "java"],
] as const;
const short: readonly Case[] = [
  { version: "1.11.0", kinds: mixed[0] },
  { version: "1.9.0", kinds: mixed[1] },
];
const long = flumeVersions.flatMap((version) => mixed.map((kinds): Case => ({ version, kinds })));

for (const { version, kinds } of minutes > 0 ? long : short) {
  const title = `${kinds.join(" -> ")} with Flume ${version}: nothing is lost when each tier is killed`;
  const timeout = (minutes + 9) * 60_000;
  void test(title, { timeout }, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const chain = await createChain(t, flume, kinds, seed);
    await chain.start();
    chain.writer.start();
    await chain.progress(500);
    if (minutes > 0) await killAtRandom(chain);
    else for (const index of chain.tiers.keys()) await killOne(chain, index);
    chain.oracle.faultsEnded();
    await chain.progress(500);
    await chain.writer.stop();
    t.diagnostic(await chain.check({ lines: 2_000, kills: 3 }));
  });
}

async function killOne(chain: Chain, index: number): Promise<void> {
  const tier = chain.tiers[index];
  if (tier === undefined) throw new Error(`no tier ${index}`);
  await tier.agent.kill("SIGKILL");
  chain.oracle.fault(`kill ${tier.kind}`);
  await tier.agent.start();
  await chain.progress(500);
}

async function killAtRandom(chain: Chain): Promise<void> {
  const random = createSeededRandom(seed);
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) await killOne(chain, random.integer(chain.tiers.length));
}
