/**
 * Random transactions, partial settlements, rollbacks, crashes and restarts against the model in
 * `channel-model.test.ts`. SEEDS=100000 makes them long, SEED=7 SEEDS=1 repeats one.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { histories, runHistories } from "./crash-histories.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 15);
const from = Number(process.env["SEED"] ?? 1);

const run = (name: string, count: number) =>
  runHistories(histories[name] as (typeof histories)["crashes"], from, count);

test(`${seeds} random histories of crashes keep every promise [lost: file | agent killed | nothing; some twice]`, async () => {
  const totals = await run("crashes", seeds);
  const text = JSON.stringify(totals);
  assert.ok(totals.crashes >= seeds * 3 && totals.refused === 0, text);
  assert.ok(totals.phases.recovery >= seeds / 2 && totals.cut >= seeds, text);
  assert.ok(totals.present >= seeds * 10, text);
});

test("histories with failed syncs keep every promise that was made [lost: file | disk fails | nothing; some twice]", async () => {
  const rounds = Math.ceil(seeds / 3);
  const totals = await run("failed-syncs", rounds);
  assert.ok(totals.failedSyncs >= rounds, JSON.stringify(totals));
  assert.ok(totals.present >= rounds * 5, JSON.stringify(totals));
});

test("histories with failed and short writes keep every promise that was made", async () => {
  const totals = await run("failed-writes", seeds * 2);
  assert.ok(totals.failedWrites >= seeds * 2, JSON.stringify(totals));
  assert.ok(totals.crashes >= seeds * 2 && totals.present >= seeds * 20, JSON.stringify(totals));
});

test("histories on a full disk keep every promise, and a start never lacks room [lost: file | disk full | nothing; puts are refused]", async () => {
  const totals = await run("full-disk", Math.ceil(seeds / 3));
  assert.ok(totals.diskFull >= seeds && totals.crashes >= seeds / 3, JSON.stringify(totals));
  assert.ok(totals.present >= seeds && totals.refused === 0, JSON.stringify(totals));
});

test("histories in which a synced sector rots lose nothing in silence, and a repair names exactly what is gone", async () => {
  const totals = await run("rot", seeds);
  assert.ok(
    totals.damages >= seeds * 3 && totals.damageRefused >= seeds / 2,
    JSON.stringify(totals),
  );
  assert.ok(totals.namedLost > 0 && totals.present >= seeds * 10, JSON.stringify(totals));
});
