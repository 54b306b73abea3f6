import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { outcome } from "../disk-image.test.ts";
import { idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

const dataDirs = ["/data/one", "/data/two"];

test("a start that opens in the next directory, as the first took no header or may have, goes on from there ever after", async () => {
  let failures = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const sim = simDisk({ seed });
    const before = await sim.open({ dataDirs });
    for (let id = 1; id <= 8; id++) await put(before.channel, sized(id, id, 1000));
    await before.channel.stop(never);

    let failing = true;
    const fault = ({ kind, path, position, bytes }: Operation) => {
      const isHeader = kind === "write" && position === 0 && (bytes ?? 0) >= 4096;
      if (!failing || !isHeader || !path.endsWith(".seg")) return undefined;
      if (bytes === 4096) failing = false;
      return bytes === 4096 ? (failures++, "EIO" as const) : undefined;
    };
    const { channel } = await sim.open({ dataDirs }, { fault });
    await put(channel, sized(9, 12, 100));
    const taken: number[] = [];
    while (taken.length < 3) {
      const take = await channel.beginTake(3 - taken.length);
      taken.push(...idsOf(take.batch));
      await take.commit();
    }
    assert.deepEqual(taken, [1, 2, 3]);
    await channel.stop(never);
    const { ids, error } = await outcome(sim, { dataDirs });
    assert.equal(error, undefined, `seed ${seed}`);
    assert.deepEqual(ids, range(4, 12), `seed ${seed}`);
  }
  assert.equal(failures, 20);
});
