import { readWholeFile } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, simDisk, sized } from "../sim-channel.test.ts";
import { toolContext } from "./damaged-channel.test.ts";
import { openRepair } from "./repair.ts";

const [one, two, three] = ["/data/one", "/data/two", "/data/three"] as const;
const dataDirs = [one, two, three];

for (const hurt of dataDirs) {
  test(`a repair makes channel.json of ${hurt} as it was, and a directory may leave at once`, async () => {
    const sim = simDisk();
    const { channel } = await sim.open({ dataDirs });
    for (let id = 1; id <= 18; id += 3) await put(channel, sized(id, id + 2, 3000));
    await drain(channel, 18);
    await channel.stop(never);
    const { files } = sim.disk.boot();
    const before = await readWholeFile(files, `${hurt}/channel.json`);
    sim.disk.file(`${hurt}/channel.json`).damage(0, Buffer.alloc(9));
    const repair = await openRepair(dataDirs, { lostDirectory: false }, toolContext(sim.disk));
    await repair.run();
    await repair.close();
    const after = await readWholeFile(sim.disk.boot().files, `${hurt}/channel.json`);
    assert.deepEqual(JSON.parse(after.toString()), JSON.parse(before.toString()));
    const again = await sim.open({ dataDirs: [one, two] });
    const left = sim.disk.paths(three).filter((path) => !path.includes("/set-aside-"));
    assert.deepEqual(left, []);
    await again.channel.stop(never);
  });
}
