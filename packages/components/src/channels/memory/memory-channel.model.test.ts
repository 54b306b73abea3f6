import {
  EventBatch,
  invertRanges,
  type MillraceError,
  type PutTransaction,
  type Random,
  type Ranges,
  systemRuntime,
  type TakeTransaction,
} from "@millrace/core";
import {
  channelContext,
  createFakeClock,
  createSeededRandom,
  optionsOf,
  settle,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventQueue } from "./event-queue.ts";
import { createMemoryChannel } from "./memory-channel.ts";
import { options } from "./options.ts";
import type { Put, Take } from "./transactions.ts";

const seeds = Number(process.env["SEEDS"] ?? 40);
const actionsPerSeed = 300;
const limits = [
  { capacity: 600, byteCapacity: 400_000 },
  { capacity: 900, byteCapacity: 700_000 },
  { capacity: 60, byteCapacity: 150_000 },
];

/** An event's number is its first four bytes; the others tell whether they were kept. */
function eventBody(number: number, bytes: number): Buffer {
  const body = Buffer.alloc(4 + bytes, number % 251);
  body.writeUInt32BE(number);
  return body;
}

function numberOf(body: Buffer): number {
  const number = body.readUInt32BE();
  assert.ok(
    body.subarray(4).every((byte) => byte === number % 251),
    `the body of ${number} is unchanged`,
  );
  return number;
}

interface OpenPut {
  readonly numbers: readonly number[];
  readonly transaction: PutTransaction;
}
interface OpenTake {
  readonly numbers: readonly number[];
  readonly transaction: TakeTransaction;
}
interface Seen {
  settled: number;
  returned: number;
  refused: number;
  waited: number;
  resized: number;
}

