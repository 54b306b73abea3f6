import { type Channel, EventBatch, systemRuntime } from "@millrace/core";
import { createKafkaChannel } from "../../../packages/kafka/src/channels/kafka/kafka-channel.ts";
import { options } from "../../../packages/kafka/src/channels/kafka/options.ts";
import {
  channelContext,
  numbersOf,
  optionsOf,
  type TestComponentContext,
  waitFor,
} from "@millrace/testing";
import type { ChannelContext } from "@millrace/core";
import type { TestContext } from "node:test";

export interface RunningChannel {
  readonly channel: Channel;
  readonly context: TestComponentContext<ChannelContext>;
}

export const never = new AbortController().signal;

/** A started channel on real time, stopped with its test. */
export async function startChannel(
  test: TestContext,
  properties: Record<string, string>,
): Promise<RunningChannel> {
  const context = channelContext({ runtime: systemRuntime });
  const channel = createKafkaChannel(optionsOf(options, properties), context);
  await channel.start(never);
  test.after(() => channel.stop(AbortSignal.timeout(5_000)));
  return { channel, context };
}

/** Puts the batch; tries again as a source does when the channel says that it may. */
export async function put(channel: Channel, batch: EventBatch): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      await (await channel.beginPut(batch)).commit();
      return tries;
    } catch (error) {
      if ((error as { answer?: string }).answer !== "retry" || tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Takes and settles until there are so many events, or fails. */
export async function takeEvents(
  channel: Channel,
  count: number,
  deadlineMs = 30_000,
): Promise<EventBatch> {
  const taken: EventBatch[] = [];
  let length = 0;
  await waitFor(
    `${count} events`,
    async () => {
      const take = await channel.beginTake(Math.min(100, Math.max(1, count - length)));
      taken.push(take.batch);
      length += take.batch.length;
      await take.commit();
      return length >= count;
    },
    deadlineMs,
  );
  return EventBatch.join(taken);
}

/** Takes until the numbers are all there; gives every number as it came, repeated ones too. */
export async function takeNumbers(
  channel: Channel,
  wanted: ReadonlySet<number>,
  deadlineMs = 60_000,
): Promise<number[]> {
  const came: number[] = [];
  const missing = new Set(wanted);
  await waitFor(
    `${wanted.size} different events`,
    async () => {
      const take = await channel.beginTake(100);
      for (const number of numbersOf(take.batch)) {
        came.push(number);
        missing.delete(number);
      }
      await take.commit();
      return missing.size === 0;
    },
    deadlineMs,
  );
  return came;
}
