import {
  EventBatch,
  invertRanges,
  type PutTransaction,
  type Random,
  type Ranges,
  systemRuntime,
  type TakeTransaction,
} from "@millrace/core";
import { channelContext, createFakeClock, createSeededRandom, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryChannel } from "./memory-channel.ts";
import { options } from "./options.ts";

const seeds = Number(process.env["SEEDS"] ?? 40);
const actionsPerSeed = 300;
const capacity = 600;
const byteCapacity = 400_000;

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

async function run(seed: number): Promise<{ settled: number; returned: number; refused: number }> {
  const random = createSeededRandom(seed);
  const runtime = { clock: createFakeClock(), random, files: systemRuntime.files };
  const context = channelContext({ runtime });
  const channel = createMemoryChannel(
    optionsOf(options, {
      capacity: String(capacity),
      byteCapacity: String(byteCapacity),
      "keep-alive": "0",
    }),
    context,
  );
  await channel.start(new AbortController().signal);
  const model = new Model();
  const puts: OpenPut[] = [];
  const takes: OpenTake[] = [];
  const seen = { settled: 0, returned: 0, refused: 0 };
  let next = 1;
  let shared: { batch: EventBatch; first: number; used: number } | undefined;

  const newBatch = (): { batch: EventBatch; numbers: number[] } => {
    if (shared !== undefined && random.integer(2) === 0) {
      const { batch, first, used } = shared;
      const end = Math.min(batch.length, used + 1 + random.integer(20));
      shared = end === batch.length ? undefined : { batch, first, used: end };
      const numbers = Array.from({ length: end - used }, (_, i) => first + used + i);
      return { batch: batch.slice(used, end), numbers };
    }
    const count = 1 + random.integer(random.integer(3) === 0 ? 60 : 3);
    const bytes = random.integer(random.integer(4) === 0 ? 4000 : 300);
    const numbers = Array.from({ length: count }, () => next++);
    const batch = EventBatch.fromEvents(numbers.map((n) => ({ body: eventBody(n, bytes) })));
    if (shared === undefined && random.integer(3) === 0) {
      shared = { batch, first: numbers[0] as number, used: 0 };
      return newBatch();
    }
    return { batch, numbers };
  };

  const act = async (): Promise<void> => {
    switch (random.integer(6)) {
      case 0:
      case 1: {
        const { batch, numbers } = newBatch();
        try {
          puts.push({ numbers, transaction: await channel.beginPut(batch) });
        } catch (error) {
          assert.equal((error as { code: string }).code, "CHANNEL_FULL");
          seen.refused++;
        }
        break;
      }
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
      default:
        await endOneTake(random, takes, model, seen);
    }
    assert.equal(channel.size, model.waiting.length + model.lent);
    assert.ok(channel.bytes <= byteCapacity, `${channel.bytes} bytes are within the limit`);
  };

  for (let i = 0; i < actionsPerSeed; i++) await act();
  for (const { transaction } of puts) await transaction.rollback();
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
  seen: { settled: number; returned: number },
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

void test(`${seeds} runs of ${actionsPerSeed} random actions agree with a plain array (T052, T053)`, async () => {
  const total = { settled: 0, returned: 0, refused: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      const seen = await run(seed);
      total.settled += seen.settled;
      total.returned += seen.returned;
      total.refused += seen.refused;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(total.settled > seeds * 100, `${total.settled} events moved`);
  assert.ok(total.returned > seeds * 10, `${total.returned} events returned`);
  assert.ok(total.refused > 0, "some puts found the channel full");
});
