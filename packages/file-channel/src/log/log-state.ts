import { type SequenceRange, SequenceSet } from "@millrace/core";
import type { LiveSegment, Snapshot } from "../format/snapshot.ts";
import type { Segment } from "./segment.ts";

/**
 * What the log holds, as far as it is synced: what a SNAPSHOT written now would say. Acknowledged
 * sequences below `lowest` are forgotten, so the set stays small.
 */
export class LogState {
  nextSequence: number;
  lowest: number;
  readonly acknowledged: SequenceSet;
  readonly #discarded = new SequenceSet();
  putTotal: number;
  takenTotal: number;
  discardedTotal: number;
  /** By id, and so by sequence; the active one is the last. */
  segments: Segment[] = [];

  constructor(from: Snapshot, nextSequence: number) {
    this.nextSequence = nextSequence;
    this.lowest = from.lowest;
    this.acknowledged = new SequenceSet(from.acknowledged);
    this.putTotal = from.putTotal;
    this.takenTotal = from.takenTotal;
    this.discardedTotal = from.discardedTotal;
  }

  /** Events put and not acknowledged. */
  get held(): number {
    const above = this.nextSequence - this.lowest;
    return above - this.acknowledged.countIn(this.lowest, this.nextSequence);
  }

  put(segment: Segment, count: number): void {
    this.nextSequence += count;
    this.putTotal += count;
    segment.nextSequence = this.nextSequence;
    segment.unacknowledged += count;
  }

  acknowledge(ranges: readonly SequenceRange[]): void {
    for (const { first, end } of ranges) {
      for (const missing of this.acknowledged.missingIn(Math.max(first, this.lowest), end)) {
        const discarded = this.#discarded.countIn(missing.first, missing.end);
        this.discardedTotal += discarded;
        this.takenTotal += missing.end - missing.first - discarded;
        this.#countDown(missing);
      }
      this.acknowledged.add(Math.max(first, this.lowest), end);
    }
    const front = this.acknowledged.ranges[0];
    if (front !== undefined && front.first <= this.lowest) {
      this.lowest = front.end;
      this.acknowledged.dropBelow(this.lowest);
      this.#discarded.dropBelow(this.lowest);
    }
  }

  /** When these are acknowledged, they have not been delivered. */
  discard({ first, end }: SequenceRange): void {
    this.#discarded.add(first, end);
  }

  /** What of these ranges was not delivered. */
  discardedIn(ranges: readonly SequenceRange[]): SequenceRange[] {
    return ranges.flatMap((range) =>
      this.#discarded.ranges
        .map(({ first, end }) => ({
          first: Math.max(first, range.first),
          end: Math.min(end, range.end),
        }))
        .filter(({ first, end }) => first < end),
    );
  }

  snapshot(): Snapshot {
    return {
      lowest: this.lowest,
      acknowledged: this.acknowledged.ranges,
      putTotal: this.putTotal,
      takenTotal: this.takenTotal,
      discardedTotal: this.discardedTotal,
      segments: this.segments.filter((segment) => segment.unacknowledged > 0).map(toLive),
    };
  }

  #countDown({ first, end }: SequenceRange): void {
    for (const segment of this.segments) {
      if (segment.header.firstSequence >= end) break;
      const low = Math.max(first, segment.header.firstSequence);
      const high = Math.min(end, segment.nextSequence);
      if (low < high) segment.unacknowledged -= high - low;
    }
  }
}

function toLive(segment: Segment): LiveSegment {
  return {
    id: segment.id,
    run: segment.header.run,
    directory: segment.directory,
    end: segment.end,
    firstSequence: segment.header.firstSequence,
    nextSequence: segment.nextSequence,
  };
}
