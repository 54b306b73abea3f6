import {
  type Channel,
  type ChannelCounters,
  EventBatch,
  MillraceError,
  type PutTransaction,
} from "@millrace/core";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { FakeClock } from "../../runtime/fake-clock.ts";
import { numberedBatch } from "../numbered-events.ts";
import { noDeadline, within } from "../settling.ts";

export interface ChannelLimits {
  /** Events the channel may hold. */
  readonly capacity: number;
  /** Events one transaction may hold. */
  readonly transactionCapacity: number;
  /** A whole number of seconds. */
  readonly keepAliveMs: number;
}

export interface ChannelUnderTest {
  /** Fresh, empty, not started. */
  readonly channel: Channel;
  /** The clock that the channel runs on. */
  readonly clock: FakeClock;
  readonly counters: ChannelCounters;
}

/** Makes a channel with these limits and wide ones for everything else; cleans up by `test.after`. */
export type MakeChannel = (
  limits: ChannelLimits,
  test: TestContext,
) => ChannelUnderTest | Promise<ChannelUnderTest>;

export const limits: ChannelLimits = { capacity: 10, transactionCapacity: 5, keepAliveMs: 3000 };

/** What each part of the suite gets to declare its tests with. */
export type Suite = (
  title: string,
  run: (given: ChannelUnderTest, test: TestContext) => Promise<void>,
  given?: Partial<ChannelLimits>,
) => void;

/** Declares tests that get a started channel, and stop it afterwards. */
export function suiteOf(name: string, make: MakeChannel): Suite {
  return (title, run, given = {}) =>
    void test(`${name}: ${title}`, async (context) => {
      const made = await make({ ...limits, ...given }, context);
      await within("start", made.channel.start(noDeadline));
      try {
        await run(made, context);
      } finally {
        await within("stop", made.channel.stop(AbortSignal.abort()));
      }
    });
}

/** Puts events `from..to` and commits. */
export async function put(channel: Channel, from: number, to: number): Promise<void> {
  const transaction = await beginPut(channel, from, to);
  await within("commit of a put", transaction.commit());
}

export function beginPut(channel: Channel, from: number, to: number): Promise<PutTransaction> {
  return within("beginPut", channel.beginPut(numberedBatch(from, to)));
}

/** Takes and commits until `count` events came, or fails at a deadline. */
export async function takeAll(channel: Channel, count: number): Promise<EventBatch> {
  const taken: EventBatch[] = [];
  let length = 0;
  while (length < count) {
    const take = await within(
      `event ${length + 1} of ${count}`,
      channel.beginTake(limits.transactionCapacity),
    );
    taken.push(take.batch);
    length += take.batch.length;
    await within("commit of a take", take.commit());
  }
  return EventBatch.join(taken);
}

/** That the promise rejects with a Millrace error of this code. */
export async function rejectsWith(code: string, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof MillraceError, `a Millrace error, not ${String(error)}`);
    assert.equal(error.code, code);
    return true;
  });
}
