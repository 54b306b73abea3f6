import { AssertionError } from "node:assert";
import assert from "node:assert/strict";
import { numberedBatch, numbers, numbersOf } from "../numbered-events.ts";
import { advanceUntilSettled, isPending, within } from "../settling.ts";
import { beginPut, put, rejectsWith, type Suite, takeAll } from "./channel-under-test.ts";

/** What holds of every put: visibility, room, limits. */
export function putContract(test: Suite): void {
  test("a put can be taken once it is committed, not before (T034, T051)", async (given) => {
    const { channel } = given;
    const first = await beginPut(channel, 1, 3);
    assert.equal(channel.size, 0);
    const stop = new AbortController();
    const early = channel.beginTake(5, stop.signal);
    assert.ok(await isPending(early));
    stop.abort();
    assert.equal((await within("an aborted take", early)).batch.length, 0);
    await within("commit", first.commit());
    assert.equal(channel.size, 3);
    assert.deepEqual(numbersOf(await takeAll(channel, 3)), [1, 2, 3]);
    assert.equal(channel.size, 0);
  });

  test("a rolled-back put leaves nothing behind and frees its room (T040, T048)", async (given) => {
    const { channel } = given;
    for (let round = 0; round < 3; round++) {
      const first = await beginPut(channel, 1, 5);
      const second = await beginPut(channel, 6, 10);
      await within("rollback", first.rollback());
      await within("rollback", second.rollback());
      assert.equal(channel.size, 0);
    }
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), numbers(1, 10));
  });

  test("room held by an open put is not given to another", async ({ channel, clock }) => {
    const open = [await beginPut(channel, 1, 5), await beginPut(channel, 6, 9)];
    const late = channel.beginPut(numberedBatch(10, 11));
    late.catch(() => {});
    await rejectsWith("CHANNEL_FULL", advanceUntilSettled("CHANNEL_FULL", clock, late));
    for (const transaction of open) await within("rollback", transaction.rollback());
  });

  test("a put that waits gets the room a take's commit frees (T039)", async ({ channel }) => {
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    const waiting = channel.beginPut(numberedBatch(11, 12));
    assert.ok(await isPending(waiting));
    const take = await within("take", channel.beginTake(2));
    assert.ok(await isPending(waiting), "lent events keep their room");
    await within("commit", take.commit());
    await (await within("the waiting put", waiting)).commit();
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), numbers(3, 12));
  });

  test("waits for room are served first come, first served", async ({ channel }) => {
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    const large = channel.beginPut(numberedBatch(11, 12));
    const small = channel.beginPut(numberedBatch(13, 13));
    await takeAll1(channel);
    assert.ok(await isPending(large), "one place is not enough for two events");
    assert.ok(await isPending(small), "the small one does not overtake");
    await takeAll1(channel);
    const first = await within("the large put", large);
    assert.ok(await isPending(small));
    await first.rollback();
    await (await within("the small put", small)).rollback();
  });

  test("an aborted wait for room is CHANNEL_FULL at once, and the next is served", async (given) => {
    const { channel } = given;
    await put(channel, 1, 5);
    await put(channel, 6, 9);
    const stop = new AbortController();
    const large = channel.beginPut(numberedBatch(10, 11), stop.signal);
    large.catch(() => {});
    const small = channel.beginPut(numberedBatch(12, 12));
    assert.ok(await isPending(small), "stands behind the large one");
    stop.abort();
    await rejectsWith("CHANNEL_FULL", within("the aborted put", large));
    await (await within("the small put", small)).commit();
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), [...numbers(1, 9), 12]);
  });

  test("a batch over transactionCapacity is TRANSACTION_TOO_LARGE (T037)", async (given) => {
    const { channel } = given;
    await rejectsWith("TRANSACTION_TOO_LARGE", channel.beginPut(numberedBatch(1, 6)));
    await put(channel, 1, 5);
    assert.equal(channel.size, 5);
  });

  test("using a put transaction twice is an assertion (T006, T011, T012, T013, T018)", async ({
    channel,
  }) => {
    const committed = await beginPut(channel, 1, 1);
    await within("commit", committed.commit());
    await assert.rejects(async () => committed.commit(), AssertionError);
    await assert.rejects(async () => committed.rollback(), AssertionError);
    const rolledBack = await beginPut(channel, 2, 2);
    await within("rollback", rolledBack.rollback());
    await assert.rejects(async () => rolledBack.rollback(), AssertionError);
    await assert.rejects(async () => rolledBack.commit(), AssertionError);
    assert.deepEqual(numbersOf(await takeAll(channel, 1)), [1]);
    assert.equal(channel.size, 0);
  });
}

/** What holds of a channel that keeps what was committed, however long nobody takes it. */
export function keptPutContract(test: Suite): void {
  test("counters tell puts asked for from puts committed", async ({ channel, counters }) => {
    await put(channel, 1, 3);
    const dropped = await beginPut(channel, 4, 5);
    await within("rollback", dropped.rollback());
    assert.equal(counters.EventPutAttemptCount, 5);
    assert.equal(counters.EventPutSuccessCount, 3);
  });

  test("a batch that finds no room within keep-alive is CHANNEL_FULL (T038)", async (given) => {
    const { channel, clock } = given;
    await put(channel, 1, 5);
    await put(channel, 6, 8);
    const late = channel.beginPut(numberedBatch(9, 11));
    late.catch(() => {});
    await clock.advance(2999);
    assert.ok(await isPending(late), "waits for the whole of keep-alive");
    await rejectsWith("CHANNEL_FULL", advanceUntilSettled("CHANNEL_FULL", clock, late));
    await put(channel, 9, 10);
    assert.deepEqual(numbersOf(await takeAll(channel, 10)), numbers(1, 10));
  });
}

async function takeAll1(channel: Parameters<typeof takeAll>[0]): Promise<void> {
  const take = await within("take", channel.beginTake(1));
  await within("commit of a take", take.commit());
}
