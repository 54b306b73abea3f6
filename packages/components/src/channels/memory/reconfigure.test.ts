import type { Channel, EventBatch } from "@millrace/core";
import {
  channelContext,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  settle,
} from "@millrace/testing";
import { systemRuntime } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { createMemoryChannel } from "./memory-channel.ts";
import { options } from "./options.ts";

async function started(properties: Record<string, string>) {
  const clock = createFakeClock();
  const context = channelContext({
    runtime: { clock, random: createSeededRandom(1), files: systemRuntime.files },
  });
  const channel = createMemoryChannel(optionsOf(options, properties), context);
  await channel.start(new AbortController().signal);
  const reconfigure = (changed: Record<string, string>): void => {
    channel.reconfigure(optionsOf(options, { ...properties, ...changed }));
  };
  return { channel, clock, context, reconfigure };
}

async function put(channel: Channel, batch: EventBatch): Promise<void> {
  await (await channel.beginPut(batch)).commit();
}

async function takeOut(channel: Channel, max: number): Promise<number[]> {
  const take = await channel.beginTake(max);
  await take.commit();
  return numbersOf(take.batch);
}

test("a full channel that is given more capacity serves the put that waits, at once (T036)", async () => {
  const { channel, context, reconfigure } = await started({
    capacity: "5",
    transactionCapacity: "5",
  });
  await put(channel, numberedBatch(1, 5));
  let stored = false;
  const waiting = put(channel, numberedBatch(6, 6)).then(() => (stored = true));
  await settle();
  assert.equal(stored, false);
  reconfigure({ capacity: "6" });
  await waiting;
  assert.equal(channel.size, 6);
  assert.deepEqual(channel.readCounters?.(), { ChannelCapacity: 6, ChannelFillPercentage: 100 });
  assert.deepEqual(context.log.lines, [], "nothing is wrong with growing");
});

test("a capacity below what is held loses nothing, and refuses puts until there is room (T036)", async () => {
  const { channel, clock, context, reconfigure } = await started({
    capacity: "6",
    transactionCapacity: "6",
  });
  await put(channel, numberedBatch(1, 6));
  reconfigure({ capacity: "2", transactionCapacity: "2" });
  assert.equal(channel.capacity, 2);
  assert.match(
    context.log.lines[0]?.message ?? "",
    /c1 holds 6 events .* over its new capacity of 2/,
  );
  const refused = assert.rejects(channel.beginPut(numberedBatch(7, 7)), { code: "CHANNEL_FULL" });
  await clock.advance(3000);
  await refused;
  assert.deepEqual(await takeOut(channel, 6), [1, 2], "a take has the new transactionCapacity");
  assert.deepEqual([...(await takeOut(channel, 2)), ...(await takeOut(channel, 1))], [3, 4, 5]);
  await put(channel, numberedBatch(7, 7));
  assert.deepEqual(await takeOut(channel, 2), [6, 7]);
});

test("byteCapacity that is lowered and raised again holds for the puts that follow (T044)", async () => {
  const { channel, clock, reconfigure } = await started({ byteCapacity: "200000" });
  const large = (from: number): EventBatch =>
    numberedBatch(from, from).map(({ headers }) => ({ headers, body: Buffer.alloc(50_000, 1) }));
  for (let n = 1; n <= 3; n++) await put(channel, large(n));
  reconfigure({ byteCapacity: "120000" });
  const refused = assert.rejects(channel.beginPut(large(4)), { code: "CHANNEL_FULL" });
  await clock.advance(3000);
  await refused;
  await assert.rejects(channel.beginPut(numberedBatch(1, 1).map(() => ({ headers: new Map(), body: Buffer.alloc(120_000) }))), { code: "TRANSACTION_TOO_LARGE" }); // prettier-ignore
  const waiting = channel.beginPut(large(4));
  await settle();
  reconfigure({ byteCapacity: "0" });
  await (await waiting).commit();
  assert.equal(channel.size, 4);
  assert.equal(channel.byteCapacity, Infinity);
});

test("transactionCapacity and keep-alive hold for the puts that follow", async () => {
  const { channel, clock, reconfigure } = await started({ capacity: "10" });
  const before = { transactionCapacity: "5", "keep-alive": "9" };
  reconfigure(before);
  await assert.rejects(channel.beginPut(numberedBatch(1, 6)), { code: "TRANSACTION_TOO_LARGE" });
  await put(channel, numberedBatch(1, 5));
  await put(channel, numberedBatch(6, 10));
  let late = 0;
  const count = (): void => void late++;
  const old = channel.beginPut(numberedBatch(11, 11)).catch(count);
  reconfigure({ ...before, "keep-alive": "1" });
  const young = channel.beginPut(numberedBatch(11, 11)).catch(count);
  await clock.advance(1000);
  await young;
  assert.equal(late, 1, "who waits keeps the time it was given");
  await clock.advance(8000);
  await old;
  assert.equal(late, 2);
  assert.deepEqual(await takeOut(channel, 10), numbers(1, 5));
});

test("new limits for a channel that is not open are those it opens with", async () => {
  const { channel, reconfigure } = await started({ capacity: "1", transactionCapacity: "1" });
  await channel.stop(AbortSignal.abort());
  reconfigure({ capacity: "3", transactionCapacity: "3" });
  await channel.start(new AbortController().signal);
  await put(channel, numberedBatch(1, 3));
  assert.deepEqual(await takeOut(channel, 3), [1, 2, 3]);
});

test("every option with an effect can be changed while the channel runs", () => {
  const effective = Object.entries(options).filter(([, { form }]) => form !== "ignored");
  assert.deepEqual(new Set(definition.resizable), new Set(effective.map(([name]) => name)));
});
