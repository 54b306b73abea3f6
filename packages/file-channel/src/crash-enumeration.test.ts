import type { Operation, PowerCut } from "@millrace/testing";
import assert from "node:assert/strict";
import { CrashWorld, type Phase } from "./crash-world.test.ts";
import type { FileChannelOptions } from "./options.ts";

/** What a power cut does to what was not synced; undefined: only the process dies. */
export const fates: readonly (PowerCut | undefined)[] = ["mix", undefined, "lose", "keep"];

export interface Variant {
  readonly name: string;
  readonly options?: Partial<FileChannelOptions>;
  readonly sectorBytes?: number;
  /** Every event has a record of its own, of so many bytes: what is torn fits what came after. */
  readonly recordBytes?: number;
}

/** Keys for tests: any name has one. */
export const testKeys = {
  key: (alias: string) => Promise.resolve(Buffer.alloc(32, `the key ${alias}`)),
};

export const variants: readonly Variant[] = [
  { name: "one directory" },
  { name: "two directories", options: { dataDirs: ["/data/one", "/data/two"] } },
  {
    name: "sectors and groups of 4 KiB",
    options: { groupAlign: 4096, segmentBytes: 40 * 1024 },
    sectorBytes: 4096,
  },
  { name: "sectors of 4 KiB, groups of 512 B", sectorBytes: 4096 },
  { name: "records of equal size", recordBytes: 512 },
  { name: "encrypted", options: { keys: testKeys, activeKey: "first" } },
  { name: "syncs left out", options: { fsyncPerTransaction: false, fsyncIntervalMs: 120 } },
];

export interface EnumerationCounts {
  /** Every crash, first and later ones. */
  crashes: number;
  /** First crashes by what they came in. */
  phases: Record<Phase, number>;
  /** Files that a power cut left with some of their unsynced sectors. */
  torn: number;
  starts: number;
  refused: number;
  cut: number;
  present: number;
  redelivered: number;
}

export function newEnumerationCounts(): EnumerationCounts {
  const phases = { recovery: 0, roll: 0, free: 0, group: 0, other: 0 };
  const counts = { crashes: 0, torn: 0, starts: 0, refused: 0, cut: 0, present: 0, redelivered: 0 };
  return { ...counts, phases };
}

type Size = { count: number; bytes: number };

/** Puts, takes, rolls, frees and an orderly close: everything the log does. */
async function scenario(world: CrashWorld, { recordBytes }: Variant): Promise<void> {
  // 80: the head, the put time, and what an event has beside its body.
  const sized = (sizes: readonly Size[]): readonly Size[] =>
    recordBytes === undefined
      ? sizes
      : sizes.flatMap(({ count }) =>
          Array<Size>(count).fill({ count: 1, bytes: recordBytes - 80 }),
        );
  const put = (...sizes: readonly Size[]) => world.put(...sized(sizes));
  await put({ count: 3, bytes: 500 });
  await put({ count: 1, bytes: 100 }, { count: 5, bytes: 300 }, { count: 2, bytes: 40 });
  await world.take(4, 4);
  await put({ count: 4, bytes: 900 });
  await world.rest();
  await put({ count: 4, bytes: 900 });
  await world.take(9, 6);
  await put({ count: 6, bytes: 700 }, { count: 1, bytes: 700 });
  await world.take(8, 8);
  await put({ count: 4, bytes: 1000 });
  await world.take(100, 100);
  await put({ count: 4, bytes: 1000 });
  await world.rest();
  await world.take(3, 2);
  await world.stop();
}

/** The scenario twice, over one disk; the crash may come in either run. */
async function twoRuns(
  world: CrashWorld,
  variant: Variant,
  crash?: { run: number; at: number },
): Promise<void> {
  for (const run of [0, 1]) {
    await world.open(crash?.run === run ? { crashAt: crash.at } : {});
    await scenario(world, variant);
  }
}

function worldOf({ options, sectorBytes }: Variant): CrashWorld {
  return new CrashWorld(1, options, sectorBytes === undefined ? {} : { sectorBytes });
}

/** Calls of the first start, which makes the channel, and of a whole second run. */
export async function countCalls(variant: Variant): Promise<[number, number]> {
  const world = worldOf(variant);
  await world.open();
  const first = world.operations;
  await scenario(world, variant);
  await world.open();
  await scenario(world, variant);
  return [first, world.operations];
}

