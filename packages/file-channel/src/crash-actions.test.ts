import type { Random } from "@millrace/core";
import type { PowerCut } from "@millrace/testing";
import { testKeys } from "./crash-enumeration.test.ts";
import type { CrashWorld } from "./crash-world.test.ts";
import type { FileChannelOptions } from "./options.ts";

export const fates: readonly (PowerCut | undefined)[] = [undefined, "lose", "keep", "mix", "mix"];

/**
 * One random thing a user of the channel does: puts with some of them rolled back, takes in hand
 * over a while, settled whole, in part or not, pauses, and orderly restarts.
 */
export async function act(world: CrashWorld, random: Random, trustsAcks = true): Promise<void> {
  const size = () => ({
    count: 1 + random.integer(6),
    bytes: 8 + random.integer(1500),
    rolledBack: random.integer(8) === 0,
  });
  const puts = () => Array.from({ length: 1 + random.integer(3) }, size);
  const available = (world.channel?.size ?? 0) - world.model.lent.size;
  const what = random.integer(12);
  if (what < 4) await world.put(...puts());
  else if (what < 6) {
    const max = 1 + random.integer(12);
    if (available > 0) await world.take(max, random.integer(max + 1));
  } else if (what < 7) {
    if (available > 0) await world.hold(1 + random.integer(8));
  } else if (what < 9) {
    // While acknowledgements arrive, puts are being written.
    await Promise.all([
      ...(random.integer(2) === 0 ? [world.put(...puts())] : []),
      world.endTake(random.integer(Math.max(1, world.openTakes)), ranges(random)),
    ]);
  } else if (what < 10) {
    await world.rest(random.integer(4) === 0 ? 6000 : 150, trustsAcks);
  } else if (what < 11) {
    if (available > 0) await world.take(1000, 1000);
  } else if (trustsAcks && random.integer(2) === 0) {
    await world.stop();
    await world.open();
    await world.judge("after an orderly restart");
  }
}

/** Some of the first twelve positions of a batch, or none by a rollback. */
function ranges(random: Random): { from: number; to: number }[] | "rollback" {
  if (random.integer(4) === 0) return "rollback";
  const all = Array.from({ length: 12 }, (_, from) => ({ from, to: from + 1 }));
  return all.filter(() => random.integer(3) > 0);
}

export function randomOptions(
  random: Random,
): Partial<FileChannelOptions> & { dataDirs: string[] } {
  const directories = ["/data/one", "/data/two", "/data/three"];
  const groupAlign = random.integer(4) === 0 ? 4096 : 512;
  return {
    dataDirs: directories.slice(0, [1, 1, 1, 2, 2, 3][random.integer(6)]),
    groupAlign,
    segmentBytes: groupAlign === 4096 ? 40 * 1024 : 16 * 1024,
    memoryBytes: random.integer(2) === 0 ? 3000 : 1_000_000,
    ...(random.integer(4) === 0 ? { keys: testKeys, activeKey: "first" } : {}),
    ...(random.integer(6) === 0 ? { fsyncPerTransaction: false, fsyncIntervalMs: 200 } : {}),
  };
}

/** A part of the crashes comes while the channel recovers, the rest later. */
export function crashPoint(random: Random): number {
  return 1 + (random.integer(4) === 0 ? random.integer(45) : 60 + random.integer(180));
}

/** Between two lives the operator names another key, or none; the old ones can still be had. */
export function rotateKeys(world: CrashWorld, random: Random): void {
  if (world.options.keys === undefined || random.integer(3) > 0) return;
  const activeKey = [undefined, "first", "second"][random.integer(3)];
  world.options = { ...world.options, activeKey };
}

/** Between two lives the operator adds a disk. */
export function addDirectory(world: CrashWorld): void {
  const { dataDirs } = world.options;
  if (dataDirs.length > 4) return;
  world.options = { ...world.options, dataDirs: [...dataDirs, `/data/more-${dataDirs.length}`] };
}