/** Bytes of all memory that something of the channel refers to: counted from nothing, each once. */
function recount(queue: EventQueue, puts: readonly OpenPut[], takes: readonly OpenTake[]): number {
  const memory = new Set<ArrayBufferLike>();
  const add = (batch: EventBatch): void => {
    for (const { slab } of batch.runs) memory.add(slab.buffer);
  };
  for (let piece = queue.head; piece !== undefined; piece = piece.next) add(piece.batch);
  for (const { transaction } of takes)
    for (const { batch } of (transaction as Take).pieces) add(batch);
  for (const { transaction } of puts) {
    const { batch, gathered } = (transaction as Put).room;
    if (gathered === undefined) add(batch);
    else for (const { slab } of gathered) memory.add(slab.slab.buffer);
  }
  return [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/**
 * The model: numbers in the order of their commits, in a plain array. `place` remembers the order,
 * so that what returns is sorted back in.
 */
class Model {
  waiting: number[] = [];
  lent = 0;
  readonly #place = new Map<number, number>();

  commitPut(numbers: readonly number[]): void {
    for (const number of numbers) this.#place.set(number, this.#place.size);
    this.waiting.push(...numbers);
  }

  take(count: number): number[] {
    const taken = this.waiting.splice(0, count);
    this.lent += taken.length;
    return taken;
  }

  endTake(lent: number, returned: readonly number[]): void {
    this.lent -= lent;
    this.waiting.push(...returned);
    this.waiting.sort((a, b) => (this.#place.get(a) as number) - (this.#place.get(b) as number));
  }
}

function optionsFor({ capacity, byteCapacity }: { capacity: number; byteCapacity: number }) {
  return optionsOf(options, {
    capacity: String(capacity),
    byteCapacity: String(byteCapacity),
    "keep-alive": "1",
  });
}

async function run(seed: number): Promise<Seen> {
  const random = createSeededRandom(seed);
  const clock = createFakeClock();
  const runtime = { clock, random, files: systemRuntime.files };
  const context = channelContext({ runtime });
  const queue = new EventQueue();
  let limit = limits[0] as (typeof limits)[0];
  const channel = createMemoryChannel(optionsFor(limit), context, queue);
  await channel.start(new AbortController().signal);
  const model = new Model();
  const puts: OpenPut[] = [];
  const takes: OpenTake[] = [];
  const seen: Seen = { settled: 0, returned: 0, refused: 0, waited: 0, resized: 0 };
  let next = 1;
  let shared: { batch: EventBatch; first: number; used: number } | undefined;

  const beginPut = async (): Promise<void> => {
    const { batch, numbers } = newBatch();
    let granted = false;
    const put = channel.beginPut(batch).then(
      (transaction) => {
        granted = true;
        puts.push({ numbers, transaction });
      },
      (error: MillraceError) => {
        granted = true;
        assert.match(error.code, /^(CHANNEL_FULL|TRANSACTION_TOO_LARGE)$/);
        seen.refused++;
      },
    );
    void put;
    await settle();
    if (!granted) seen.waited++;
  };

  const newBatch = (): { batch: EventBatch; numbers: number[] } => {
    if (shared !== undefined && random.integer(2) === 0) {
      const { batch, first, used } = shared;
      const end = Math.min(batch.length, used + 1 + random.integer(20));
      shared = end === batch.length ? undefined : { batch, first, used: end };
      const numbers = Array.from({ length: end - used }, (_, i) => first + used + i);
      return { batch: batch.slice(used, end), numbers };
    }
    const count = 1 + random.integer(random.integer(3) === 0 ? 60 : 3);
    const huge = count === 1 && random.integer(12) === 0;
    const bytes = random.integer(huge ? 250_000 : random.integer(4) === 0 ? 4000 : 300);
    const numbers = Array.from({ length: count }, () => next++);
    const batch = EventBatch.fromEvents(numbers.map((n) => ({ body: eventBody(n, bytes) })));
    if (shared === undefined && random.integer(3) === 0) {
      shared = { batch, first: numbers[0] as number, used: 0 };
      return newBatch();
    }
    return { batch, numbers };
  };

  const act = async (): Promise<void> => {
    switch (random.integer(8)) {
      case 0:
      case 1:
        await beginPut();
        break;
      case 2:
      case 3: {
        const [put] = puts.splice(random.integer(Math.max(1, puts.length)), 1);
        if (put === undefined) break;
        if (random.integer(5) === 0) await put.transaction.rollback();
        else {
          await put.transaction.commit();
          model.commitPut(put.numbers);
        }
        break;
      }
      case 4: {
        if (model.waiting.length === 0) break;
        const max = 1 + random.integer(100);
        const transaction = await channel.beginTake(max);
        const numbers = Array.from(transaction.batch, ({ body }) => numberOf(body));
        assert.deepEqual(numbers, model.take(Math.min(max, 100)), "the first come first");
        takes.push({ numbers, transaction });
        break;
      }
      case 5:
        await clock.advance(random.integer(600));
        break;
      case 6:
        if (random.integer(4) > 0) break;
        limit = limits[random.integer(limits.length)] as typeof limit;
        channel.reconfigure(optionsFor(limit));
        seen.resized++;
        break;
      default:
        await endOneTake(random, takes, model, seen);
    }
    await settle();
    assert.equal(channel.size, model.waiting.length + model.lent);
    assert.equal(channel.bytes, recount(queue, puts, takes), "what is counted is what is held");
  };

  for (let i = 0; i < actionsPerSeed; i++) {
    const before = channel.bytes;
    await act();
    assert.ok(channel.bytes <= Math.max(before, limit.byteCapacity), `${channel.bytes} bytes`);
  }
  await clock.advance(1000);
  for (const { transaction } of puts.splice(0)) await transaction.rollback();
  while (takes.length > 0) await endOneTake(random, takes, model, seen);
  while (model.waiting.length > 0) {
    const transaction = await channel.beginTake(100);
    const numbers = Array.from(transaction.batch, ({ body }) => numberOf(body));
    assert.deepEqual(numbers, model.take(100));
    await transaction.commit();
    model.endTake(numbers.length, []);
    seen.settled += numbers.length;
  }
  assert.deepEqual([channel.size, channel.bytes], [0, 0], "an empty channel holds no byte");
  assert.equal(context.counters.EventTakeSuccessCount, seen.settled);
  return seen;
}

async function endOneTake(
  random: Random,
  takes: OpenTake[],
  model: Model,
  seen: Seen,
): Promise<void> {
  const [take] = takes.splice(random.integer(Math.max(1, takes.length)), 1);
  if (take === undefined) return;
  const { numbers, transaction } = take;
  const settled = random.integer(3) === 0 ? randomRanges(random, numbers.length) : undefined;
  let back: number[] = [];
  if (settled !== undefined) {
    await transaction.commit(settled);
    back = invertRanges(settled, numbers.length).flatMap(({ from, to }) => numbers.slice(from, to));
  } else if (random.integer(3) === 0) {
    await transaction.rollback();
    back = [...numbers];
  } else {
    await transaction.commit();
  }
  model.endTake(numbers.length, back);
  seen.returned += back.length;
  seen.settled += numbers.length - back.length;
}

function randomRanges(random: Random, length: number): Ranges {
  const ranges: { from: number; to: number }[] = [];
  let at = random.integer(3);
  while (at < length) {
    const to = Math.min(length, at + 1 + random.integer(10));
    ranges.push({ from: at, to });
    at = to + 1 + random.integer(10);
  }
  return ranges;
}

test(`${seeds} runs of ${actionsPerSeed} random actions agree with a plain array and a recount of the bytes (T052, T053)`, async () => {
  const total: Seen = { settled: 0, returned: 0, refused: 0, waited: 0, resized: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      const seen = await run(seed);
      for (const key of Object.keys(total) as (keyof Seen)[]) total[key] += seen[key];
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(total.settled > seeds * 100, `${total.settled} events moved`);
  assert.ok(total.returned > seeds * 10, `${total.returned} events returned`);
  assert.ok(total.refused > seeds, `${total.refused} puts were refused or expired`);
  assert.ok(total.waited > seeds, `${total.waited} puts waited for room`);
  assert.ok(total.resized > seeds, `${total.resized} changes of the limits`);
});
