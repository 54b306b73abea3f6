/** Half-open ranges `[from, to)` of positions in a batch: sorted, disjoint, none empty. */
export type Ranges = readonly { readonly from: number; readonly to: number }[];

/** How many positions the ranges cover. */
export function countRanges(ranges: Ranges): number {
  let count = 0;
  for (const { from, to } of ranges) count += to - from;
  return count;
}

/** The positions of `[0, length)` that the ranges leave out. */
export function invertRanges(ranges: Ranges, length: number): Ranges {
  const rest: { from: number; to: number }[] = [];
  let next = 0;
  for (const { from, to } of ranges) {
    if (from > next) rest.push({ from: next, to: from });
    next = to;
  }
  if (next < length) rest.push({ from: next, to: length });
  return rest;
}

/** The union of two sets of ranges, sorted and merged where they touch. */
export function joinRanges(a: Ranges, b: Ranges): Ranges {
  const sorted = [...a, ...b].sort((x, y) => x.from - y.from);
  const joined: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  return joined;
}

/**
 * Ranges over what was left of a batch, as ranges over the batch itself: `kept` says which positions
 * of the batch the inner one was made of.
 */
export function liftRanges(inner: Ranges, kept: Ranges): Ranges {
  const lifted: { from: number; to: number }[] = [];
  let base = 0;
  for (const { from, to } of kept) {
    const length = to - from;
    for (const range of inner) {
      const start = Math.max(range.from, base);
      const end = Math.min(range.to, base + length);
      if (start < end) lifted.push({ from: from + start - base, to: from + end - base });
    }
    base += length;
  }
  return joinRanges(lifted, []);
}

/**
 * What the ranges hold of the `length` positions from `base` on, and what they leave out, in order,
 * counted from `base`. Each part is as long as it can be.
 */
export function* splitByRanges(
  ranges: Ranges,
  base: number,
  length: number,
): Generator<{ readonly from: number; readonly to: number; readonly isInside: boolean }> {
  let at = 0;
  for (const range of ranges) {
    const from = Math.max(range.from - base, at);
    const to = Math.min(range.to - base, length);
    if (from >= to) continue;
    if (from > at) yield { from: at, to: from, isInside: false };
    yield { from, to, isInside: true };
    at = to;
  }
  if (at < length) yield { from: at, to: length, isInside: false };
}
