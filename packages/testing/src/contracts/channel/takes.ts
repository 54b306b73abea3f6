import { type Channel, EventBatch, type TakeTransaction } from "@millrace/core";
import { AssertionError } from "node:assert";
import assert from "node:assert/strict";
import { numbers, numbersOf } from "../numbered-events.ts";
import { advanceUntilSettled, isPending, within } from "../settling.ts";
import { put, type Suite, takeAll } from "./channel-under-test.ts";

const take = (channel: Channel, max: number): Promise<TakeTransaction> =>
  within("take", channel.beginTake(max));

/** Takes until `count` events are lent, however the channel cuts them. */
async function lend(channel: Channel, count: number): Promise<TakeTransaction[]> {
  const lent: TakeTransaction[] = [];
  for (let left = count; left > 0;) {
    const one = await take(channel, Math.min(left, 5));
    assert.ok(one.batch.length > 0 && one.batch.length <= Math.min(left, 5));
    lent.push(one);
    left -= one.batch.length;
  }
  return lent;
}

/** What holds of every take: order, places, waiting. */
export function takeContract(test: Suite): void {
  test("events come out first in, first out, over transactions (T001, T047)", async ({
    channel,
  }) => {
    await put(channel, 1, 4);
    await put(channel, 5, 5);
    await put(channel, 6, 10);
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), numbers(1, 10));
  });

  test("an event comes out as it went in, to the byte (T034)", async ({ channel }) => {
    const headers = new Map([
      ["__proto__", "x"],
      ["", "empty name"],
      ["empty", ""],
      ["größe", "日本 🌊"],
    ]);
    const given = [
      { headers, body: Buffer.alloc(0) },
      { headers: new Map<string, string>(), body: Buffer.from([0, 255, 10, 13]) },
      { headers, body: Buffer.alloc(40_000, 7) },
    ];
    const transaction = await channel.beginPut(EventBatch.fromEvents(given));
    await within("commit", transaction.commit());
    const taken = [...(await takeAll(channel, 3))];
    assert.deepEqual(
      taken.map((event) => ({ headers: [...event.headers], body: event.body.toString("hex") })),
      given.map((event) => ({ headers: [...event.headers], body: event.body.toString("hex") })),
    );
  });

  test("a take resolves at the first event, without waiting for more", async ({ channel }) => {
    const waiting = channel.beginTake(5);
    assert.ok(await isPending(waiting));
    await put(channel, 1, 1);
    const got = await within("the waiting take", waiting);
    assert.deepEqual(numbersOf(got.batch), [1]);
    await got.commit();
  });

  test("a take gives no more than it was asked for", async ({ channel }) => {
    await put(channel, 1, 5);
    const got = await take(channel, 2);
    assert.ok(got.batch.length >= 1 && got.batch.length <= 2);
    await got.rollback();
  });

  test("a take from an empty channel is empty after keep-alive (T008)", async ({
    channel,
    clock,
  }) => {
    const waiting = channel.beginTake(5);
    await clock.advance(2999);
    assert.ok(await isPending(waiting), "waits for the whole of keep-alive");
    const got = await advanceUntilSettled("an empty take", clock, waiting);
    assert.equal(got.batch.length, 0);
    await within("commit", got.commit());
    const other = await advanceUntilSettled("an empty take", clock, channel.beginTake(5));
    await within("rollback", other.rollback());
  });

  test("an aborted take is empty at once and takes nothing afterwards (T008)", async ({
    channel,
  }) => {
    const stop = new AbortController();
    const waiting = channel.beginTake(5, stop.signal);
    assert.ok(await isPending(waiting));
    stop.abort();
    const got = await within("the aborted take", waiting);
    assert.equal(got.batch.length, 0);
    await got.rollback();
    const late = await within("a take aborted before", channel.beginTake(5, stop.signal));
    assert.equal(late.batch.length, 0);
    await late.rollback();
    await put(channel, 1, 2);
    assert.deepEqual(numbersOf(await takeAll(channel, 2)), [1, 2]);
  });

  test("a rolled-back take is taken again in the same order (T048)", async ({ channel }) => {
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    const lent = await lend(channel, 7);
    for (const one of lent) await within("rollback", one.rollback());
    assert.equal(channel.size, 10);
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), numbers(1, 10));
  });

  test("a partial commit forgets the settled and returns the rest to its place", async (given) => {
    const { channel } = given;
    await put(channel, 1, 5);
    const [first, ...others] = await lend(channel, 5);
    assert.ok(first !== undefined && others.length === 0, "one put, one run: lent at once");
    await put(channel, 6, 7);
    await within("commit", first.commit([{ from: 1, to: 2 }, { from: 3, to: 4 }])); // prettier-ignore
    assert.equal(channel.size, 5);
    assert.deepEqual(numbersOf(await takeAll(channel, 5)), [1, 3, 5, 6, 7]);
  });

  test("a commit that settles nothing returns everything", async ({ channel }) => {
    await put(channel, 1, 3);
    const got = await take(channel, 3);
    await within("commit", got.commit([]));
    assert.equal(channel.size, 3);
    assert.deepEqual(numbersOf(await takeAll(channel, 3)), [1, 2, 3]);
  });

  test("several takes are open at once, each event lent once (T049, T050, T820)", async ({
    channel,
  }) => {
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    const a = await take(channel, 3);
    const b = await take(channel, 3);
    const c = await take(channel, 3);
    const lent = [a, b, c].flatMap((one) => numbersOf(one.batch));
    assert.deepEqual(lent, numbers(1, lent.length));
    assert.equal(channel.size, 10, "lent events are still held");
    for (const one of [b, c, a]) await within("commit", one.commit());
    const rest = 10 - lent.length;
    assert.deepEqual(numbersOf(await takeAll(channel, rest)), numbers(lent.length + 1, 10));
  });

  test("settling out of order keeps the order of what returns", async ({ channel }) => {
    for (const n of [1, 3, 5]) await put(channel, n, n + 1);
    const a = await take(channel, 2);
    const b = await take(channel, 2);
    const c = await take(channel, 2);
    assert.deepEqual([...numbersOf(a.batch), ...numbersOf(b.batch)], [1, 2, 3, 4]);
    await within("rollback", b.rollback());
    const again = await take(channel, 2);
    assert.deepEqual(numbersOf(again.batch), [3, 4], "the lowest that is there comes first");
    await within("commit", c.commit());
    await within("rollback", again.rollback());
    await within("commit", a.commit([{ from: 0, to: 1 }]));
    assert.equal(channel.size, 3);
    assert.deepEqual(numbersOf(await takeAll(channel, 3)), [2, 3, 4]);
  });

  test("a returned event wakes a take that waits", async ({ channel }) => {
    await put(channel, 1, 1);
    const first = await take(channel, 1);
    const waiting = channel.beginTake(1);
    assert.ok(await isPending(waiting));
    await within("rollback", first.rollback());
    const got = await within("the waiting take", waiting);
    assert.deepEqual(numbersOf(got.batch), [1]);
    await got.commit();
  });

  test("using a take transaction twice is an assertion (T009, T011, T012, T013, T018)", async ({
    channel,
  }) => {
    await put(channel, 1, 2);
    const committed = await take(channel, 1);
    await within("commit", committed.commit());
    await assert.rejects(async () => committed.commit(), AssertionError);
    await assert.rejects(async () => committed.rollback(), AssertionError);
    const rolledBack = await take(channel, 1);
    await within("rollback", rolledBack.rollback());
    await assert.rejects(async () => rolledBack.commit(), AssertionError);
    assert.equal(channel.size, 1);
    assert.deepEqual(numbersOf(await takeAll(channel, 1)), [2]);
  });

  test("counters tell takes lent from takes settled", async ({ channel, counters }) => {
    await put(channel, 1, 4);
    const lent = await take(channel, 4);
    const count = lent.batch.length;
    await within("commit", lent.commit([{ from: 0, to: 1 }]));
    assert.equal(counters.EventTakeSuccessCount, 1);
    await takeAll(channel, 3);
    assert.equal(counters.EventTakeSuccessCount, 4);
    assert.ok(counters.EventTakeAttemptCount >= count + 3, String(counters.EventTakeAttemptCount));
  });
}
