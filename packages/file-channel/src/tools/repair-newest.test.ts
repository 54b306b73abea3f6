import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { segmentPaths, toolContext } from "./damaged-channel.test.ts";
import { openRepair } from "./repair.ts";

/** The newest segment holds events 1 to 20, the one before 101 to 104. */
async function written() {
  const sim = simDisk();
  const options = { segmentBytes: 64 * 1024 };
  const before = await sim.open(options);
  await put(before.channel, sized(101, 104, 700));
  await before.channel.stop(never);
  const { channel } = await sim.open(options);
  for (let i = 0; i < 4; i++) await put(channel, sized(1 + i * 5, 5 + i * 5, 700));
  await channel.stop(never);
  return sim;
}

for (const { what, bytes, lost } of [
  { what: "first record", bytes: 4096 + 40, lost: [] },
  { what: "first 8 KiB", bytes: 8192, lost: range(1, 5) },
]) {
  test(`a repair of the newest segment without its header and ${what} loses ${lost.length} events, and none of the segment before`, async () => {
    const sim = await written();
    sim.disk.file(segmentPaths(sim).at(-1) as string).damage(0, Buffer.alloc(bytes));
    await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
    const repair = await openRepair(["/data/one"], { lostDirectory: false }, toolContext(sim.disk));
    assert.equal(repair.plan.lostCount, lost.length);
    await repair.run();
    await repair.close();
    const { channel } = await sim.open();
    const left = [...range(101, 104), ...range(lost.length + 1, 20)];
    assert.equal(channel.size, left.length);
    assert.deepEqual(await drain(channel, left.length), left);
    await channel.stop(never);
  });
}
