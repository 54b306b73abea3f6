import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { SequenceSet } from "./sequence-set.ts";

test("a sequence set agrees with a set of numbers", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = createSeededRandom(seed);
    const set = new SequenceSet();
    const model = new Set<number>();
    for (let i = 0; i < 60; i++) {
      const first = random.integer(80);
      const end = first + random.integer(9);
      if (random.integer(10) === 0) {
        set.dropBelow(first);
        for (const one of [...model]) if (one < first) model.delete(one);
      } else {
        set.add(first, end);
        for (let one = first; one < end; one++) model.add(one);
      }
      const flat = set.ranges.flatMap((range) =>
        Array.from({ length: range.end - range.first }, (_, n) => range.first + n),
      );
      assert.deepEqual(flat, [...model].sort((a, b) => a - b)); // prettier-ignore
      for (let r = 1; r < set.ranges.length; r++) {
        assert.ok((set.ranges[r - 1]?.end ?? 0) < (set.ranges[r]?.first ?? 0), "merged");
      }
      const inside = [...model].filter((one) => one >= first && one < end).length;
      assert.equal(set.countIn(first, end), inside);
      const missing = set.missingIn(first, end).reduce((sum, r) => sum + r.end - r.first, 0);
      assert.equal(missing, end - first - inside);
    }
  }
});

test("taking all leaves an empty set and does not share what it gave", () => {
  const set = new SequenceSet([{ first: 1, end: 3 }]);
  const taken = set.takeAll();
  set.add(3, 4);
  assert.deepEqual(taken, [{ first: 1, end: 3 }]);
  assert.equal(set.isEmpty, false);
});
