import { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventQueue } from "./event-queue.ts";
import { type OpenTake, OpenTakes } from "./open-takes.ts";

const one = EventBatch.fromEvents([{ body: Buffer.from("x") }]);

// One piece that someone still held kept every later batch alive: 600 MiB under load.
test("a piece that has left the queue holds nothing of what came behind it", () => {
  const queue = new EventQueue();
  queue.push(one, 0);
  queue.push(one, 0);
  const first = queue.head;
  queue.shift();
  assert.equal(queue.head?.sequence, 1);
  assert.equal(first?.next, undefined);
});

test("a take that has ended holds no other take", () => {
  const takes = new OpenTakes();
  const made = [0, 1, 2].map((): OpenTake => ({ pieces: [], before: undefined, after: undefined }));
  for (const take of made) takes.add(take);
  takes.remove(made[1] as OpenTake);
  assert.deepEqual(made[1], { pieces: [], before: undefined, after: undefined });
  assert.equal(made[0]?.after, made[2]);
});
