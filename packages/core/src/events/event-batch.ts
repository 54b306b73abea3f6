import assert from "node:assert/strict";
import { beginHeaders, createHeaderWalk, decodeEvent, nameIs, nextHeader } from "./avro-event.ts";
import type { Event } from "./event.ts";
import { EventBatchBuilder } from "./event-batch-builder.ts";
import { countRanges, type Ranges } from "./ranges.ts";
import { scanEventArray, scanEvents } from "./scan-events.ts";

/**
 * Events `from..to` of a slab. `offsets` has one entry more than the slab has events: event i lies
 * in `slab[offsets[i], offsets[i + 1])`. Events of a slab lie back to back.
 */
export interface Run {
  readonly slab: Buffer;
  readonly offsets: Uint32Array;
  readonly from: number;
  readonly to: number;
}

/** Where a batch was first made durable: who wrote it, and the sequence of its first event. */
export interface Origin {
  readonly run: string;
  readonly sequence: number;
}

/**
 * The unit that moves: an immutable list of runs over slabs of event bytes. Slicing and joining
 * share slabs and copy nothing; whatever changes bytes writes one new slab. A batch may be held by
 * several channels and a writer at once, so no one writes into a slab it did not just make.
 */
export class EventBatch implements Iterable<Event> {
  static readonly empty: EventBatch = new EventBatch([], 0);

  readonly length: number;
  readonly origin: Origin | undefined;
  readonly #runs: readonly Run[];
  /** The run that `#locate` found last, and the position of its first event. */
  #foundRun = 0;
  #foundBase = 0;

  private constructor(runs: readonly Run[], length: number, origin?: Origin) {
    this.#runs = runs;
    this.length = length;
    this.origin = origin;
  }

  /** Encodes events; the batch owns its bytes. */
  static fromEvents(
    events: Iterable<{ headers?: ReadonlyMap<string, string>; body: Uint8Array }>,
  ): EventBatch {
    const builder = new EventBatchBuilder();
    for (const event of events) builder.add(event.headers, event.body);
    return builder.build();
  }

  /** Wraps bytes that are known to hold `offsets.length - 1` whole events. The slab is not copied. */
  static fromSlab(slab: Buffer, offsets: Uint32Array, origin?: Origin): EventBatch {
    assert(offsets.length > 0, "offsets hold one more entry than there are events");
    const count = offsets.length - 1;
    if (count === 0) return EventBatch.empty;
    return new EventBatch([{ slab, offsets, from: 0, to: count }], count, origin);
  }

  /**
   * Finds `count` events back to back in `slab[start, end)` and checks that they are well formed
   * and fill it exactly. Throws EVENT_MALFORMED; never reads outside, never allocates by a count
   * that the bytes cannot hold.
   */
  static scan(
    slab: Buffer,
    start: number,
    end: number,
    count: number,
    origin?: Origin,
  ): EventBatch {
    const found = scanEvents(slab, start, end, count);
    return EventBatch.fromSlab(found.slab, found.offsets, origin);
  }

  /**
   * Reads an Avro `array<AvroFlumeEvent>` from `slab[start, end)`, which it must fill exactly:
   * blocks of events, each with a positive count or a negative one followed by its byte size, then
   * a zero. Throws EVENT_MALFORMED.
   */
  static scanArray(slab: Buffer, start: number, end: number): EventBatch {
    const found = scanEventArray(slab, start, end);
    return EventBatch.fromSlab(found.slab, found.offsets);
  }

