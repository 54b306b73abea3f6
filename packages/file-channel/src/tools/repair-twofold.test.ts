import assert from "node:assert/strict";
import { test } from "node:test";
import {
  copyOf,
  damage,
  deliverAll,
  findBody,
  segmentPaths,
  toolContext,
  writtenChannel,
} from "./damaged-channel.test.ts";
import { openRepair } from "./repair.ts";
import { verifyChannel } from "./verify.ts";

const original = writtenChannel();

/** Ids of the held events in each segment file. */
async function heldIn(path: string): Promise<number[]> {
  const sim = await original;
  return sim.held.filter((id) => findBody(sim, id).path === path);
}

test("a segment whose every byte is gone is lost, not delivered, though the newest snapshot is damaged as well", async () => {
  let tried = 0;
  const paths = segmentPaths(await original);
  for (const path of paths.slice(0, -1)) {
    const gone = await heldIn(path);
    if (gone.length === 0) continue;
    tried++;
    const sim = await copyOf(await original);
    damage(sim, paths.at(-1) as string, 4096, 100);
    const { length } = sim.disk.file(path);
    sim.disk.file(path).damage(0, Buffer.alloc(length));

    const report = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
    assert.equal(report.affected, gone.length, path);
    const repair = await openRepair(sim.dataDirs, { lostDirectory: false }, toolContext(sim.disk));
    const { lost, lostCount } = repair.plan;
    const { setAside } = await repair.run();
    await repair.close();
    assert.equal(lostCount, gone.length, `${path}: ${JSON.stringify(lost)}`);
    const kept = `${setAside[0]}/${path.slice(path.lastIndexOf("/") + 1)}.whole`;
    assert.ok(sim.disk.paths("/data").includes(kept), `${path} is set aside whole`);
    const left = sim.held.filter((id) => !gone.includes(id));
    const got = (await deliverAll(sim)).filter((id) => sim.held.includes(id));
    assert.deepEqual(got, left, path);
  }
  assert.ok(tried >= 2, `${tried} segments`);
});
