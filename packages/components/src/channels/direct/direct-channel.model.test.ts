import { createSeededRandom, numberedBatch, numbersOf, settle } from "@millrace/testing";
import { MillraceError, type PutTransaction, type TakeTransaction } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEmpty, started } from "./direct-under-test.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 60);
const actionsPerSeed = 200;

/** What the model knows of a put; times are the fake clock's. */
interface Put {
  readonly putter: number;
  readonly from: number;
  readonly to: number;
  readonly beganMs: number;
  offeredMs?: number;
  transaction?: PutTransaction;
  taken: boolean;
  end?: string;
  endedMs?: number;
}

interface Take {
  readonly lent: readonly number[];
  readonly transaction: TakeTransaction;
}

interface Totals {
  ok: number;
  full: number;
  late: number;
  duplicates: number;
  partial: number;
}

const keepAliveMs = 3000;
const answerTimeoutMs = 8000;
const putters = 4;

/**
 * Random putters, takers and time. The judges, for each put:
 *
 * - one that was told OK has every event of it settled by a take, before that;
 * - one that was told CHANNEL_FULL was lent to nobody, then or ever;
 * - it is told at its deadline: keep-alive when nobody took it, answerTimeout otherwise;
 * - events of one putter are lent in their order, those that come again aside;
 * - when all takes have ended, nothing is held and nobody waits.
 */
async function run(seed: number, totals: Totals): Promise<void> {
  const random = createSeededRandom(seed);
  const { channel, clock, counted, counters } = await started({
    capacity: "60",
    transactionCapacity: "20",
    "keep-alive": String(keepAliveMs / 1000),
    answerTimeout: String(answerTimeoutMs / 1000),
  });
  const puts: Put[] = [];
  const byNumber = new Map<number, Put>();
  const settled = new Set<number>();
  const returned = new Set<number>();
  const lentUpTo = new Array<number>(putters).fill(0);
  let takes: Take[] = [];
  let next = 1;
  let deliveredLate = 0;

  const openPutOf = (putter: number): Put | undefined =>
    puts.find((put) => put.putter === putter && put.end === undefined);

  /** A putter puts one batch after another, as a connection with one in flight does. */
  const put = async (): Promise<void> => {
    const putter = random.integer(putters);
    if (openPutOf(putter) !== undefined) return;
    const from = next;
    next += 1 + random.integer(20);
    const own: Put = { putter, from, to: next - 1, beganMs: clock.monotonic(), taken: false };
    puts.push(own);
    for (let n = from; n < next; n++) byNumber.set(n, own);
    const work = async (): Promise<void> => {
      own.transaction = await channel.beginPut(numberedBatch(own.from, own.to));
      if (random.integer(10) === 0) {
        await own.transaction.rollback();
        own.end = "rolled back";
        return;
      }
      own.offeredMs = clock.monotonic();
      await own.transaction.commit();
    };
    work()
      .then(() => (own.end ??= "OK"))
      .catch((error: unknown) => {
        assert.ok(error instanceof MillraceError, String(error));
        own.end = error.code;
      })
      .finally(() => {
        own.endedMs = clock.monotonic();
      });
    await settle(1);
  };

  const noteLent = (numbers: readonly number[]): void => {
    for (const n of numbers) {
      const own = byNumber.get(n);
      assert.ok(own !== undefined, `${n} was put`);
      assert.notEqual(own.end, "CHANNEL_FULL", `${n} is lent after it was withdrawn`);
      assert.equal(own.end, undefined, `${n} is lent after its sender was told ${own.end}`);
      assert.ok(!settled.has(n), `${n} is lent after it was settled`);
      assert.ok(own.offeredMs !== undefined, `${n} is lent before its commit`);
      if (!returned.delete(n)) {
        assert.ok(n > (lentUpTo[own.putter] as number), `${n} is lent out of its putter's order`);
        lentUpTo[own.putter] = n;
      }
      own.taken = true;
    }
  };

  const take = async (): Promise<void> => {
    const stop = new AbortController();
    const taking = channel.beginTake(1 + random.integer(30), stop.signal).then((transaction) => {
      noteLent(numbersOf(transaction.batch));
      return transaction;
    });
    if (random.integer(3) > 0) stop.abort();
    const timer = clock.setTimer(500, () => stop.abort());
    await clock.advance(random.integer(2) * 500);
    stop.abort();
    timer.cancel();
    const transaction = await taking;
    const lent = numbersOf(transaction.batch);
    if (lent.length > 0) takes.push({ lent, transaction });
    else await transaction.rollback();
  };

  const endTake = async (): Promise<void> => {
    const one = takes[random.integer(Math.max(1, takes.length))];
    if (one === undefined) return;
    takes = takes.filter((other) => other !== one);
    const ranges: { from: number; to: number }[] = [];
    const how = random.integer(4);
    for (let i = 0; i < one.lent.length; i++) {
      if (how === 0 || (how === 1 && random.integer(2) === 0)) continue;
      const last = ranges.at(-1);
      if (last !== undefined && last.to === i) last.to = i + 1;
      else ranges.push({ from: i, to: i + 1 });
    }
    if (how === 1) totals.partial++;
    one.lent.forEach((n, i) => {
      const own = byNumber.get(n) as Put;
      if (ranges.some(({ from, to }) => i >= from && i < to)) {
        settled.add(n);
        if (own.end !== undefined) deliveredLate++;
      } else if (own.end === undefined) {
        returned.add(n);
      }
    });
    if (how === 0) await one.transaction.rollback();
    else if (how > 1) await one.transaction.commit();
    else await one.transaction.commit(ranges);
    await settle(1);
  };

  const actions = [put, put, put, take, take, endTake, endTake] as const;
  for (let action = 0; action < actionsPerSeed; action++) {
    const pick = random.integer(actions.length + 1);
    if (pick === actions.length) await clock.advance(random.integer(2500));
    else await (actions[pick] as () => Promise<void>)();
    await settle(1);
    const waiting = puts.filter(
      ({ end, offeredMs }) => end === undefined && offeredMs !== undefined,
    );
    const open = waiting.flatMap(({ from, to }) => range(from, to)).filter((n) => !settled.has(n));
    assert.equal(channel.size, open.length, `size after action ${action}`);
  }
  while (takes.length > 0) await endTake();
  await clock.advance(answerTimeoutMs + keepAliveMs);
  judge(puts, settled, totals);
  const partlyDelivered = puts
    .filter(({ end }) => end === "CHANNEL_TIMEOUT")
    .flatMap(({ from, to }) => range(from, to))
    .filter((n) => settled.has(n)).length;
  assert.equal(counted().duplicates, partlyDelivered);
  assert.ok(deliveredLate <= partlyDelivered);
  assert.equal(counters.EventTakeSuccessCount, settled.size);
  totals.duplicates += partlyDelivered;
  assert.equal(clock.timerCount, 0);
  assertEmpty(channel);
}

