import assert from "node:assert/strict";
import { test } from "node:test";
import { never, put, sized } from "../sim-channel.test.ts";
import {
  copyOf,
  damage,
  deliverAll,
  findBody,
  segmentPaths,
  type TestChannel,
  toolContext,
  writtenChannel,
} from "./damaged-channel.test.ts";
import { openRepair } from "./repair.ts";
import type { RepairOptions, RepairPlan } from "./repair-plan.ts";
import { verifyChannel } from "./verify.ts";

const keepAll: RepairOptions = { lostDirectory: false };

async function repair(sim: TestChannel, options = keepAll): Promise<RepairPlan> {
  const opened = await openRepair(sim.dataDirs, options, toolContext(sim.disk));
  try {
    await opened.run();
    return opened.plan;
  } finally {
    await opened.close();
  }
}

/** Ids of the events that a plan gives up. */
function lostIds({ sequences }: TestChannel, { lost, lostCount }: RepairPlan): number[] {
  const isLost = (sequence: number): boolean =>
    lost.some((one) => one.sequences.some(({ first, end }) => sequence >= first && sequence < end));
  const ids = [...sequences].filter(([, sequence]) => isLost(sequence)).map(([id]) => id);
  assert.equal(ids.length, lostCount, "every lost event is one that was to be delivered");
  return ids;
}

/**
 * Repairs and judges: everything sound that was to be delivered comes once and in order, the rest is
 * named, and the channel is sound afterwards. `again` are delivered events that may come again.
 */
async function repairAndJudge(
  sim: TestChannel,
  where: string,
  options = keepAll,
): Promise<{ plan: RepairPlan; lost: number[]; again: number[] }> {
  const plan = await repair(sim, options);
  const lost = lostIds(sim, plan);
  const report = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
  assert.ok(report.isSound, `${where}: ${JSON.stringify(report.findings)}`);
  const nothing = await openRepair(sim.dataDirs, keepAll, toolContext(sim.disk));
  assert.equal(nothing.plan.isNeeded, false, `${where}: repaired twice`);
  const discarded = nothing.plan.survey.state.discardedTotal;
  assert.equal(discarded, lost.length, `${where}: the lost are counted as discarded`);
  const ids = await deliverAll(sim);
  const again = ids.filter((id) => !sim.held.includes(id));
  const wanted = sim.held.filter((id) => !lost.includes(id));
  const got = ids.filter((id) => sim.held.includes(id));
  assert.deepEqual(got, wanted, `${where}: lost ${lost.join(" ")}`);
  for (const id of again) assert.ok(id <= 9 || id >= 1000, `${where}: ${id} came again`);
  return { plan, lost, again };
}

const original = writtenChannel();
const twoDirectories = writtenChannel({ dataDirs: ["/data/one", "/data/two"] });

test("repair of a sound channel writes nothing", async () => {
  const sim = await copyOf(await original);
  const before = sim.disk.paths("/data");
  const plan = await repair(sim);
  assert.equal(plan.isNeeded, false);
  assert.deepEqual(sim.disk.paths("/data"), before);
  assert.deepEqual(await deliverAll(sim), sim.held);
});

test("repair gives up a damaged record of an old segment and delivers the rest [lost: file | bytes damaged | what stood there, named and counted] (T782, T783)", async () => {
  const sim = await copyOf(await original);
  const { path, at } = findBody(sim, 12);
  damage(sim, path, at + 100, 3);
  const { plan, lost } = await repairAndJudge(sim, "old record");
  assert.deepEqual(lost, [11, 12, 13, 14, 15]);
  assert.equal(plan.lost[0]?.path, path);
  const range = plan.lost[0]?.range;
  assert.ok(range !== undefined && range.from <= at && range.to > at, JSON.stringify(range));
  const kept = sim.disk.paths("/data").filter((one) => one.includes("set-aside-"));
  assert.ok(kept.some((one) => one.endsWith(`-${range.from}-${range.to}.bin`)));
  const readMe = sim.disk.file(kept.find((one) => one.endsWith("read-me.txt")) as string);
  const text = readMe.content.toString("utf8", 0, readMe.length);
  assert.match(text, /Lost events: 5\n {2}5 events at \/data\/one\/[0-9a-f]+\.seg bytes \d+ to \d+: sequences \d+ to \d+/); // prettier-ignore
});

