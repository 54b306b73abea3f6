import type { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FileChannelOptions } from "./options.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

for (const { name, limits } of [
  { name: "events", limits: { capacity: 10 } },
  { name: "bytes", limits: { byteCapacity: 6000 } },
] satisfies { name: string; limits: Partial<FileChannelOptions> }[]) {
  test(`a channel reopened above its capacity in ${name} gives all it holds, and takes again once there is room`, async () => {
    const sim = simDisk();
    const { channel } = await sim.open();
    for (let id = 1; id <= 20; id += 5) await put(channel, sized(id, id + 4, 400));
    await channel.stop(never);
    const small = await sim.open({ ...limits, keepAliveMs: 0 });
    assert.equal(small.channel.size, 20);
    let refused = 0;
    let taken = 0;
    const got: number[] = [];
    for (; got.length < 20; taken++) {
      const late = small.channel.beginPut(sized(100, 100, 10)).then(
        async (room) => room.rollback(),
        (error: unknown) => {
          assert.equal((error as MillraceError).code, "CHANNEL_FULL");
          refused++;
        },
      );
      await small.clock.advance(1);
      await late;
      const take = await small.channel.beginTake(4);
      got.push(...idsOf(take.batch));
      await take.commit();
    }
    assert.deepEqual(got, range(1, 20));
    assert.ok(refused >= 2 && refused < taken, `${refused} of ${taken} puts were refused`);
    await put(small.channel, sized(21, 25, 100));
    assert.deepEqual(await drain(small.channel, 5), range(21, 25));
    await small.channel.stop(never);
  });
}