function judge(puts: readonly Put[], settled: ReadonlySet<number>, totals: Totals): void {
  for (const { from, to, end, endedMs, beganMs, offeredMs, taken } of puts) {
    const what = `put ${from}..${to}`;
    assert.ok(end !== undefined && endedMs !== undefined, `${what} is still waiting`);
    const done = range(from, to).filter((n) => settled.has(n));
    if (end === "OK") {
      totals.ok++;
      assert.equal(done.length, to - from + 1, `${what} was told OK`);
      assert.ok(endedMs - beganMs <= answerTimeoutMs);
    } else if (end === "CHANNEL_FULL") {
      totals.full++;
      assert.ok(!taken && done.length === 0, `${what} was withdrawn`);
      assert.equal(endedMs, (offeredMs ?? beganMs) + keepAliveMs, `${what} was told in time`);
    } else if (end === "CHANNEL_TIMEOUT") {
      totals.late++;
      assert.ok(taken, `${what} was given up although nobody had it`);
      assert.equal(endedMs, beganMs + answerTimeoutMs, `${what} was told in time`);
    } else {
      assert.equal(end, "rolled back");
      assert.ok(!taken && done.length === 0);
    }
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

void test(`random putters, takers and time keep every promise, ${seeds} seeds`, async (t) => {
  const totals: Totals = { ok: 0, full: 0, late: 0, duplicates: 0, partial: 0 };
  const first = Number(process.env["SEED"] ?? 1);
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      await run(seed, totals);
    } catch (error) {
      throw new Error(`SEED=${seed} SEEDS=1 repeats it: ${String(error)}`, { cause: error });
    }
  }
  t.diagnostic(JSON.stringify(totals));
  if (seeds < 20) return;
  assert.ok(totals.ok > seeds * 5, `${totals.ok} puts were delivered`);
  assert.ok(totals.full > seeds && totals.late > seeds && totals.partial > seeds);
  assert.ok(totals.duplicates > seeds, `${totals.duplicates} events came late`);
});
