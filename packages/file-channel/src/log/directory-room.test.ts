import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

const dataDirs = ["/data/one", "/data/two"];

for (const limit of [
  { minimumRequiredSpaceBytes: 1024 * 1024 },
  { minimumRequiredSpacePercent: 10 },
]) {
  test(`puts leave ${JSON.stringify(limit)} free in each directory, also in the one being written`, async () => {
    const sim = simDisk({ capacityBytes: 10 * 1024 * 1024 });
    const { channel, clock, boot } = sim.make({ dataDirs, segmentBytes: 64 * 1024, ...limit });
    const freeBytes = boot.files.freeBytes.bind(boot.files);
    let full: string | undefined;
    boot.files.freeBytes = (path) => (path === full ? Promise.resolve(1000) : freeBytes(path));
    const bytesIn = (directory: string): number =>
      sim.disk
        .paths(directory)
        .filter((path) => path.endsWith(".seg"))
        .reduce((sum, path) => sum + sim.disk.file(path).length, 0);
    await channel.start(never);
    await put(channel, sized(1, 4, 700));
    full = dataDirs.find((directory) => bytesIn(directory) > 4096) as string;
    await clock.advance(2000);
    const before = bytesIn(full);
    for (let id = 5; id <= 100; id += 4) {
      await put(channel, sized(id, id + 3, 700));
      await clock.advance(1100);
    }
    assert.ok(bytesIn(full) <= before, `${bytesIn(full)} bytes, not ${before}`);
    assert.ok(sim.disk.paths("/data").filter((path) => path.endsWith(".seg")).length < 6);
    assert.deepEqual(await drain(channel, 100), range(1, 100));
    await channel.stop(never);
  });
}
