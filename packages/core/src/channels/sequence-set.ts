/** Sequences `[first, end)`. */
export interface SequenceRange {
  readonly first: number;
  readonly end: number;
}

/**
 * A set of sequences as sorted disjoint ranges. Takes serve the lowest sequences first, so it stays
 * a few ranges, and changes stand near its ends.
 */
export class SequenceSet {
  #ranges: { first: number; end: number }[] = [];

  constructor(ranges: readonly SequenceRange[] = []) {
    for (const { first, end } of ranges) this.add(first, end);
  }

  get ranges(): readonly SequenceRange[] {
    return this.#ranges;
  }

  /** How many sequences there are. */
  get count(): number {
    return this.#ranges.reduce((sum, { first, end }) => sum + end - first, 0);
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Adds `[first, end)`; what is there already stays. */
  add(first: number, end: number): void {
    if (first >= end) return;
    const from = this.#firstEndingAtOrAfter(first);
    let to = from;
    let low = first;
    let high = end;
    for (; to < this.#ranges.length; to++) {
      const range = this.#ranges[to] as { first: number; end: number };
      if (range.first > end) break;
      low = Math.min(low, range.first);
      high = Math.max(high, range.end);
    }
    if (to - from === 1) {
      const range = this.#ranges[from] as { first: number; end: number };
      range.first = low;
      range.end = high;
    } else {
      this.#ranges.splice(from, to - from, { first: low, end: high });
    }
  }

  addAll(ranges: readonly SequenceRange[]): void {
    for (const { first, end } of ranges) this.add(first, end);
  }

  /** Forgets everything below `lowest`. */
  dropBelow(lowest: number): void {
    let drop = 0;
    while (drop < this.#ranges.length) {
      const range = this.#ranges[drop] as { first: number; end: number };
      if (range.end <= lowest) drop++;
      else {
        range.first = Math.max(range.first, lowest);
        break;
      }
    }
    if (drop > 0) this.#ranges.splice(0, drop);
  }

  /** How many of `[first, end)` are in the set. */
  countIn(first: number, end: number): number {
    let count = 0;
    for (let i = this.#firstEndingAtOrAfter(first); i < this.#ranges.length; i++) {
      const range = this.#ranges[i] as { first: number; end: number };
      if (range.first >= end) break;
      count += Math.max(0, Math.min(end, range.end) - Math.max(first, range.first));
    }
    return count;
  }

  /** What of `[first, end)` is not in the set. */
  missingIn(first: number, end: number): SequenceRange[] {
    const missing: SequenceRange[] = [];
    let next = first;
    for (let i = this.#firstEndingAtOrAfter(first); i < this.#ranges.length; i++) {
      const range = this.#ranges[i] as { first: number; end: number };
      if (range.first >= end) break;
      if (range.first > next) missing.push({ first: next, end: range.first });
      next = Math.max(next, range.end);
    }
    if (next < end) missing.push({ first: next, end });
    return missing;
  }

  /** Empties the set and returns what it held. */
  takeAll(): readonly SequenceRange[] {
    const ranges = this.#ranges;
    this.#ranges = [];
    return ranges;
  }

  #firstEndingAtOrAfter(sequence: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as { end: number }).end < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
