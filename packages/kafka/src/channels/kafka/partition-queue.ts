import type { EventBatch, Ranges } from "@millrace/core";
import assert from "node:assert/strict";

/** Events fetched together. `offsets[i]` is the offset of event i; offsets may have gaps. */
export interface FetchedEvents {
  readonly batch: EventBatch;
  readonly offsets: Float64Array;
  /** The partition's time of the first of them. */
  readonly timestampMs: number;
}

/** What became of an event of a chunk. */
const ready = 0;
const lent = 1;
const settled = 2;

interface Chunk extends FetchedEvents {
  readonly states: Uint8Array;
  unsettled: number;
  ready: number;
  /** No event below is ready; none below `firstUnsettled` is unsettled. */
  firstReady: number;
  firstUnsettled: number;
}

/** Events of one chunk that are lent together. */
export interface LentPiece {
  readonly queue: PartitionQueue;
  readonly chunk: object;
  /** Positions in the chunk. */
  readonly ranges: Ranges;
  readonly batch: EventBatch;
}

/**
 * The events of one partition from the moment they are fetched until they are settled, in the order
 * of their offsets:
 *
 *     committed   commitOffset                     position
 *        |            |                               |
 *     ---s-s-s-s-s-s--L--s--s--L--L--r--s--r--r--r--r-|-- not fetched yet
 *
 *     s settled, L lent, r ready
 *
 * Everything below `commitOffset` is settled, so that the group may forget it; nothing at or above
 * it may be, whatever else is settled there. What a taker gives back is ready again in its place.
 */
