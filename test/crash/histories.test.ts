/**
 * The long form of the file channel's `crash.model.test.ts`: thousands of random histories. SEED=7
 * repeats one of each kind, SCALE=10 runs ten times as many.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { histories } from "../../packages/file-channel/src/crash-histories.test.ts";
import { assertAtLeast, parts, runTasks, type Task } from "./simulation.ts";

const seed = process.env["SEED"];
const scale = Number(process.env["SCALE"] ?? 1);
/** Histories of each kind; a kind that is not named here gets 500. */
const seeds: Readonly<Record<string, number>> = { crashes: 3000, "failed-writes": 3000 };
const seedsPerProcess = 500;

const tasks = Object.keys(histories).flatMap((kind): Task[] => {
  if (seed !== undefined) {
    return [{ title: `seed ${seed} of ${kind}`, words: ["histories", kind, Number(seed), 1] }];
  }
  return parts((seeds[kind] ?? 500) * scale, seedsPerProcess).map(({ from, count }) => {
    const title = `histories of ${kind}, seeds ${from} to ${from + count - 1}`;
    return { title, words: ["histories", kind, from, count] };
  });
});

test("over 25,000 crashes in random histories keep every promise [lost: file | agent killed | nothing; some twice]", async (t) => {
  const sum = await runTasks(t, tasks);
  if (seed !== undefined) return;
  assertAtLeast(sum, {
    histories: 7000,
    crashes: 25_000,
    recovery: 5000,
    roll: 1500,
    free: 300,
    group: 3000,
    torn: 2000,
    cut: 50_000,
    present: 1_000_000,
    redelivered: 20_000,
    failedSyncs: 1000,
    failedWrites: 20_000,
    diskFull: 2000,
    damages: 1500,
    damageRefused: 700,
    namedLost: 1500,
  });
  assert.equal(sum["refused"], 0, "no start was refused where nothing was damaged");
});
