import type { SequenceRange } from "../event-store.ts";

/**
 * A set of sequences as sorted disjoint ranges. What is settled lies near what was settled before,
 * so an addition looks from the end.
 */
export class SequenceRanges {
  #ranges: { first: number; end: number }[] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** How many sequences there are. */
  get count(): number {
    return this.#ranges.reduce((sum, { first, end }) => sum + end - first, 0);
  }

  add(first: number, end: number): void {
    if (first >= end) return;
    let at = this.#ranges.length;
    while (at > 0 && (this.#ranges[at - 1] as SequenceRange).end >= first) at--;
    let after = at;
    let low = first;
    let high = end;
    for (; after < this.#ranges.length; after++) {
      const range = this.#ranges[after] as SequenceRange;
      if (range.first > end) break;
      low = Math.min(low, range.first);
      high = Math.max(high, range.end);
    }
    this.#ranges.splice(at, after - at, { first: low, end: high });
  }

  addAll(ranges: readonly SequenceRange[]): void {
    for (const { first, end } of ranges) this.add(first, end);
  }

  /** Empties the set and returns what it held. */
  takeAll(): readonly SequenceRange[] {
    const ranges = this.#ranges;
    this.#ranges = [];
    return ranges;
  }
}
