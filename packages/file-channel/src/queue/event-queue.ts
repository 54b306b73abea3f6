import { EventBatch, type SequenceRange } from "@millrace/core";
import type { Segment } from "../log/segment.ts";
import { continuesPiece, cutPiece, type Piece, withOrigin } from "./piece.ts";
import { SmallSlab, smallPutBytes } from "./small-slab.ts";

/** Stored events of one segment that are not in memory. */
export interface Stretch {
  readonly segment: Segment;
  /** Where to read on. */
  offset: number;
  /** Where to stop: behind a group that was written whole. */
  end: number;
  nextSequence: number;
  endSequence: number;
  /** Not settled, as far as known before reading. */
  events: number;
  /** Put time of its next event, or of one shortly before; undefined while it is not known. */
  putTimeMs?: number | undefined;
  roomBytes: number;
}

/** A put, or what was read back of one. */
export interface StoredEvents {
  readonly batch: EventBatch;
  readonly run: string;
  readonly sequence: number;
  readonly roomBytes: number;
  readonly putTimeMs: number;
}

/** Where stored events stand on disk. */
export interface Place {
  readonly segment: Segment;
  readonly offset: number;
  readonly end: number;
}

/** Puts further apart are not merged into one piece, whose put time is that of its first event. */
const mergedMsMax = 1000;

/**
 * Events that may be taken, by sequence. The oldest are in memory, whatever does not fit
 * `memoryBytes` is left on disk behind them until it is their turn:
 *
 *   taken from here                             put here, or on disk once anything is
 *   ┌──────────────── pieces ────────────────┐┌──────── stretches ────────┐
 *   │ returned │ in memory ...               ││ segment 7 │ segment 8 ... │
 *   └────────────────────────────────────────┘└───────────────────────────┘
 */
export class EventQueue {
  /** What the pieces may keep alive; what is in memory already stays when it is lowered. */
  memoryBytes: number;
  #pieces: Piece[] = [];
  #head = 0;
  #stretches: Stretch[] = [];
  /** Bytes of slabs that pieces and lent batches keep alive. */
  #heldBytes = 0;
  #unreadBytes = 0;
  readonly #small = new SmallSlab();
  /** The last piece, when it ends where the small slab does, and its first index there. */
  #tail: { piece: Piece; from: number } | undefined;

  constructor(memoryBytes: number) {
    this.memoryBytes = memoryBytes;
  }

  get isEmpty(): boolean {
    return this.#head === this.#pieces.length;
  }

  get first(): Piece | undefined {
    return this.#pieces[this.#head];
  }

  /** Event bytes in memory that may be taken. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get firstStretch(): Stretch | undefined {
    return this.#stretches[0];
  }

  /** A backlog found at start. */
  addStretch(stretch: Stretch): void {
    this.#stretches.push(stretch);
  }

  dropFirstStretch(): void {
    const dropped = this.#stretches.shift();
    const next = this.#stretches[0];
    if (next !== undefined) next.putTimeMs ??= dropped?.putTimeMs;
  }

