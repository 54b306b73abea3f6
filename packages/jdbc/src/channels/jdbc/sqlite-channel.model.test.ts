/**
 * Random puts, takes, partial settlements, stops and crashes on the channel over SQLite, and on a
 * model of a few sets. `SEEDS=1000` runs more; `SEED=7` repeats one.
 */
import type { PutTransaction, TakeTransaction } from "@millrace/core";
import {
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  tempDirectory,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sqliteChannel, type SqliteChannel } from "./sqlite-kit.test.ts";

const never = new AbortController().signal;
const one = process.env["SEED"];
const seeds = one === undefined ? numbers(1, Number(process.env["SEEDS"] ?? 6)) : [Number(one)];
const actionsPerSeed = 120;

interface Totals {
  crashes: number;
  repeated: number;
  doubtfulStored: number;
  doubtfulLost: number;
}

test(`${seeds.length} seeds of crashes and restarts agree with a model: what was promised is there, in order`, async (t) => {
  const totals: Totals = { crashes: 0, repeated: 0, doubtfulStored: 0, doubtfulLost: 0 };
  for (const seed of seeds) {
    const directory = await tempDirectory(t);
    try {
      await runSeed(seed, directory, totals);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  if (one === undefined) {
    assert.ok(totals.crashes > seeds.length, `${totals.crashes} crashes`);
    assert.ok(totals.repeated > 0, "a crash came before settled rows were deleted");
    assert.ok(totals.doubtfulStored > 0 && totals.doubtfulLost > 0, JSON.stringify(totals));
  }
});

async function runSeed(seed: number, directory: string, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const memoryBytes = [0, 400, 1_000_000][random.integer(3)] as number;
  let next = 1;
  let free: number[] = [];
  let lent: { numbers: number[]; take: TakeTransaction }[] = [];
  /** Settled, and maybe not deleted yet: a crash may bring them back. */
  let settled = new Set<number>();
  /** A put under way when the crash came. */
  let doubtful: number[] = [];
  let open: SqliteChannel | undefined;

  const begin = async (): Promise<SqliteChannel> => {
    const made = sqliteChannel(directory, { memoryBytes });
    await within("start", made.channel.start(never));
    const held = await peek(made);
    const wanted = new Set([...free, ...lent.flatMap((take) => take.numbers)]);
    const missing = [...wanted].filter((n) => !held.includes(n));
    assert.deepEqual(missing, [], "promised and gone");
    assert.deepEqual(
      held,
      [...new Set(held)].sort((a, b) => a - b),
      "in order, each once",
    );
    const extra = held.filter((n) => !wanted.has(n));
    const isWhole = doubtful.every((n) => held.includes(n));
    for (const n of extra) {
      assert.ok(settled.has(n) || (isWhole && doubtful.includes(n)), `${n} was never promised`);
    }
    totals.repeated += extra.filter((n) => settled.has(n)).length;
    if (doubtful.length > 0) totals[isWhole ? "doubtfulStored" : "doubtfulLost"]++;
    free = held;
    lent = [];
    settled = new Set();
    doubtful = [];
    return (open = made);
  };
  const put = async ({ channel }: SqliteChannel): Promise<PutTransaction> => {
    const size = 1 + random.integer(9);
    next += size;
    return within("beginPut", channel.beginPut(numberedBatch(next - size, next - 1)));
  };

  let made = await begin();
  for (let action = 0; action < actionsPerSeed; action++) {
    const what = random.integer(20);
    const from = next;
    if (what < 7) {
      await within("commit", (await put(made)).commit());
      free.push(...numbers(from, next - 1));
    } else if (what < 12 && free.length > 0) {
      const take = await within("take", made.channel.beginTake(1 + random.integer(9)));
      const got = numbersOf(take.batch);
      assert.deepEqual(got, free.splice(0, got.length), "the lowest come first");
      lent.push({ numbers: got, take });
    } else if (what < 17 && lent.length > 0) {
      const [ended] = lent.splice(random.integer(lent.length), 1);
      const cut = random.integer((ended?.numbers.length ?? 0) + 1);
      await ended?.take.commit(cut === 0 ? [] : [{ from: 0, to: cut }]);
      for (const n of ended?.numbers.slice(0, cut) ?? []) settled.add(n);
      free = [...free, ...(ended?.numbers.slice(cut) ?? [])].sort((a, b) => a - b);
    } else if (what === 17) {
      await made.clock.advance(100);
    } else if (what === 18) {
      await within("stop", made.channel.stop(never));
      settled = new Set();
      made = await begin();
    } else if (what === 19) {
      totals.crashes++;
      const transaction = random.integer(3) > 0 ? await put(made) : undefined;
      doubtful = numbers(from, next - 1);
      const outcome = transaction?.commit().catch(() => undefined);
      for (let turns = random.integer(4); turns > 0; turns--) await new Promise(setImmediate);
      made.store.abandon();
      await within("stop", made.channel.stop(AbortSignal.abort()));
      await outcome;
      made = await begin();
    }
    const held = free.length + lent.reduce((sum, take) => sum + take.numbers.length, 0);
    assert.equal(made.channel.size, held, `size after action ${action}`);
  }
  await within("stop", (open as SqliteChannel).channel.stop(never));
}

/** Everything it holds, given back. */
async function peek({ channel }: SqliteChannel): Promise<number[]> {
  const takes: TakeTransaction[] = [];
  const found: number[] = [];
  while (found.length < channel.size) {
    const take = await within("a look", channel.beginTake(1000));
    found.push(...numbersOf(take.batch));
    takes.push(take);
  }
  for (const take of takes) await take.rollback();
  return found;
}
