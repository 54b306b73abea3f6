import type { Operation, PowerCut } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { CrashWorld } from "./crash-world.test.ts";

/** SEEDS over 1 tries each crash with each fate of what was not synced, and more second crashes. */
const rounds = Math.min(8, Number(process.env["SEEDS"] ?? 1));
const fates: readonly (PowerCut | undefined)[] = ["mix", undefined, "lose", "keep"];

/** Puts, takes, rolls, frees and an orderly close: everything the log does. */
async function scenario(world: CrashWorld): Promise<void> {
  await world.put({ count: 3, bytes: 500 });
  await world.put({ count: 1, bytes: 100 }, { count: 5, bytes: 300 }, { count: 2, bytes: 40 });
  await world.take(4, 4);
  await world.put({ count: 4, bytes: 900 });
  await world.rest();
  await world.put({ count: 4, bytes: 900 });
  await world.take(9, 6);
  await world.put({ count: 6, bytes: 700 }, { count: 1, bytes: 700 });
  await world.take(8, 8);
  await world.put({ count: 4, bytes: 1000 });
  await world.take(100, 100);
  await world.put({ count: 4, bytes: 1000 });
  await world.rest();
  await world.take(3, 2);
  await world.stop();
}

/** The scenario twice, over one disk; the crash may come in either run. */
async function twoRuns(world: CrashWorld, crash?: { run: number; at: number }): Promise<void> {
  for (const run of [0, 1]) {
    await world.open(crash?.run === run ? { crashAt: crash.at } : {});
    await scenario(world);
  }
}

type Phase = "recovery" | "roll" | "free" | "group" | "other";

function phaseOf(world: CrashWorld, { kind, path, position = 0 }: Operation): Phase {
  if (!world.isOpen) return "recovery";
  if (path.includes("spare-") || kind === "unlink" || kind === "truncate") return "free";
  if (kind === "create" || kind === "rename" || kind === "syncDirectory") return "roll";
  if (kind === "write" && position <= 4096) return "roll";
  return kind === "write" || kind === "datasync" ? "group" : "other";
}

/** Calls of the first start, which makes the channel, and of a whole second run. */
async function countCalls(): Promise<[number, number]> {
  const world = new CrashWorld(1);
  await world.open();
  const first = world.operations;
  await scenario(world);
  await world.open();
  await scenario(world);
  return [first, world.operations];
}

test("a crash at any call, and again in recovery, loses, refuses, repeats and revives nothing", async () => {
  const calls = await countCalls();
  const crashes: Record<Phase, number> = { recovery: 0, roll: 0, free: 0, group: 0, other: 0 };
  const seen = { cut: 0, present: 0, redelivered: 0, again: 0 };
  for (let round = 0; round < rounds; round++) {
    for (const run of [0, 1]) {
      for (let at = 1; at <= (calls[run] as number); at++) {
        const world = new CrashWorld(1);
        const fate = fates[(at + round) % fates.length];
        const operation = await world.until(() => twoRuns(world, { run, at }));
        assert.ok(operation !== undefined, `run ${run} has a call ${at}`);
        const phase = phaseOf(world, operation);
        crashes[phase]++;
        const where = `run ${run}, call ${at} (${operation.kind} ${operation.path}), ${fate ?? "kill"}`;
        await recoverTwice(world, where, fate, 1 + ((at * 7 + round * 5) % 41), seen);
        seen.cut += world.counts.cut;
        seen.present += world.counts.present;
        seen.redelivered += world.counts.redelivered;
      }
    }
  }
  assert.ok(crashes.recovery >= 50 && crashes.roll >= 20, JSON.stringify(crashes));
  assert.ok(crashes.free >= 4 && crashes.group >= 30, JSON.stringify(crashes));
  assert.ok(seen.cut > 50 && seen.present > 1000, JSON.stringify(seen));
  assert.ok(seen.again > 50 && seen.redelivered > 10, JSON.stringify(seen));
});

/** Crashes once more while recovering, then recovers, judges, loses power, judges, closes, judges. */
async function recoverTwice(
  world: CrashWorld,
  where: string,
  fate: PowerCut | undefined,
  crashAt: number,
  seen: { again: number },
): Promise<void> {
  world.crash(fate);
  const again = await start(world, where, crashAt);
  if (again !== undefined) seen.again++;
  // Now and then only the process dies, twice: what is read then was never stored.
  world.crash(fates[(crashAt + (again?.path.length ?? 0)) % fates.length]);
  await start(world, `${where}, again in ${again?.kind} ${again?.path}`);
  await world.judge(where);
  await world.put({ count: 2, bytes: 600 });
  // What recovery read, and named in its snapshot, is stored by now.
  world.crash("lose");
  await start(world, `${where}, then a power cut`);
  await world.judge(`${where}, then a power cut`);
  await world.take(3, 2);
  await world.stop();
  await world.open();
  await world.judge(`${where}, after an orderly close`);
}

async function start(
  world: CrashWorld,
  where: string,
  crashAt?: number,
): Promise<Operation | undefined> {
  try {
    return await world.until(() => world.open(crashAt === undefined ? {} : { crashAt }));
  } catch (error) {
    throw new Error(`${where}: the start was refused: ${String(error)}`, { cause: error });
  }
}
