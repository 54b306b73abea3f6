import { createSeededRandom, type Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { act, addDirectory, crashPoint, fates, randomOptions, rotateKeys } from "./crash-actions.test.ts"; // prettier-ignore
import { CrashWorld, type Phase } from "./crash-world.test.ts";
import { rotHistory } from "./rot-history.test.ts";

/** What a number of histories contained. */
export interface Totals {
  histories: number;
  crashes: number;
  /** Crashes by what they came in. */
  phases: Record<Phase, number>;
  torn: number;
  starts: number;
  /** Starts that were refused; the histories here damage nothing, so none may be. */
  refused: number;
  cut: number;
  present: number;
  redelivered: number;
  failedSyncs: number;
  failedWrites: number;
  /** Puts refused by a full disk. */
  diskFull: number;
  /** Synced sectors that were damaged. */
  damages: number;
  /** Starts and takes that were refused for damage, and repaired. */
  damageRefused: number;
  /** Events that a repair, or quarantine, named as lost; nothing else was. */
  namedLost: number;
}

export function newTotals(): Totals {
  const phases = { recovery: 0, roll: 0, free: 0, group: 0, other: 0 };
  const seen = { torn: 0, starts: 0, refused: 0, cut: 0, present: 0, redelivered: 0 };
  const faults = { failedSyncs: 0, failedWrites: 0, diskFull: 0 };
  const rot = { damages: 0, damageRefused: 0, namedLost: 0 };
  return { histories: 0, crashes: 0, phases, ...seen, ...faults, ...rot };
}

/** One history from its seed: repeatable exactly. Throws where a promise was broken. */
export type History = (seed: number, totals: Totals) => Promise<void>;

export const histories: Readonly<Record<string, History>> = {
  crashes: crashHistory,
  "failed-syncs": failedSyncHistory,
  "failed-writes": failedWriteHistory,
  "full-disk": fullDiskHistory,
  rot: rotHistory,
};

/** Runs `count` histories; an error names the seed that repeats it. */
export async function runHistories(
  history: History,
  from: number,
  count: number,
  totals: Totals = newTotals(),
): Promise<Totals> {
  for (let seed = from; seed < from + count; seed++) {
    totals.histories++;
    await history(seed, totals).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
  }
  return totals;
}

/** Lives of random length, each ended by a crash at a random call, or in order. */
async function crashHistory(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const sectorBytes = random.integer(3) === 0 ? 4096 : 512;
  const world = new CrashWorld(seed, randomOptions(random), { sectorBytes });
  for (let life = 0; life < 8; life++) {
    const crashed = await world.until(async () => {
      totals.starts++;
      await opened(world, totals, { crashAt: crashPoint(random) });
      await world.judge(`life ${life}`);
      for (let i = 0; i < 60; i++) await act(world, random);
      await world.stop();
    });
    if (crashed !== undefined) world.crash(fates[random.integer(fates.length)]);
    else if (random.integer(4) === 0) addDirectory(world);
    rotateKeys(world, random);
  }
  await lastLife(world, totals);
}

/** A start that must not be refused, as nothing was damaged. */
async function opened(
  world: CrashWorld,
  totals: Totals,
  options: Parameters<CrashWorld["open"]>[0],
): Promise<void> {
  try {
    await world.open(options);
  } catch (error) {
    if (error instanceof Error && "code" in error) totals.refused++;
    throw error;
  }
}

async function lastLife(world: CrashWorld, totals: Totals): Promise<void> {
  totals.starts++;
  await opened(world, totals, {});
  await world.judge("at the end");
  addCounts(world, totals);
}

/** What the world has seen. */
export function addCounts(world: CrashWorld, totals: Totals): void {
  const { model, crashes, disk } = world;
  for (const phase of Object.keys(crashes) as Phase[]) {
    totals.phases[phase] += crashes[phase];
    totals.crashes += crashes[phase];
  }
  totals.torn += disk.tornFiles;
  totals.cut += model.counts.cut;
  totals.present += model.counts.present;
  totals.redelivered += model.counts.redelivered;
}

/** A sync fails, the channel is FAILED, and the process is restarted, or the power goes as well. */
async function failedSyncHistory(seed: number, totals: Totals): Promise<void> {
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
    totals.starts++;
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
    totals.starts++;
    await opened(world, totals, {});
    await world.judge(`life ${life}`);
    await world.stop();
  }
  await lastLife(world, totals);
}

/** Writes fail now and then, by error, full disk or half way, and the life ends by a crash. */
async function failedWriteHistory(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const world = new CrashWorld(seed, { memoryBytes: 3000 });
  for (let life = 0; life < 4; life++) {
    const fault = ({ kind }: Operation) => {
      if (kind !== "write" || !world.isOpen || random.integer(6) > 0) return undefined;
      totals.failedWrites++;
      return (["EIO", "ENOSPC", "short"] as const)[random.integer(3)];
    };
    const crashAt = 30 + random.integer(200);
    await world.until(async () => {
      totals.starts++;
      await opened(world, totals, { crashAt, fault });
      await world.judge(`life ${life}`);
      for (let i = 0; i < 60; i++) await act(world, random, false);
    });
    world.crash(fates[random.integer(fates.length)]);
  }
  await lastLife(world, totals);
}

/**
 * A disk so small that it is full most of the time. Puts are refused then, takes and starts never:
 * what puts leave free is enough for acknowledgements, snapshots, and starting again.
 */
async function fullDiskHistory(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const segmentBytes = 64 * 1024;
  const capacityBytes = 4 * segmentBytes + random.integer(4 * segmentBytes);
  const options = { segmentBytes, memoryBytes: random.integer(2) === 0 ? 3000 : 1_000_000 };
  const world = new CrashWorld(seed, options, { capacityBytes });
  for (let life = 0; life < 6; life++) {
    const crashed = await world.until(async () => {
      totals.starts++;
      await opened(world, totals, { crashAt: crashPoint(random) });
      await world.judge(`life ${life}`);
      for (let i = 0; i < 6; i++) {
        const refused = world.refusedPuts;
        for (let put = 0; put < 100 && world.refusedPuts === refused; put++) {
          await world.put({ count: 4, bytes: 700 });
        }
        for (let turn = 0; turn < 4; turn++) await act(world, random, false);
        if ((world.channel?.size ?? 0) > world.model.lent.size) await world.take(1000, 1000);
        await world.rest(1500, false);
      }
    });
    if (crashed !== undefined) world.crash(fates[random.integer(fates.length)]);
    else world.crash(undefined);
  }
  totals.diskFull += world.refusedPuts;
  await lastLife(world, totals);
}
