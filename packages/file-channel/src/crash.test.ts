import assert from "node:assert/strict";
import { test } from "node:test";
import { enumerateCrashes, newEnumerationCounts, variants } from "./crash-enumeration.test.ts";

/** ROUNDS over 1 tries each crash with other fates and other second crashes; `test/crash` does. */
const rounds = Number(process.env["ROUNDS"] ?? 1);

test("a crash at any call, and again in recovery, loses, refuses, repeats and revives nothing [lost: file | power cut | nothing; some twice]", async () => {
  const counts = newEnumerationCounts();
  const [variant] = variants;
  for (let round = 0; round < rounds && variant !== undefined; round++) {
    await enumerateCrashes(variant, round, counts);
  }
  const { phases } = counts;
  assert.ok(phases.recovery >= 50 && phases.roll >= 20, JSON.stringify(counts));
  assert.ok(phases.free >= 4 && phases.group >= 30, JSON.stringify(counts));
  assert.ok(counts.cut > 50 && counts.present > 1000, JSON.stringify(counts));
  assert.ok(counts.crashes > 400 && counts.redelivered > 10, JSON.stringify(counts));
  assert.ok(counts.torn > 3 && counts.refused === 0, JSON.stringify(counts));
});