test("repair goes on behind a damaged record of the newest segment", async () => {
  const sim = await copyOf(await original);
  const newest = segmentPaths(sim).at(-1) as string;
  const { path, at } = findBody(sim, 42);
  assert.equal(path, newest, "the newest segment holds event 42");
  damage(sim, path, at, 4);
  await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
  const { lost } = await repairAndJudge(sim, "newest record");
  assert.deepEqual(lost, [41, 42, 43, 44]);
});

test("repair keeps the newest group although no group behind it proves it", async () => {
  const sim = await writtenChannel({}, true);
  const newest = segmentPaths(sim).at(-1) as string;
  const { path, at } = findBody(sim, 42);
  assert.equal(path, newest);
  damage(sim, path, at, 4);
  const { lost } = await repairAndJudge(sim, "killed");
  assert.deepEqual(lost, [41, 42, 43, 44]);
});

test("repair makes a damaged snapshot again from the segments before", async () => {
  for (const at of [4096 + 4, 4096 + 60]) {
    const sim = await copyOf(await original);
    damage(sim, segmentPaths(sim).at(-1) as string, at, 8);
    await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
    const { plan, lost, again } = await repairAndJudge(sim, `snapshot ${at}`);
    assert.deepEqual(lost, []);
    assert.deepEqual(again, [], plan.guesses.join("; "));
    assert.ok(plan.survey.walk.snapshotDamaged && plan.guesses.length > 0);
  }
});

test("repair makes a damaged header again, of the newest segment and of an old one", async () => {
  const { length } = segmentPaths(await original);
  assert.ok(length >= 3, "several segments");
  for (const index of [0, length - 1]) {
    for (const [at, bytes] of [
      [0, 8],
      [20, 70],
      [0, 4096],
    ] as const) {
      const sim = await copyOf(await original);
      damage(sim, segmentPaths(sim)[index] as string, at, bytes);
      await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
      const { lost } = await repairAndJudge(sim, `header ${index} at ${at}`);
      assert.deepEqual(lost, []);
    }
  }
});

test("repair finds a segment whose header and first record are both gone", async () => {
  for (const index of [0, 1]) {
    const sim = await copyOf(await original);
    damage(sim, segmentPaths(sim)[index] as string, 0, 4096 + 64);
    const { lost } = await repairAndJudge(sim, `beginning ${index}`);
    assert.deepEqual(lost, []);
  }
});

test("repair gives up a missing segment by its sequences", async () => {
  const sim = await copyOf(await original);
  const { path } = findBody(sim, 12);
  await sim.disk.boot().files.unlink(path);
  await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
  const { plan, lost } = await repairAndJudge(sim, "missing");
  assert.ok(lost.includes(12) && lost.length < sim.held.length / 2, lost.join(" "));
  assert.equal(plan.lost[0]?.range, undefined);
});

test("repair writes a damaged or missing channel.json again, in one directory or in all", async () => {
  for (const damaged of [["/data/one"], ["/data/two"], ["/data/one", "/data/two"]]) {
    for (const how of ["garbage", "gone"] as const) {
      const sim = await copyOf(await twoDirectories);
      for (const directory of damaged) {
        const path = `${directory}/channel.json`;
        if (how === "gone") await sim.disk.boot().files.unlink(path);
        else damage(sim, path, 0, 10);
      }
      await assert.rejects(sim.open(sim.options), { code: "CHANNEL_DIRECTORY" });
      const { lost } = await repairAndJudge(sim, `${how} ${damaged.join(" ")}`);
      assert.deepEqual(lost, []);
    }
  }
});

test("repair gives up a missing directory only when it is told to", async () => {
  for (const gone of ["/data/one", "/data/two"]) {
    const sim = await copyOf(await twoDirectories);
    const { files } = sim.disk.boot();
    for (const path of sim.disk.paths(gone)) await files.unlink(path);
    await assert.rejects(repair(sim), (error: Error) => {
      assert.match(error.message, /holds nothing of the channel.*--lost-directory/);
      return true;
    });
    const only = { ...sim, dataDirs: sim.dataDirs.filter((one) => one !== gone) };
    await assert.rejects(repair(only), /give all, as dataDirs does/);
    const { plan } = await judgeLostDirectory(sim);
    assert.deepEqual(plan.identity.lost, [gone]);
  }
});