  /**
   * The batches one after another, in O(runs), without copying. The origin is kept only where each
   * batch continues the one before it.
   */
  static join(batches: readonly EventBatch[]): EventBatch {
    const filled = batches.filter(({ length }) => length > 0);
    const [first] = filled;
    if (first === undefined) return EventBatch.empty;
    if (filled.length === 1) return first;
    const runs: Run[] = [];
    let length = 0;
    let origin = first.origin;
    for (const batch of filled) {
      if (origin !== undefined && !continues(origin, length, batch.origin)) origin = undefined;
      for (const run of batch.#runs) runs.push(run);
      length += batch.length;
    }
    return new EventBatch(runs, length, origin);
  }

  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** Bytes of the events, back to back. */
  get byteLength(): number {
    let bytes = 0;
    for (const run of this.#runs) bytes += runBytes(run);
    return bytes;
  }

  /** Bytes of the slabs this batch keeps alive, each counted once. */
  get heldBytes(): number {
    const first = this.#runs[0];
    if (first === undefined) return 0;
    if (this.#runs.length === 1) return first.slab.length;
    const slabs = new Set<Buffer>();
    for (const run of this.#runs) slabs.add(run.slab);
    let bytes = 0;
    for (const slab of slabs) bytes += slab.length;
    return bytes;
  }

  at(index: number): Event {
    const { run, position } = this.#locate(index);
    return decodeEvent(run.slab, offset(run, position), offset(run, position + 1));
  }

  /** The bytes of one event, a view. */
  bytesAt(index: number): Buffer {
    const { run, position } = this.#locate(index);
    return run.slab.subarray(offset(run, position), offset(run, position + 1));
  }

  /** The value of one header, found in the bytes without decoding the rest. */
  headerAt(index: number, name: Buffer): string | undefined {
    const { run, position } = this.#locate(index);
    const { slab } = run;
    const end = offset(run, position + 1);
    let valueStart = -1;
    let valueEnd = -1;
    beginHeaders(walk, offset(run, position));
    while (nextHeader(slab, walk, end)) {
      if (!nameIs(slab, walk, name)) continue;
      valueStart = walk.valueStart;
      valueEnd = walk.valueEnd;
    }
    return valueStart < 0 ? undefined : slab.toString("utf8", valueStart, valueEnd);
  }

  *[Symbol.iterator](): Iterator<Event> {
    for (const { slab, offsets, from, to } of this.#runs) {
      for (let i = from; i < to; i++) {
        yield decodeEvent(slab, offsets[i] as number, offsets[i + 1] as number);
      }
    }
  }

  /** Events `[from, to)`, sharing slabs. */
  slice(from: number, to: number = this.length): EventBatch {
    assert(from >= 0 && from <= to && to <= this.length, `slice ${from}..${to} of ${this.length}`);
    if (from === 0 && to === this.length) return this;
    if (from === to) return EventBatch.empty;
    const runs: Run[] = [];
    let base = 0;
    for (const run of this.#runs) {
      const size = run.to - run.from;
      const start = Math.max(from - base, 0);
      const end = Math.min(to - base, size);
      if (start < end) {
        runs.push({
          slab: run.slab,
          offsets: run.offsets,
          from: run.from + start,
          to: run.from + end,
        });
      }
      base += size;
      if (base >= to) break;
    }
    const origin =
      this.origin === undefined
        ? undefined
        : { run: this.origin.run, sequence: this.origin.sequence + from };
    return new EventBatch(runs, to - from, origin);
  }

  /** The events in the ranges, in order, sharing slabs, in O(runs + ranges). */
  select(ranges: Ranges): EventBatch {
    const only = ranges[0];
    if (ranges.length === 1 && only !== undefined) return this.slice(only.from, only.to);
    const runs: Run[] = [];
    let length = 0;
    let next = 0;
    let base = 0;
    for (const { slab, offsets, from, to } of this.#runs) {
      const after = base + to - from;
      for (; next < ranges.length; next++) {
        const range = ranges[next] as Ranges[number];
        const start = Math.max(range.from, base);
        const end = Math.min(range.to, after);
        if (start < end) {
          runs.push({ slab, offsets, from: from + start - base, to: from + end - base });
          length += end - start;
        }
        if (range.to > after) break;
      }
      base = after;
    }
    assert(length === countRanges(ranges), `ranges outside of ${this.length} events`);
    return length === 0 ? EventBatch.empty : new EventBatch(runs, length);
  }

  /** The events for which `keep` holds, sharing slabs. */
  filter(keep: (event: Event, index: number) => boolean): EventBatch {
    const ranges: { from: number; to: number }[] = [];
    let index = 0;
    for (const event of this) {
      if (keep(event, index)) {
        const last = ranges.at(-1);
        if (last !== undefined && last.to === index) last.to++;
        else ranges.push({ from: index, to: index + 1 });
      }
      index++;
    }
    return countIs(ranges, this.length) ? this : this.select(ranges);
  }

  /** A new batch of what `change` returns; undefined drops the event. One new slab is written. */
  map(change: (event: Event, index: number) => Event | undefined): EventBatch {
    const builder = new EventBatchBuilder();
    let index = 0;
    for (const event of this) {
      const changed = change(event, index++);
      if (changed !== undefined) builder.add(changed.headers, changed.body);
    }
    return builder.build();
  }

  /** The event bytes in order, as few views as possible, for a vectored write. */
  gather(): Buffer[] {
    return this.#runs.map((run) => run.slab.subarray(offset(run, run.from), offset(run, run.to)));
  }

  /** The same events in one new slab that holds nothing else. */
  copy(): EventBatch {
    const slab = Buffer.allocUnsafeSlow(this.byteLength);
    const offsets = new Uint32Array(this.length + 1);
    let at = 0;
    let index = 0;
    for (const run of this.#runs) {
      const start = offset(run, run.from);
      const shift = at - start;
      for (let i = run.from; i < run.to; i++) offsets[index++] = (run.offsets[i] as number) + shift;
      at += run.slab.copy(slab, at, start, offset(run, run.to));
    }
    offsets[index] = at;
    return EventBatch.fromSlab(slab, offsets, this.origin);
  }

  /** This batch, or a copy where under half of the bytes it keeps alive are its own. */
  compact(): EventBatch {
    return this.length > 0 && this.byteLength * 2 < this.heldBytes ? this.copy() : this;
  }

  /** Finds an event's run, from the last one found on: looking at all in order takes O(length). */
  #locate(index: number): { run: Run; position: number } {
    assert(index >= 0 && index < this.length, `event ${index} of ${this.length}`);
    if (index < this.#foundBase) {
      this.#foundRun = 0;
      this.#foundBase = 0;
    }
    for (; this.#foundRun < this.#runs.length; this.#foundRun++) {
      const run = this.#runs[this.#foundRun] as Run;
      const position = run.from + index - this.#foundBase;
      if (position < run.to) return { run, position };
      this.#foundBase += run.to - run.from;
    }
    assert.fail("runs are shorter than the batch");
  }
}

/** Reused by `headerAt`, which calls nothing that could call it again. */
const walk = createHeaderWalk();

function offset(run: Run, position: number): number {
  return run.offsets[position] as number;
}

function runBytes(run: Run): number {
  return offset(run, run.to) - offset(run, run.from);
}

function countIs(ranges: Ranges, length: number): boolean {
  const only = ranges[0];
  return length === 0 || (ranges.length === 1 && only?.from === 0 && only.to === length);
}

function continues(origin: Origin, length: number, next: Origin | undefined): boolean {
  return next?.run === origin.run && next.sequence === origin.sequence + length;
}
