import { createFakeClock, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFileNames } from "./file-names.ts";
import { options } from "./options.ts";

const startMs = new Date(2026, 0, 2, 3, 4, 5).getTime();

function make(properties: Record<string, string>) {
  const clock = createFakeClock(startMs);
  const values = optionsOf(options, { "sink.directory": "/d", ...properties });
  return { clock, names: createFileNames(values, clock) };
}

test("names are the start in milliseconds and a number that goes on", async () => {
  const { clock, names } = make({});
  assert.equal(names.next(), `${startMs}-1`);
  await clock.advance(60_000);
  assert.equal(names.next(), `${startMs}-2`);
});

test("names carry prefix and extension (T458)", () => {
  const given = { "sink.pathManager.prefix": "test3-", "sink.pathManager.extension": "txt" };
  assert.equal(make(given).names.next(), `test3-${startMs}-1.txt`);
});

test("rolltime names carry the local time, and number within a second (T459)", async () => {
  const { clock, names } = make({ "sink.pathManager": "rolltime", "sink.pathManager.prefix": "p" });
  assert.deepEqual([names.next(), names.next()], ["p20260102030405-1", "p20260102030405-2"]);
  await clock.advance(1000);
  assert.equal(names.next(), "p20260102030406-1");
});
