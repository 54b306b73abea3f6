import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

test("memoryBytes bounds what is in memory after batches were settled in part", async () => {
  const sim = simDisk();
  let reads = 0;
  const fault = ({ kind, path }: Operation): undefined => {
    if (kind === "read" && path.endsWith(".seg")) reads++;
  };
  const { channel } = await sim.open({ memoryBytes: 64 * 1024 }, { fault });
  await put(channel, sized(1, 100, 500));
  const take = await channel.beginTake(100);
  const odd = Array.from({ length: 50 }, (_, i) => ({ from: 2 * i, to: 2 * i + 1 }));
  await take.commit(odd);
  const even = range(1, 100).filter((id) => id % 2 === 0);
  const again = await channel.beginTake(100);
  assert.deepEqual(idsOf(again.batch), [even[0]], "returned events are not neighbours");
  await again.rollback();

  const before = reads;
  for (let id = 101; id <= 800; id += 50) await put(channel, sized(id, id + 49, 500));
  assert.deepEqual(await drain(channel, 750), [...even, ...range(101, 800)]);
  assert.ok(reads > before, "350 KB of events went through 64 KiB of memory");
  await channel.stop(never);
});
