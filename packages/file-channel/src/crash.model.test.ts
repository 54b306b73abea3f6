import { createSeededRandom, type Operation, type PowerCut } from "@millrace/testing";
import type { Random } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { CrashWorld } from "./crash-world.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 15);
const firstSeed = Number(process.env["SEED"] ?? 1);
const fates: readonly (PowerCut | undefined)[] = [undefined, "lose", "keep", "mix", "mix"];

interface Totals {
  crashes: number;
  inRecovery: number;
  cut: number;
  present: number;
  redelivered: number;
  failedSyncs: number;
  failedWrites: number;
}

function newTotals(): Totals {
  return { crashes: 0, inRecovery: 0, cut: 0, present: 0, redelivered: 0, failedSyncs: 0, failedWrites: 0 }; // prettier-ignore
}

/** `trustsAcks`: whether a while without puts is known to have stored the acknowledgements. */
async function act(world: CrashWorld, random: Random, trustsAcks = true): Promise<void> {
  const size = () => ({ count: 1 + random.integer(6), bytes: 8 + random.integer(1500) });
  const what = random.integer(10);
  if (what < 4) await world.put(...Array.from({ length: 1 + random.integer(3) }, size));
  else if (what < 7) {
    const max = 1 + random.integer(12);
    if ((world.channel?.size ?? 0) > 0) await world.take(max, random.integer(max + 1));
  } else if (what < 8) await world.rest(150, trustsAcks);
  else if (what < 9) {
    if ((world.channel?.size ?? 0) > 0) await world.take(1000, 1000);
  } else if (trustsAcks) {
    await world.stop();
    await world.open();
  }
}

/** Lives of random length, each ended by a crash at a random call, many of them while it recovers. */
async function runSeed(seed: number, totals: Totals, options: object = {}): Promise<void> {
  const random = createSeededRandom(seed);
  const sectorBytes = random.integer(3) === 0 ? 4096 : 512;
  const groupAlign = random.integer(4) === 0 ? 4096 : 512;
  const dataDirs = random.integer(3) === 0 ? ["/data/one", "/data/two"] : ["/data/one"];
  const memoryBytes = random.integer(2) === 0 ? 3000 : 1_000_000;
  const world = new CrashWorld(
    seed,
    { dataDirs, groupAlign, memoryBytes, ...options },
    { sectorBytes },
  );
  for (let life = 0; life < 6; life++) {
    const crashAt = 1 + random.integer(random.integer(2) === 0 ? 40 : 200);
    const operation = await world.until(async () => {
      await world.open({ crashAt });
      await world.judge(`seed ${seed}, life ${life}`);
      for (let i = 0; i < 60; i++) await act(world, random);
      await world.stop();
    });
    if (operation !== undefined) {
      totals.crashes++;
      if (!world.isOpen) totals.inRecovery++;
      world.crash(fates[random.integer(fates.length)]);
    }
  }
  await world.open();
  await world.judge(`seed ${seed}, at the end`);
  totals.cut += world.counts.cut;
  totals.present += world.counts.present;
  totals.redelivered += world.counts.redelivered;
}

test(`${seeds} random histories of crashes keep every promise`, async () => {
  const totals = newTotals();
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    await runSeed(seed, totals).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
  }
  assert.ok(totals.crashes >= seeds * 3, JSON.stringify(totals));
  assert.ok(totals.inRecovery >= seeds / 2 && totals.cut >= seeds, JSON.stringify(totals));
  assert.ok(totals.present >= seeds * 10, JSON.stringify(totals));
});

test("histories with failed syncs keep every promise that was made", async () => {
  const totals = newTotals();
  const rounds = Math.ceil(seeds / 3);
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    await failSyncs(seed, totals).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
  }
  assert.ok(totals.failedSyncs >= rounds && totals.present >= rounds * 5, JSON.stringify(totals));
});

/** A sync fails, the channel is FAILED, and the process is restarted, or the power goes as well. */
async function failSyncs(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const world = new CrashWorld(seed, { memoryBytes: 3000 });
  for (let life = 0; life < 5; life++) {
    const failAt = 20 + random.integer(100);
    let failed = 0;
    const fault = ({ kind, number }: Operation) => {
      if (kind !== "datasync" || number < failAt || failed > 0) return undefined;
      failed++;
      return "EIO" as const;
    };
    await world.open({ fault }).catch((error: unknown) => {
      assert.ok(failed > 0, String(error));
    });
    for (let i = 0; i < 60 && failed === 0 && world.isOpen; i++) {
      await act(world, random).catch((error: unknown) => {
        if (failed === 0) throw error;
      });
    }
    totals.failedSyncs += failed;
    world.crash(fates[random.integer(fates.length)]);
    await world.open();
    await world.judge(`seed ${seed}, life ${life}`);
    await world.stop();
  }
  totals.present += world.counts.present;
}

test("histories with failed and short writes keep every promise that was made", async () => {
  const totals = newTotals();
  const rounds = seeds * 2;
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    await failWrites(seed, totals).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
  }
  assert.ok(totals.failedWrites >= rounds && totals.crashes >= rounds, JSON.stringify(totals));
  assert.ok(totals.present >= rounds * 10, JSON.stringify(totals));
});

/** Writes fail now and then, by error, full disk or half way, and the life ends by a crash. */
async function failWrites(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const world = new CrashWorld(seed, { memoryBytes: 3000 });
  for (let life = 0; life < 4; life++) {
    const fault = ({ kind }: Operation) => {
      if (kind !== "write" || !world.isOpen || random.integer(6) > 0) return undefined;
      totals.failedWrites++;
      return (["EIO", "ENOSPC", "short"] as const)[random.integer(3)];
    };
    const crashAt = 30 + random.integer(200);
    const operation = await world.until(async () => {
      await world.open({ crashAt, fault });
      await world.judge(`seed ${seed}, life ${life}`);
      for (let i = 0; i < 60; i++) await act(world, random, false);
    });
    if (operation !== undefined) totals.crashes++;
    world.crash(fates[random.integer(fates.length)]);
  }
  await world.open();
  await world.judge(`seed ${seed}, at the end`);
  totals.present += world.counts.present;
}