/**
 * A crash at every call of a run, one after another, each followed by a second crash while the
 * channel recovers, a power cut after that, and an orderly close. `round` picks the fate of each
 * crash, and where the second one comes.
 */
export async function enumerateCrashes(
  variant: Variant,
  round: number,
  counts: EnumerationCounts,
): Promise<void> {
  const calls = await countCalls(variant);
  for (const run of [0, 1]) {
    for (let at = 1; at <= (calls[run] as number); at++) {
      const world = worldOf(variant);
      const fate = fates[(at + round) % fates.length];
      const operation = await world.until(() => twoRuns(world, variant, { run, at }));
      assert.ok(operation !== undefined, `${variant.name}: run ${run} has a call ${at}`);
      for (const phase of Object.keys(world.crashes) as Phase[]) {
        counts.phases[phase] += world.crashes[phase];
      }
      const { kind, path } = operation;
      const where = `${variant.name}, round ${round}, run ${run}, call ${at} (${kind} ${path}), ${fate ?? "kill"}`;
      await recoverTwice(world, where, fate, 1 + ((at * 7 + round * 5) % 41), counts);
      counts.torn += world.disk.tornFiles;
      counts.cut += world.model.counts.cut;
      counts.present += world.model.counts.present;
      counts.redelivered += world.model.counts.redelivered;
    }
  }
}

/**
 * A power cut at every call at which names are not synced, with every subset of those names lost,
 * and the bytes of files lost or kept.
 */
export async function enumerateNames(variant: Variant, counts: EnumerationCounts): Promise<number> {
  const calls = await countCalls(variant);
  let subsets = 0;
  for (const run of [0, 1]) {
    for (let at = 1; at <= (calls[run] as number); at++) {
      for (let names = 0, last = 0; names <= last; names++) {
        for (const fate of ["lose", "keep"] as const) {
          const world = worldOf(variant);
          await world.until(() => twoRuns(world, variant, { run, at }));
          const changes = Math.min(5, world.disk.unsyncedNames);
          if (changes === 0) continue;
          last = 2 ** changes - 1;
          subsets++;
          counts.crashes++;
          world.crash(fate, names);
          const where = `${variant.name}, run ${run}, call ${at}, names ${names.toString(2)} of ${changes}, ${fate}`;
          await start(world, where, counts);
          await world.judge(where);
          await world.put({ count: 2, bytes: 600 });
          world.crash("lose");
          await start(world, `${where}, then a power cut`, counts);
          await world.judge(`${where}, then a power cut`);
        }
      }
    }
  }
  return subsets;
}

/** Crashes once more while recovering, then recovers, judges, loses power, judges, closes, judges. */
async function recoverTwice(
  world: CrashWorld,
  where: string,
  fate: PowerCut | undefined,
  crashAt: number,
  counts: EnumerationCounts,
): Promise<void> {
  world.crash(fate);
  const again = await start(world, where, counts, crashAt);
  // Now and then only the process dies, twice: what is read then was never stored.
  world.crash(fates[(crashAt + (again?.path.length ?? 0)) % fates.length]);
  await start(world, `${where}, again in ${again?.kind} ${again?.path}`, counts);
  await world.judge(where);
  await world.put({ count: 2, bytes: 600 });
  // What recovery read, and named in its snapshot, is stored by now.
  world.crash("lose");
  await start(world, `${where}, then a power cut`, counts);
  await world.judge(`${where}, then a power cut`);
  if ((world.channel?.size ?? 0) > 0) await world.take(3, 2);
  await world.stop();
  await start(world, `${where}, after an orderly close`, counts);
  await world.judge(`${where}, after an orderly close`);
  counts.crashes += again === undefined ? 2 : 3;
}

async function start(
  world: CrashWorld,
  where: string,
  counts: EnumerationCounts,
  crashAt?: number,
): Promise<Operation | undefined> {
  counts.starts++;
  try {
    return await world.until(() => world.open(crashAt === undefined ? {} : { crashAt }));
  } catch (error) {
    counts.refused++;
    throw new Error(`${where}: the start was refused: ${String(error)}`, { cause: error });
  }
}
