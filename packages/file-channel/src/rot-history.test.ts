import { MillraceError, type Random } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { act, crashPoint, fates, randomOptions, rotateKeys } from "./crash-actions.test.ts";
import { addCounts, type Totals } from "./crash-histories.test.ts";
import { CrashWorld } from "./crash-world.test.ts";
import { openRepair } from "./tools/repair.ts";

/**
 * Between lives a sector that was synced rots. The start or a take refuses, or quarantine sets the
 * range aside, or nothing that is needed was hit: never is anything missing in silence. A repair
 * then names what is lost, and exactly that is gone; the channel lives on.
 */
export async function rotHistory(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const onCorruption = random.integer(3) === 0 ? "quarantine" : "stop";
  const world = new CrashWorld(seed, { ...randomOptions(random), onCorruption });
  for (let life = 0; life < 4; life++) {
    const where = `life ${life}`;
    const crashed = await world.until(async () => {
      totals.starts++;
      await world.open(random.integer(3) === 0 ? { crashAt: crashPoint(random) } : {});
      await world.judge(where);
      for (let i = 0; i < 40; i++) await act(world, random);
      await world.stop();
    });
    if (crashed !== undefined) world.crash(fates[random.integer(fates.length)]);
    const discarded = await closeInOrder(world, where, totals);
    rotSector(world, random);
    totals.damages++;
    await startDamaged(world, random, where, totals, discarded);
    rotateKeys(world, random);
  }
  totals.starts++;
  await world.open();
  await world.judge("at the end");
  addCounts(world, totals);
}

/**
 * So that everything is proven by the mark of a close, and every event's sequence is known. Returns
 * the events counted as lost so far.
 */
async function closeInOrder(world: CrashWorld, where: string, totals: Totals): Promise<number> {
  totals.starts++;
  await world.open();
  await world.judge(`${where}, before the damage`);
  await world.stop();
  return discardedOf(world);
}

function discardedOf({ metrics }: CrashWorld): number {
  const reason = { reason: "corrupt_record", intended: "false" };
  return metrics?.value("millrace_events_discarded_total", reason) ?? 0;
}

/** Zeroes a sector, flips a bit of it, or puts there what stands somewhere else. */
function rotSector(world: CrashWorld, random: Random): void {
  const paths = world.disk.paths("/data").filter((path) => /\/0[^/]*\.seg$/.test(path));
  const file = world.disk.file(paths[random.integer(paths.length)] as string);
  const at = random.integer(Math.ceil(file.length / 512)) * 512;
  const sector = Buffer.from(file.content.subarray(at, Math.min(file.length, at + 512)));
  const what = random.integer(3);
  if (what === 0) sector.fill(0);
  if (what === 1) {
    const bit = random.integer(sector.length * 8);
    sector.writeUInt8(sector.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  }
  if (what === 2) {
    const other = world.disk.file(paths[random.integer(paths.length)] as string);
    const from = random.integer(Math.ceil(other.length / 512)) * 512;
    other.content.copy(sector, 0, from, Math.min(other.length, from + 512));
  }
  file.damage(at, sector);
}

async function startDamaged(
  world: CrashWorld,
  random: Random,
  where: string,
  totals: Totals,
  discardedBefore: number,
): Promise<void> {
  totals.starts++;
  try {
    await world.open();
  } catch (error) {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_CORRUPT", String(error));
    world.crash(undefined);
    return repair(world, random, `${where}, refused`, totals);
  }
  const { present, takes, error } = await world.takeAll(where);
  if (error === undefined) {
    judgeQuarantine(world, present, where, totals, discardedOf(world) - discardedBefore);
    for (const take of takes) await take.rollback();
    return world.stop(false);
  }
  assert.equal(error.code, "CHANNEL_CORRUPT");
  const held = [...world.model.held].sort((a, b) => a - b);
  const old = present.filter((id) => !world.model.held.has(id));
  assert.ok(
    old.every((id) => world.model.everSettled.has(id)),
    `${where}: cut events are back`,
  );
  const front = present.filter((id) => world.model.held.has(id));
  assert.deepEqual(front, held.slice(0, front.length), `${where}: a gap before the damage`);
  world.crash(undefined);
  await repair(world, random, `${where}, stopped`, totals);
}

/** All is there, but for what was counted as lost. */
function judgeQuarantine(
  world: CrashWorld,
  present: readonly number[],
  where: string,
  totals: Totals,
  counted: number,
): void {
  const found = new Set(present);
  const missing = [...world.model.held].filter((id) => !found.has(id));
  if (world.options.onCorruption === "stop") assert.deepEqual(missing, [], `${where}: in silence`);
  assert.equal(missing.length, counted, `${where}: missing ${missing.join(" ")}`);
  totals.namedLost += missing.length;
  if (missing.length > 0) totals.damageRefused++;
  world.model.damaged(missing);
  world.model.judge(present, where);
}

/** Repairs, now and then through a crash, and judges that exactly what it names is gone. */
async function repair(
  world: CrashWorld,
  random: Random,
  where: string,
  totals: Totals,
): Promise<void> {
  totals.damageRefused++;
  const lost: { first: number; end: number }[] = [];
  const { dataDirs, keys } = world.options;
  for (let attempt = 0; ; attempt++) {
    const crashAt = attempt === 0 && random.integer(2) === 0 ? 1 + random.integer(120) : undefined;
    const crashed = await world.until(async () => {
      const runtime = world.boot(crashAt === undefined ? {} : { crashAt });
      const opened = await world.alive(
        openRepair(dataDirs, { lostDirectory: false }, { runtime, keys }),
      );
      for (const { sequences } of opened.plan.lost) lost.push(...sequences);
      await world.alive(opened.run());
      await world.alive(opened.close());
    });
    if (crashed === undefined) break;
    world.crash(fates[random.integer(fates.length)]);
  }
  const gone = [...world.model.held].filter((id) => {
    const sequence = world.sequences.get(id) ?? -1;
    return lost.some(({ first, end }) => sequence >= first && sequence < end);
  });
  totals.namedLost += gone.length;
  world.model.damaged(gone);
  totals.starts++;
  await world.open();
  await world.judge(`${where}, repaired, ${gone.length} named`);
  await world.stop();
}
