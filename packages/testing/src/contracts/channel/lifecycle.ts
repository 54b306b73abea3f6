import assert from "node:assert/strict";
import { test } from "node:test";
import { numberedBatch } from "../numbered-events.ts";
import { deadlineOver, isPending, noDeadline, within } from "../settling.ts";
import { limits, type MakeChannel, put, rejectsWith, type Suite } from "./channel-under-test.ts";

/** What holds of start and stop. */
export function channelLifecycleContract(name: string, make: MakeChannel, suite: Suite): void {
  void test(`${name}: stop without start is harmless, once and twice`, async (context) => {
    const { channel } = await make(limits, context);
    await within("stop", channel.stop(noDeadline));
    await within("stop", channel.stop(deadlineOver));
  });

  void test(`${name}: a channel that has not started is CHANNEL_CLOSED to puts`, async (context) => {
    const { channel } = await make(limits, context);
    await rejectsWith("CHANNEL_CLOSED", channel.beginPut(numberedBatch(1, 1)));
    await within("stop", channel.stop(noDeadline));
  });

  suite("stop may be called again, also while it runs", async ({ channel }) => {
    await put(channel, 1, 2);
    await within("two stops", Promise.all([channel.stop(noDeadline), channel.stop(noDeadline)]));
    await within("stop", channel.stop(deadlineOver));
  });

  suite("stop makes puts CHANNEL_CLOSED and ends waiting takes with nothing", async (given) => {
    const { channel } = given;
    const waiting = channel.beginTake(5);
    assert.ok(await isPending(waiting));
    await within("stop", channel.stop(noDeadline));
    assert.equal((await within("the waiting take", waiting)).batch.length, 0);
    await rejectsWith("CHANNEL_CLOSED", channel.beginPut(numberedBatch(1, 1)));
    const late = await within("a take after stop", channel.beginTake(5));
    assert.equal(late.batch.length, 0);
  });

  suite("stop ends waits for room with CHANNEL_CLOSED", async ({ channel }) => {
    await put(channel, 1, 5);
    await put(channel, 6, 10);
    const waiting = channel.beginPut(numberedBatch(11, 11));
    waiting.catch(() => {});
    assert.ok(await isPending(waiting));
    await within("stop", channel.stop(deadlineOver));
    await rejectsWith("CHANNEL_CLOSED", within("the waiting put", waiting));
  });

  suite("stop does not hang on a take left open, which may still end", async ({ channel }) => {
    await put(channel, 1, 2);
    const left = await within("take", channel.beginTake(1));
    const other = await within("take", channel.beginTake(1));
    await within("stop", channel.stop(deadlineOver));
    await within("commit after stop", left.commit());
    await within("rollback after stop", other.rollback());
  });
}
