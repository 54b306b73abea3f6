import assert from "node:assert/strict";
import { test } from "node:test";
import { murmur2, partitionOfKey } from "./murmur2.ts";

void test("the hash is the one of Kafka's Java client, by the values of its own test", () => {
  const cases: Readonly<Record<string, number>> = {
    "21": -973932308,
    foobar: -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
    abc: 479470107,
  };
  for (const [text, want] of Object.entries(cases)) assert.equal(murmur2(Buffer.from(text)), want);
});

void test("a key's partition is its hash without the sign, modulo their number", () => {
  assert.equal(partitionOfKey(Buffer.from("21"), 7), (-973932308 & 0x7fffffff) % 7);
  assert.equal(partitionOfKey(Buffer.from("abc"), 10), 7);
  assert.equal(partitionOfKey(Buffer.alloc(0), 1), 0);
});