/** What the lost directory's own last segments held was never known to anyone else. */
async function judgeLostDirectory(sim: TestChannel): Promise<{ plan: RepairPlan }> {
  const idsLeft = new Set<number>();
  for (const id of sim.held) {
    try {
      findBody(sim, id);
      idsLeft.add(id);
    } catch {
      // It stood in the directory that is gone.
    }
  }
  assert.ok(idsLeft.size > 5 && idsLeft.size < sim.held.length, `${idsLeft.size} left`);
  const plan = await repair(sim, { lostDirectory: true });
  const ids = await deliverAll(sim);
  assert.deepEqual(
    ids.filter((id) => sim.held.includes(id)),
    sim.held.filter((id) => idsLeft.has(id)),
  );
  return { plan };
}

test("repair refuses while an agent has the directory", async () => {
  const sim = await copyOf(await original);
  const boot = sim.disk.boot();
  const { runtime } = toolContext(sim.disk, boot);
  const lock = await boot.locks.acquire("/data/one");
  await assert.rejects(openRepair(sim.dataDirs, keepAll, { runtime }), { code: "CHANNEL_LOCKED" });
  await lock?.release();
});

test("repair writes over blocks that the disk cannot read, once what they held is given up", async () => {
  const sim = await copyOf(await original);
  const { path, at } = findBody(sim, 22);
  const block = at - (at % 4096);
  const healed = { written: false };
  const boot = sim.disk.boot({
    fault({ kind, path: on, position = 0, bytes = 0 }) {
      const touches = on === path && position < block + 4096 && position + bytes > block;
      if (kind === "write" && touches) healed.written = true;
      return kind === "read" && touches && !healed.written ? "EIO" : undefined;
    },
  });
  const opened = await openRepair(sim.dataDirs, keepAll, toolContext(sim.disk, boot));
  await opened.run();
  assert.ok(healed.written, "the block was written over");
  const lost = lostIds(sim, opened.plan);
  assert.ok(lost.includes(22) && lost.length <= 15, lost.join(" "));
  const got = await deliverAll(sim);
  assert.deepEqual(
    got,
    sim.held.filter((id) => !lost.includes(id)),
  );
});

/** 1 tries every sector. */
const sectorStep = Number(process.env["SECTOR_STEP"] ?? 5);

test("a sector damaged anywhere is repaired, with the loss of what stood in it only", async () => {
  const seen = { tried: 0, lossless: 0, lossy: 0, again: 0 };
  for (const killed of [false, true]) {
    const base = await writtenChannel({}, killed);
    let turn = killed ? 1 : 0;
    for (const path of segmentPaths(base)) {
      const { length } = base.disk.file(path);
      // The last group of a killed channel proves nothing of itself: damage there is a torn tail.
      const undecided = killed && segmentPaths(base).at(-1) === path ? 512 : 0;
      for (let at = 0; at < length - undecided; at += 512) {
        if (turn++ % sectorStep !== 0) continue;
        const sim = await copyOf(base);
        if (!damage(sim, path, at, 512)) continue;
        seen.tried++;
        const where = `${killed ? "killed, " : ""}${path} at ${at}`;
        const { lost, again } = await repairAndJudge(sim, where);
        // A record has five events, and a sector touches two records at most.
        assert.ok(lost.length <= 10, `${where}: lost ${lost.join(" ")}`);
        if (lost.length === 0) seen.lossless++;
        else seen.lossy++;
        if (again.length > 0) seen.again++;
      }
    }
  }
  assert.ok(seen.tried > 20 && seen.lossy > 8 && seen.lossless > 5, JSON.stringify(seen));
});

test("what a repair counted is the channel's discarded total from then on", async () => {
  const sim = await copyOf(await original);
  const { path, at } = findBody(sim, 12);
  damage(sim, path, at, 3);
  await repair(sim);
  const { channel } = await sim.open();
  assert.equal(channel.size, sim.held.length - 5);
  await put(channel, sized(50, 50, 10));
  await channel.stop(never);
  const again = await openRepair(sim.dataDirs, keepAll, toolContext(sim.disk));
  assert.equal(again.plan.survey.state.discardedTotal, 5);
  await again.close();
});
