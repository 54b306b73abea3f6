import type { PowerCut } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
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
import type { RepairPlan } from "./repair-plan.ts";
import { verifyChannel } from "./verify.ts";

/** 1 crashes at every call; more at each nth. */
const step = Number(process.env["CRASH_STEP"] ?? 3);
const fates: readonly (PowerCut | "kill")[] = ["kill", "lose", "keep", "mix"];

interface Case {
  readonly name: string;
  readonly lostDirectory?: boolean;
  readonly dataDirs?: readonly string[];
  readonly killed?: boolean;
  damage(sim: TestChannel): Promise<void> | void;
}

const damageBody = (sim: TestChannel, id: number): void => {
  const { path, at } = findBody(sim, id);
  damage(sim, path, at, 4);
};

const cases: readonly Case[] = [
  {
    name: "records, a header and a snapshot",
    killed: true,
    damage(sim) {
      damageBody(sim, 12);
      damageBody(sim, 42);
      damage(sim, segmentPaths(sim)[1] as string, 10, 100);
      damage(sim, segmentPaths(sim).at(-1) as string, 4096 + 60, 8);
    },
  },
  {
    name: "a missing segment and both channel.json",
    dataDirs: ["/data/one", "/data/two"],
    async damage(sim) {
      await sim.disk.boot().files.unlink(findBody(sim, 12).path);
      for (const directory of sim.dataDirs) damage(sim, `${directory}/channel.json`, 0, 9);
    },
  },
  {
    name: "a directory that is given up",
    dataDirs: ["/data/one", "/data/two"],
    lostDirectory: true,
    async damage(sim) {
      const { files } = sim.disk.boot();
      for (const path of sim.disk.paths("/data/two")) await files.unlink(path);
      await files.syncDirectory("/data/two");
    },
  },
];

async function run(
  sim: TestChannel,
  lostDirectory: boolean,
  crashAt?: number,
): Promise<{ plan: RepairPlan | undefined; crashed: boolean }> {
  const boot = sim.disk.boot(crashAt === undefined ? {} : { crashAt });
  const context = toolContext(sim.disk, boot, crashAt ?? 3);
  let plan: RepairPlan | undefined;
  const work = openRepair(sim.dataDirs, { lostDirectory }, context).then(async (repair) => {
    ({ plan } = repair);
    await repair.run();
    await repair.close();
    return false;
  });
  const crashed = await Promise.race([work, boot.crashed.then(() => true)]);
  return { plan, crashed };
}

function sequencesLost(plan: RepairPlan | undefined): number[] {
  const ranges = (plan?.lost ?? []).flatMap(({ sequences }) => sequences);
  return ranges.flatMap(({ first, end }) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
}

for (const { name, killed = false, lostDirectory = false, dataDirs, damage: harm } of cases) {
  test(`repair of ${name}, killed at any call and run again, ends the same`, async () => {
    const original = await writtenChannel(dataDirs === undefined ? {} : { dataDirs }, killed);
    const damaged = await copyOf(original);
    await harm(damaged);
    const whole = await copyOf(damaged);
    const { plan } = await run(whole, lostDirectory);
    const lost = sequencesLost(plan);
    const wanted = await deliverAll(whole);
    const gone = [...original.sequences].filter(([, sequence]) => lost.includes(sequence));
    for (const [id] of gone) assert.ok(!wanted.includes(id), `${id} is lost and delivered`);
    assert.ok(lost.length > 0 || lostDirectory, "something is lost");
    const seen = { crashes: 0, repairedBefore: 0, startedBefore: 0 };
    for (let crashAt = 1; ; crashAt += step) {
      const fate = fates[crashAt % fates.length] as PowerCut | "kill";
      const sim = await copyOf(damaged);
      const first = await run(sim, lostDirectory, crashAt);
      if (!first.crashed) break;
      seen.crashes++;
      if (fate === "kill") sim.disk.kill();
      else sim.disk.powerCut(fate);
      const where = `crash at ${crashAt}, ${fate}`;
      const second = await run(sim, lostDirectory).catch((error: unknown) => {
        throw new Error(`${where}: ${String(error)}`, { cause: error });
      });
      if (second.plan?.isNeeded === false) seen.repairedBefore++;
      const stillLost = sequencesLost(second.plan);
      if (stillLost.length > 0) assert.deepEqual(stillLost, lost, where);
      else seen.startedBefore++;
      const report = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
      assert.ok(report.isSound, `${where}: ${JSON.stringify(report.findings)}`);
      assert.deepEqual(await deliverAll(sim), wanted, where);
    }
    assert.ok(seen.crashes > 60 / step && seen.repairedBefore > 0, JSON.stringify(seen));
  });
}
