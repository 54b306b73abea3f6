/**
 * The contract's tests await the commit of a put before they take. Here a commit waits for takes, so
 * it is only begun: it fails the test when it fails at once, and must succeed by the test's end
 * otherwise, unless the channel was stopped.
 */
import { type Channel, MillraceError, type PutTransaction, systemRuntime } from "@millrace/core";
import {
  channelContext,
  channelContract,
  createFakeClock,
  createSeededRandom,
  optionsOf,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { createDirectChannel } from "./direct-channel.ts";
import { options } from "./options.ts";

channelContract(
  "the direct channel",
  ({ capacity, transactionCapacity, keepAliveMs }, test) => {
    const clock = createFakeClock();
    const context = channelContext({
      runtime: { clock, random: createSeededRandom(1), files: systemRuntime.files },
    });
    const direct = createDirectChannel(
      optionsOf(options, {
        capacity: String(capacity),
        transactionCapacity: String(transactionCapacity),
        "keep-alive": String(keepAliveMs / 1000),
      }),
      context,
    );
    const commits: Promise<unknown>[] = [];
    test.after(async () => {
      for (const thrown of await Promise.all(commits)) {
        if (thrown === undefined) continue;
        assert.ok(thrown instanceof MillraceError && thrown.code === "CHANNEL_CLOSED");
      }
    });
    const channel = beginningCommits(direct, (commit) => {
      commits.push(
        commit.then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
    });
    return { channel, clock, counters: context.counters };
  },
  { keeps: false },
);

/** The channel with commits that resolve once they have not failed at once. */
function beginningCommits(channel: Channel, begun: (commit: Promise<void>) => void): Channel {
  const put = (inner: PutTransaction): PutTransaction => ({
    async commit() {
      const commit = inner.commit();
      await Promise.race([commit, new Promise((resolve) => setImmediate(resolve))]);
      begun(commit);
    },
    rollback: () => inner.rollback(),
  });
  return {
    name: channel.name,
    durable: channel.durable,
    get size() {
      return channel.size;
    },
    start: (aborted) => channel.start(aborted),
    stop: (deadline) => channel.stop(deadline),
    beginPut: async (batch, signal) => put(await channel.beginPut(batch, signal)),
    beginTake: (max, signal) => channel.beginTake(max, signal),
  };
}
