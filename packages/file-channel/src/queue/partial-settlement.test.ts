import { createSeededRandom, type Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { EventQueue } from "./event-queue.ts";
import { cutPiece, type Piece } from "./piece.ts";

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

const place = { segment: undefined as never, offset: 0, end: 0 };

test("what the queue believes to hold is nothing once every event was forgotten, whatever was cut and returned", () => {
  let returned = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = createSeededRandom(seed);
    const queue = new EventQueue(Infinity);
    const lent: Piece[] = [];
    let sequence = 1;
    for (let step = 0; step < 60 || lent.length > 0 || !queue.isEmpty; step++) {
      const dice = random.integer(step < 60 ? 3 : 2);
      if (dice === 2) {
        const count = 1 + random.integer(30);
        const batch = sized(sequence, sequence + count - 1, 12 + random.integer(1500));
        queue.append({ batch, run: "r", sequence, roomBytes: 512, putTimeMs: step * 300 }, place);
        sequence += count;
      } else if (dice === 1) lent.push(...queue.take(1 + random.integer(40)));
      else {
        const [piece] = lent.splice(random.integer(Math.max(1, lent.length)), 1);
        if (piece === undefined) continue;
        queue.forget(piece);
        const count = random.integer(piece.batch.length);
        if (count === 0 || step >= 60) continue;
        queue.putBack(cutPiece(piece, count).front);
        returned++;
      }
      assert.ok(queue.heldBytes >= queue.unreadBytes, `seed ${seed}, step ${step}`);
    }
    assert.deepEqual([queue.heldBytes, queue.unreadBytes], [0, 0], `seed ${seed}`);
  }
  assert.ok(returned > 500, `${returned} returned`);
});
