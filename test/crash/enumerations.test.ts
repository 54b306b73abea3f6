/**
 * The long form of the file channel's `crash.test.ts`: a crash at every call of a run, again while it
 * recovers, and a power cut after that. With `histories.test.ts` over 100,000 crashes, each judged.
 * SCALE=10 runs ten times as many rounds.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { variants } from "../../packages/file-channel/src/crash-enumeration.test.ts";
import { assertAtLeast, parts, runTasks, type Task } from "./simulation.ts";

const scale = Number(process.env["SCALE"] ?? 1);
const rounds = 21;
const roundsPerProcess = 7;

const names = ["one directory", "two directories"].map((name): Task => {
  const title = `a power cut at every call loses every subset of unsynced names: ${name}`;
  return { title, words: ["names", name, 1, 1] };
});
const calls = variants.flatMap(({ name }) =>
  parts(rounds * scale, roundsPerProcess).map(({ from, count }): Task => {
    const title = `a crash at every call, rounds ${from} to ${from + count - 1}: ${name}`;
    return { title, words: ["enumerate", name, from, count] };
  }),
);

test("over 75,000 crashes at every call lose, refuse, repeat and revive nothing [lost: file | power cut | nothing; some twice]", async (t) => {
  const sum = await runTasks(t, [...names, ...calls]);
  assertAtLeast(sum, {
    crashes: 75_000,
    recovery: 10_000,
    roll: 3000,
    free: 700,
    group: 5000,
    torn: 500,
    cut: 20_000,
    present: 500_000,
    redelivered: 30_000,
  });
  assert.equal(sum["refused"], 0, "nothing was damaged, so no start was refused");
});
