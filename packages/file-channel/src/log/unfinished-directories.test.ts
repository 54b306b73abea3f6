import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

const all = ["/data/one", "/data/two", "/data/three"];

for (const dataDirs of [["/data/two"], ["/data/one", "/data/three"]]) {
  test(`a channel whose making over three directories was cut short begins again in ${dataDirs.join(" and ")}`, async () => {
    let crashes = 0;
    for (let crashAt = 1; ; crashAt++) {
      const sim = simDisk();
      const { channel, boot } = sim.make({ dataDirs: all }, { crashAt });
      const end = await Promise.race([boot.crashed, channel.start(never).then(() => "started")]);
      if (end === "started") break;
      crashes++;
      sim.disk.kill();
      for (let from = 1; from <= 4; from += 3) {
        const again = await sim.open({ dataDirs });
        if (from === 1) await put(again.channel, sized(1, 3, 100));
        else assert.deepEqual(await drain(again.channel, 3), range(1, 3), `crash at ${crashAt}`);
        await again.channel.stop(never);
      }
    }
    assert.ok(crashes > 40, `${crashes}`);
  });
}
