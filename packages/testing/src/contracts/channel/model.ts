import type { Ranges, TakeTransaction, PutTransaction } from "@millrace/core";
import assert from "node:assert/strict";
import { createSeededRandom } from "../../runtime/seeded-random.ts";
import { numberedBatch, numbers, numbersOf } from "../numbered-events.ts";
import { within } from "../settling.ts";
import type { ChannelUnderTest, Suite } from "./channel-under-test.ts";

const capacity = 40;
const seeds = Number(process.env["CHANNEL_SEEDS"] ?? 3);
const actionsPerSeed = 150;

/**
 * Random actions on the channel and on a model of ten lines: a sorted list of the numbers that may
 * be taken, and the sets that are lent.
 */
export function modelContract(test: Suite): void {
  for (let seed = 1; seed <= seeds; seed++) {
    test(
      `${actionsPerSeed} random transactions agree with a model, seed ${seed} (T052, T053, T624, T802)`,
      (given) => runSeed(given, seed),
      { capacity, transactionCapacity: 8 },
    );
  }
}

async function runSeed({ channel, counters }: ChannelUnderTest, seed: number): Promise<void> {
  const random = createSeededRandom(seed);
  let next = 1;
  let held = 0;
  let settledTotal = 0;
  let takeable: number[] = [];
  const puts: { from: number; to: number; transaction: PutTransaction }[] = [];
  const takes: { lent: number[]; transaction: TakeTransaction }[] = [];
  let room = capacity;

  const giveBack = (back: number[]): void => {
    takeable = [...takeable, ...back].sort((a, b) => a - b);
  };
  const beginOne = async (): Promise<void> => {
    const size = 1 + random.integer(8);
    if (size > room || puts.length > 0) return;
    const from = next;
    next += size;
    room -= size;
    const batch = numberedBatch(from, next - 1);
    const transaction = await within("beginPut", channel.beginPut(batch));
    puts.push({ from, to: next - 1, transaction });
  };
  const endPut = async (commit: boolean): Promise<void> => {
    const put = puts.shift();
    if (put === undefined) return;
    const size = put.to - put.from + 1;
    if (commit) {
      await within("commit", put.transaction.commit());
      giveBack(numbers(put.from, put.to));
      held += size;
    } else {
      await within("rollback", put.transaction.rollback());
      room += size;
    }
  };
  const takeOne = async (): Promise<void> => {
    if (takeable.length === 0) return;
    const max = 1 + random.integer(8);
    const transaction = await within("take", channel.beginTake(max));
    const lent = numbersOf(transaction.batch);
    assert.ok(lent.length >= 1 && lent.length <= max, `lent ${lent.length} of ${max}`);
    assert.deepEqual(lent, takeable.slice(0, lent.length), "the lowest come first");
    takeable = takeable.slice(lent.length);
    takes.push({ lent, transaction });
  };
  const endTake = async (): Promise<void> => {
    const [take] = takes.splice(random.integer(Math.max(1, takes.length)), 1);
    if (take === undefined) return;
    const settled: { from: number; to: number }[] = [];
    if (random.integer(4) === 0) {
      await within("rollback", take.transaction.rollback());
    } else if (random.integer(2) === 0) {
      settled.push({ from: 0, to: take.lent.length });
      await within("commit", take.transaction.commit());
    } else {
      for (let i = 0; i < take.lent.length; i++) {
        if (random.integer(2) === 0 && settled.at(-1)?.to !== i)
          settled.push({ from: i, to: i + 1 });
      }
      await within("commit", take.transaction.commit(settled satisfies Ranges));
    }
    const done = take.lent.filter((_, i) => settled.some(({ from, to }) => i >= from && i < to));
    giveBack(take.lent.filter((n) => !done.includes(n)));
    held -= done.length;
    room += done.length;
    settledTotal += done.length;
  };

  for (let action = 0; action < actionsPerSeed; action++) {
    const what = random.integer(8);
    if (what < 2) await beginOne();
    else if (what < 4) await endPut(random.integer(5) > 0);
    else if (what < 6) await takeOne();
    else await endTake();
    assert.equal(channel.size, held, `size after action ${action}`);
  }
  await endPut(true);
  while (takes.length > 0) await endTake();
  while (takeable.length > 0) {
    await takeOne();
    while (takes.length > 0) await endTake();
  }
  assert.equal(channel.size, 0);
  assert.ok(settledTotal > 20, `the run moved ${settledTotal} events`);
  assert.equal(counters.EventPutSuccessCount, settledTotal);
  assert.equal(counters.EventTakeSuccessCount, settledTotal);
}
