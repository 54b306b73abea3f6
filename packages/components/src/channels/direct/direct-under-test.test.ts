/** A direct channel on a fake clock, and what its tests ask of it. */
import { type Channel, MillraceError, systemRuntime, type TakeTransaction } from "@millrace/core";
import {
  channelContext,
  createFailingFiles,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  optionsOf,
  settle,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { createDirectChannel, type DirectChannel } from "./direct-channel.ts";
import { options } from "./options.ts";

export const never = new AbortController().signal;

/** Its files fail, each of them: a direct channel has none. */
export async function started(properties: Record<string, string> = {}, clock = createFakeClock()) {
  const files = createFailingFiles(systemRuntime.files, () => true);
  const context = channelContext({ runtime: { clock, random: createSeededRandom(1), files } });
  const channel = createDirectChannel(optionsOf(options, properties), context);
  await channel.start(never);
  const read = (name: string): number | undefined =>
    context.metrics.value(`millrace_direct_${name}_total`);
  return {
    channel,
    clock,
    counters: context.counters,
    files,
    counted: () => ({
      withdrawn: read("withdrawn_events"),
      late: read("late_events"),
      duplicates: read("possible_duplicates"),
    }),
  };
}

/** A put that is under way. */
export interface Sent {
  /** Never rejects: "OK", or the code. */
  readonly done: Promise<string>;
  /** The same, "" while the sender waits. */
  readonly told: () => string;
}

export async function send(channel: Channel, from: number, to: number): Promise<Sent> {
  const put = await channel.beginPut(numberedBatch(from, to));
  let told = "";
  const done = put.commit().then(
    () => (told = "OK"),
    (error: unknown) => {
      assert.ok(error instanceof MillraceError, String(error));
      assert.equal(error.answer, "retry", "the sender is to try again");
      return (told = error.code);
    },
  );
  await settle(1);
  return { done, told: () => told };
}

export async function lentTo(channel: Channel, max: number): Promise<TakeTransaction> {
  const take = await channel.beginTake(max);
  assert.ok(take.batch.length > 0, "there is something to take");
  return take;
}

/** Nobody waits, nothing is held: what any test leaves behind. */
export function assertEmpty(channel: DirectChannel): void {
  assert.equal(channel.size, 0);
  assert.equal(channel.bytes, 0);
  assert.equal(channel.oldestEventAgeMs(), 0);
}