export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  /** What the group has committed, as far as we know. */
  committed: number;
  /** The offset behind the last record that the partition had when it was last read. */
  highWatermark: number;
  #position: number;
  #chunks: Chunk[] = [];
  #readyEvents = 0;
  #readyBytes = 0;
  #lentEvents = 0;
  #lentBytes = 0;
  #closed = false;

  constructor(topic: string, partition: number, position: number) {
    this.topic = topic;
    this.partition = partition;
    this.committed = position;
    this.highWatermark = position;
    this.#position = position;
  }

  /** The offset to fetch next. */
  get position(): number {
    return this.#position;
  }

  get readyEvents(): number {
    return this.#readyEvents;
  }

  get readyBytes(): number {
    return this.#readyBytes;
  }

  get lentEvents(): number {
    return this.#lentEvents;
  }

  get lentBytes(): number {
    return this.#lentBytes;
  }

  /** Whether it is another member's now: what is still lent of it changes nothing any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The lowest offset that is not settled. */
  get commitOffset(): number {
    const first = this.#chunks[0];
    return first === undefined ? this.#position : (first.offsets[first.firstUnsettled] as number);
  }

  /** The time of the oldest event that is not settled. */
  get oldestTimestampMs(): number | undefined {
    return this.#chunks[0]?.timestampMs;
  }

  /** Adds what was fetched at `position`; `nextOffset` is the position behind it. */
  add({ batch, offsets, timestampMs }: FetchedEvents, nextOffset: number): void {
    assert(nextOffset > this.#position, `fetched ${nextOffset} at ${this.#position}`);
    assert(offsets.length === batch.length, "every event has an offset");
    assert((offsets[0] ?? nextOffset) >= this.#position, "events come in order");
    this.#position = nextOffset;
    if (batch.length === 0) return;
    this.#chunks.push({
      batch,
      offsets,
      timestampMs,
      states: new Uint8Array(batch.length),
      unsettled: batch.length,
      ready: batch.length,
      firstReady: 0,
      firstUnsettled: 0,
    });
    this.#readyEvents += batch.length;
    this.#readyBytes += batch.byteLength;
  }

  /** Lends up to `max` of the lowest ready events of one chunk; undefined when none is ready. */
  take(max: number): LentPiece | undefined {
    const chunk = this.#chunks.find((candidate) => candidate.ready > 0);
    if (chunk === undefined) return undefined;
    const ranges: { from: number; to: number }[] = [];
    let count = 0;
    let at = chunk.firstReady;
    for (; at < chunk.states.length && count < max; at++) {
      if (chunk.states[at] !== ready) continue;
      chunk.states[at] = lent;
      count++;
      const last = ranges.at(-1);
      if (last?.to === at) last.to++;
      else ranges.push({ from: at, to: at + 1 });
    }
    chunk.firstReady = at;
    chunk.ready -= count;
    const batch = chunk.batch.select(ranges);
    this.#move(-count, -batch.byteLength);
    return { queue: this, chunk, ranges, batch };
  }

  /** Ends a loan: the ranges, which are positions in the piece, are settled; the rest is given back. */
  end(piece: LentPiece, settledRanges: Ranges): void {
    if (this.#closed) return;
    const chunk = piece.chunk as Chunk;
    let range = 0;
    let index = 0;
    let back = 0;
    for (const { from, to } of piece.ranges) {
      for (let at = from; at < to; at++, index++) {
        while (range < settledRanges.length && index >= (settledRanges[range]?.to ?? 0)) range++;
        const isSettled = index >= (settledRanges[range]?.from ?? Infinity);
        // One that the group settled meanwhile stays so.
        if (chunk.states[at] === settled) continue;
        chunk.states[at] = isSettled ? settled : ready;
        if (isSettled) chunk.unsettled--;
        else {
          back++;
          chunk.firstReady = Math.min(chunk.firstReady, at);
        }
      }
    }
    chunk.ready += back;
    this.#lentEvents -= piece.batch.length;
    this.#lentBytes -= piece.batch.byteLength;
    this.#readyEvents += back;
    this.#readyBytes += backBytes(piece, chunk, back);
    this.#drop(chunk);
  }

  /** Settles what lies below the offset: another member has delivered it. Says how many events. */
  settleBelow(offset: number): number {
    let count = 0;
    for (const chunk of [...this.#chunks]) {
      if ((chunk.offsets[chunk.firstUnsettled] as number) >= offset) break;
      for (let at = 0; at < chunk.states.length; at++) {
        if ((chunk.offsets[at] as number) >= offset || chunk.states[at] === settled) continue;
        if (chunk.states[at] === ready) {
          chunk.ready--;
          this.#readyEvents--;
          this.#readyBytes -= chunk.batch.bytesAt(at).length;
        }
        chunk.states[at] = settled;
        chunk.unsettled--;
        count++;
      }
      this.#drop(chunk);
    }
    this.skipTo(offset);
    return count;
  }

  /** Fetches from the offset on, or from where it is where that is behind: what lies between is not there. */
  skipTo(offset: number): void {
    this.#position = Math.max(this.#position, offset);
  }

  /** Gives everything up: the partition is another member's, who gets all that is not committed. */
  close(): void {
    this.#closed = true;
    this.#chunks = [];
    this.#readyEvents = 0;
    this.#readyBytes = 0;
    this.#lentEvents = 0;
    this.#lentBytes = 0;
  }

  #move(events: number, bytes: number): void {
    this.#readyEvents += events;
    this.#readyBytes += bytes;
    this.#lentEvents -= events;
    this.#lentBytes -= bytes;
  }

  /** Moves over what is settled; a chunk that is settled whole is let go, wherever it lies. */
  #drop(chunk: Chunk): void {
    if (chunk.unsettled === 0) {
      const index = this.#chunks.indexOf(chunk);
      if (index >= 0) this.#chunks.splice(index, 1);
      return;
    }
    while (chunk.states[chunk.firstUnsettled] === settled) chunk.firstUnsettled++;
  }
}

/** Bytes of the events of the piece that are ready again. */
function backBytes(piece: LentPiece, chunk: Chunk, back: number): number {
  if (back === 0) return 0;
  if (back === piece.batch.length) return piece.batch.byteLength;
  let bytes = 0;
  for (const { from, to } of piece.ranges) {
    for (let at = from; at < to; at++) {
      if (chunk.states[at] === ready) bytes += chunk.batch.bytesAt(at).length;
    }
  }
  return bytes;
}
