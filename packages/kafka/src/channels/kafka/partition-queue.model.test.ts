import { countRanges, EventBatch, type Ranges } from "@millrace/core";
import { createSeededRandom, numberedBatch, numbersOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LentPiece, PartitionQueue } from "./partition-queue.ts";

const seeds = Number(process.env["SEEDS"] ?? 200);

void test(`random fetches, takes and settlements of ${seeds} seeds agree with a model`, () => {
  let steps = 0;
  for (let seed = 1; seed <= seeds; seed++) steps += runSeed(seed);
  assert.ok(steps > seeds * 100, `${steps} steps only`);
});

/**
 * The model: every event's number is its offset, and a map from offset to what became of it. Offsets
 * have gaps, as a compacted topic has.
 */
function runSeed(seed: number): number {
  const random = createSeededRandom(seed);
  const queue = new PartitionQueue("t", 0, 0);
  const model = new Map<number, "ready" | "lent" | "settled">();
  const open: { piece: LentPiece; offsets: number[] }[] = [];
  let position = 0;
  const fail = `seed ${seed}`;

  const fetch = (): void => {
    const numbers: number[] = [];
    for (let i = random.integer(6); i > 0; i--) numbers.push((position += 1 + random.integer(3)));
    const batch = EventBatch.join(numbers.map((number) => numberedBatch(number, number)));
    position = (numbers.at(-1) ?? position) + 1 + random.integer(3);
    queue.add({ batch, offsets: Float64Array.from(numbers), timestampMs: 0 }, position);
    for (const number of numbers) model.set(number, "ready");
  };
  const take = (): void => {
    const max = 1 + random.integer(6);
    const ready = [...model].filter(([, state]) => state === "ready").map(([offset]) => offset);
    const piece = queue.take(max);
    assert.equal(piece === undefined, ready.length === 0, fail);
    if (piece === undefined) return;
    const offsets = numbersOf(piece.batch);
    assert.ok(offsets.length <= max, fail);
    assert.deepEqual(offsets, ready.slice(0, offsets.length), `${fail}: the lowest come first`);
    for (const offset of offsets) model.set(offset, "lent");
    open.push({ piece, offsets });
  };
  const end = (): void => {
    const [one] = open.splice(random.integer(Math.max(1, open.length)), 1);
    if (one === undefined) return;
    const settled = someOf(one.offsets.length, random.integer(4), () => random.integer(2) === 0);
    queue.end(one.piece, settled);
    one.offsets.forEach((offset, i) => {
      if (model.get(offset) === "settled") return;
      const isSettled = settled.some(({ from, to }) => i >= from && i < to);
      model.set(offset, isSettled ? "settled" : "ready");
    });
  };
  const settleBelow = (): void => {
    const offset = queue.commitOffset + random.integer(5);
    queue.settleBelow(offset);
    position = Math.max(position, offset);
    for (const one of model.keys()) if (one < offset) model.set(one, "settled");
  };

  const actions = [fetch, take, take, end, end, () => random.integer(8) === 0 && settleBelow()];
  let steps = 0;
  for (; steps < 150; steps++) {
    actions[random.integer(actions.length)]?.();
    const unsettled = [...model].filter(([, state]) => state !== "settled").map(([o]) => o);
    assert.equal(queue.commitOffset, unsettled[0] ?? position, `${fail}, step ${steps}`);
    assert.equal(queue.position, position, fail);
    const ready = [...model].filter(([, state]) => state === "ready").map(([o]) => o);
    assert.equal(queue.readyEvents, ready.length, fail);
    assert.equal(queue.readyBytes, bytesOf(ready), `${fail}, step ${steps}`);
    const lent = open.flatMap(({ offsets }) => offsets);
    assert.equal(queue.lentEvents, lent.length, fail);
    assert.equal(queue.lentBytes, bytesOf(lent), fail);
  }
  return steps;
}

/** All, nothing, or some of the positions. */
function someOf(length: number, kind: number, chance: () => boolean): Ranges {
  if (kind === 0) return [{ from: 0, to: length }];
  if (kind === 1) return [];
  const ranges: { from: number; to: number }[] = [];
  for (let i = 0; i < length; i++) {
    if (!chance()) continue;
    const last = ranges.at(-1);
    if (last?.to === i) last.to++;
    else ranges.push({ from: i, to: i + 1 });
  }
  assert.ok(countRanges(ranges) <= length);
  return ranges;
}

/** A number stands in the header and in the body of its event. */
function bytesOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + 6 + 2 * String(number).length, 0);
}

void test("a queue that was closed ends loans without an effect", () => {
  const queue = new PartitionQueue("t", 0, 0);
  queue.add({ batch: numberedBatch(1, 3), offsets: Float64Array.of(0, 1, 2), timestampMs: 0 }, 3);
  const piece = queue.take(2);
  assert.ok(piece !== undefined);
  queue.close();
  queue.end(piece, [{ from: 0, to: 2 }]);
  assert.deepEqual([queue.readyEvents, queue.lentEvents, queue.take(5)], [0, 0, undefined]);
  assert.ok(queue.closed);
});

void test("what is fetched at another position than the queue's is an assertion", () => {
  const queue = new PartitionQueue("t", 0, 10);
  const events = { batch: numberedBatch(1, 1), offsets: Float64Array.of(9), timestampMs: 0 };
  assert.throws(() => queue.add(events, 11), /in order/);
  assert.throws(() => queue.add({ ...events, offsets: Float64Array.of(10) }, 10), /fetched 10 at/);
  assert.equal(queue.position, 10);
});