  /** Adds a put: to memory while that fits, else it is known by its place on disk only. */
  append(events: StoredEvents, place: Place): void {
    if (events.batch.length === 0) return;
    const over = this.#heldBytes + events.batch.byteLength > this.memoryBytes;
    if (this.#stretches.length > 0 || (over && !this.isEmpty)) this.#spill(events, place);
    else this.appendRead(events);
  }

  /** Adds what was read back, or a put that stays in memory. The batch may be kept as it is. */
  appendRead(events: StoredEvents): void {
    const { batch, run, sequence, roomBytes, putTimeMs } = events;
    this.#unreadBytes += batch.byteLength;
    if (batch.byteLength < smallPutBytes) {
      this.#appendSmall(events);
      return;
    }
    const owned = withOrigin(batch.compact(), { run, sequence });
    this.#heldBytes += owned.heldBytes;
    this.#pieces.push({ sequence, run, batch: owned, roomBytes, putTimeMs });
    this.#tail = undefined;
  }

  /** Up to `max` events of one run, without a gap between them: the lowest there are. */
  take(max: number): Piece[] {
    const taken: Piece[] = [];
    let count = 0;
    while (count < max) {
      const piece = this.first;
      const last = taken.at(-1);
      if (piece === undefined || (last !== undefined && !continuesPiece(last, piece))) break;
      const got = piece.batch.length <= max - count ? this.#shift(piece) : this.#cut(max - count);
      taken.push(got);
      count += got.batch.length;
      this.#unreadBytes -= got.batch.byteLength;
    }
    return taken;
  }

  /** Puts lent events, which were forgotten, back in their own places. */
  putBack(piece: Piece): void {
    const batch = piece.batch.compact();
    this.#heldBytes += batch.heldBytes;
    this.#unreadBytes += batch.byteLength;
    this.#insert({ ...piece, batch });
  }

  /** Lent events that come back: their memory is no longer this queue's, whatever is put back. */
  forget(piece: Piece): void {
    this.#heldBytes -= piece.batch.heldBytes;
  }

  clear(): void {
    this.#pieces = [];
    this.#head = 0;
    this.#stretches = [];
    this.#tail = undefined;
  }

  #appendSmall({ batch, run, sequence, roomBytes, putTimeMs }: StoredEvents): void {
    const from = this.#small.count;
    const same = this.#small.add(batch);
    const tail = this.#tail;
    const goesOn =
      same &&
      tail !== undefined &&
      tail.piece === this.#pieces.at(-1) &&
      this.#pieces.length > this.#head &&
      tail.piece.run === run &&
      Math.abs(putTimeMs - tail.piece.putTimeMs) <= mergedMsMax &&
      tail.piece.sequence + tail.piece.batch.length === sequence;
    if (goesOn) {
      const { piece, from: first } = tail;
      const merged: Piece = {
        ...piece,
        batch: this.#small.eventsFrom(first, { run, sequence: piece.sequence }),
        roomBytes: piece.roomBytes + roomBytes,
      };
      this.#pieces[this.#pieces.length - 1] = merged;
      this.#tail = { piece: merged, from: first };
      return;
    }
    const start = same ? from : 0;
    const piece: Piece = {
      sequence,
      run,
      batch: this.#small.eventsFrom(start, { run, sequence }),
      roomBytes,
      putTimeMs,
    };
    this.#heldBytes += piece.batch.heldBytes;
    this.#pieces.push(piece);
    this.#tail = { piece, from: start };
  }

  #spill(
    { batch, sequence, roomBytes, putTimeMs }: StoredEvents,
    { segment, offset, end }: Place,
  ): void {
    const last = this.#stretches.at(-1);
    if (last !== undefined && last.segment === segment) {
      last.end = end;
      last.endSequence = sequence + batch.length;
      last.events += batch.length;
      last.roomBytes += roomBytes;
      return;
    }
    this.#stretches.push({
      segment,
      offset,
      end,
      nextSequence: sequence,
      endSequence: sequence + batch.length,
      events: batch.length,
      roomBytes,
      putTimeMs,
    });
  }

  #shift(piece: Piece): Piece {
    this.#pieces[this.#head] = undefined as never;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#pieces.length) {
      this.#pieces = this.#pieces.slice(this.#head);
      this.#head = 0;
    }
    return piece;
  }

  /** Takes the front of the first piece; what is left of it is copied out under half live. */
  #cut(count: number): Piece {
    const piece = this.first as Piece;
    const { front, rest } = cutPiece(piece, count);
    const isTail = this.#tail?.piece === piece;
    const kept = isTail ? rest : { ...rest, batch: rest.batch.compact() };
    this.#pieces[this.#head] = kept;
    if (isTail && this.#tail !== undefined) {
      this.#tail = { piece: kept, from: this.#tail.from + count };
    }
    this.#heldBytes += front.batch.heldBytes + kept.batch.heldBytes - piece.batch.heldBytes;
    return front;
  }

  #insert(piece: Piece): void {
    let low = this.#head;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#pieces[middle] as Piece).sequence < piece.sequence) low = middle + 1;
      else high = middle;
    }
    if (low === this.#head && this.#head > 0) this.#pieces[--this.#head] = piece;
    else this.#pieces.splice(low, 0, piece);
  }
}

/** The lent pieces as one batch, whose origin covers all of it. */
export function joinPieces(pieces: readonly Piece[]): EventBatch {
  return EventBatch.join(pieces.map(({ batch }) => batch));
}

/** Sequences of a piece. */
export function rangeOf(piece: Piece): SequenceRange {
  return { first: piece.sequence, end: piece.sequence + piece.batch.length };
}
