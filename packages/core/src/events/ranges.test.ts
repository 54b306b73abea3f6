import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  countRanges,
  invertRanges,
  joinRanges,
  liftRanges,
  type Ranges,
  splitByRanges,
} from "./ranges.ts";

const length = 24;
const positions = fc.uniqueArray(fc.nat(length - 1)).map((all) => all.sort((a, b) => a - b));

/** Ranges over the positions, as long as possible. */
function rangesOf(sorted: readonly number[]): Ranges {
  const ranges: { from: number; to: number }[] = [];
  for (const position of sorted) {
    const last = ranges.at(-1);
    if (last?.to === position) last.to++;
    else ranges.push({ from: position, to: position + 1 });
  }
  return ranges;
}

const positionsOf = (ranges: Ranges): number[] =>
  ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));

void test("ranges count the positions they cover", () => {
  fc.assert(fc.property(positions, (some) => countRanges(rangesOf(some)) === some.length));
});

void test("inverted ranges cover exactly what the ranges leave out", () => {
  fc.assert(
    fc.property(positions, (some) => {
      const rest = positionsOf(invertRanges(rangesOf(some), length));
      const left = Array.from({ length }, (_, i) => i).filter((i) => !some.includes(i));
      assert.deepEqual(rest, left);
    }),
  );
  assert.deepEqual(invertRanges([], 0), []);
});

void test("joined ranges are the union, sorted and merged where they touch", () => {
  fc.assert(
    fc.property(positions, positions, (a, b) => {
      const both = [...new Set([...a, ...b])].sort((x, y) => x - y);
      assert.deepEqual(joinRanges(rangesOf(a), rangesOf(b)), rangesOf(both));
    }),
  );
});

void test("lifted ranges name the positions that the inner batch was made of", () => {
  fc.assert(
    fc.property(positions, positions, (kept, chosen) => {
      const inner = chosen.filter((position) => position < kept.length);
      assert.deepEqual(
        liftRanges(rangesOf(inner), rangesOf(kept)),
        rangesOf(inner.map((position) => kept[position] as number)),
      );
    }),
  );
});

void test("a stretch split by ranges is whole, in order, and each part lies inside or outside", () => {
  fc.assert(
    fc.property(positions, fc.nat(length), fc.nat(length), (some, base, count) => {
      const parts = [...splitByRanges(rangesOf(some), base, count)];
      assert.deepEqual(
        positionsOf(parts),
        Array.from({ length: count }, (_, i) => i),
      );
      for (const part of parts) {
        for (const at of positionsOf([part])) assert.equal(part.isInside, some.includes(base + at));
      }
      for (const [i, part] of parts.entries()) {
        assert.notEqual(part.isInside, parts[i - 1]?.isInside, "as long as it can be");
      }
    }),
  );
});
