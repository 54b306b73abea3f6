/**
 * The long form of `crash.test.ts` and `crash.model.test.ts` in the file channel's package: over
 * 100,000 crashes, each judged. SEED=7 repeats one history of each kind, SCALE=10 runs ten times as much.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  type EnumerationCounts,
  variants,
} from "../../packages/file-channel/src/crash-enumeration.test.ts";
import { histories, type Totals } from "../../packages/file-channel/src/crash-histories.test.ts";
import { runSimulation } from "./simulation.ts";

const seed = process.env["SEED"];
const scale = Number(process.env["SCALE"] ?? 1);
/** Histories of each kind; a kind that is not named here gets 500. */
const seeds: Readonly<Record<string, number>> = { crashes: 3000, "failed-writes": 3000 };
const seedsPerProcess = 500;
/** Times that every call of every variant is crashed in. */
const rounds = 21;
const roundsPerProcess = 7;

type Counts = EnumerationCounts | Totals;

interface Task {
  readonly title: string;
  readonly words: readonly [string, string, number, number];
}

function tasks(): Task[] {
  if (seed !== undefined) {
    return Object.keys(histories).map((kind) => ({
      title: `seed ${seed} of ${kind}`,
      words: ["histories", kind, Number(seed), 1],
    }));
  }
  const enumerations = variants.flatMap(({ name }) =>
    parts(rounds * scale, roundsPerProcess).map(({ from, count }): Task => {
      const title = `a crash at every call, rounds ${from} to ${from + count - 1}: ${name}`;
      return { title, words: ["enumerate", name, from, count] };
    }),
  );
  const names = ["one directory", "two directories"].map((name): Task => {
    const title = `every subset of unsynced names lost, at every call: ${name}`;
    return { title, words: ["names", name, 1, 1] };
  });
  const models = Object.keys(histories).flatMap((kind) =>
    parts((seeds[kind] ?? 500) * scale, seedsPerProcess).map(({ from, count }): Task => {
      const title = `histories of ${kind}, seeds ${from} to ${from + count - 1}`;
      return { title, words: ["histories", kind, from, count] };
    }),
  );
  return [...names, ...enumerations, ...models];
}

function parts(total: number, size: number): { from: number; count: number }[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => ({
    from: 1 + i * size,
    count: Math.min(size, total - i * size),
  }));
}

test(
  "over 100,000 crashes lose, refuse, repeat and revive nothing",
  { concurrency: 2 },
  async (t) => {
    const sum: Record<string, number> = {};
    await Promise.all(
      tasks().map(({ title, words }) =>
        t.test(title, async (sub: TestContext) => {
          const counts = await runSimulation<Counts>(sub, words);
          const { phases, ...rest } = counts;
          for (const [key, value] of Object.entries({ ...rest, ...phases })) {
            sum[key] = (sum[key] ?? 0) + Number(value);
          }
        }),
      ),
    );
    t.diagnostic(Object.entries(sum).map(([key, value]) => `${key} ${value}`).join(", ")); // prettier-ignore
    if (seed === undefined) assertSubstance(sum);
  },
);

/** What a run that proves anything contains. */
function assertSubstance(sum: Record<string, number>): void {
  const atLeast = {
    crashes: 100_000,
    recovery: 15_000,
    roll: 5000,
    free: 1000,
    group: 8000,
    torn: 3000,
    present: 1_000_000,
    cut: 50_000,
    redelivered: 50_000,
    failedSyncs: 1000,
    failedWrites: 20_000,
    diskFull: 2000,
    damages: 1500,
    damageRefused: 700,
    namedLost: 1500,
  };
  for (const [key, least] of Object.entries(atLeast)) {
    assert.ok((sum[key] ?? 0) >= least, `only ${sum[key]} of ${key}: ${JSON.stringify(sum)}`);
  }
  assert.equal(sum["refused"], 0, "no start was refused where nothing was damaged");
}
