import {
  beginHeaders,
  createHeaderWalk,
  nameIs,
  nextHeader,
  stringBytes,
  writeLong,
  writeString,
} from "./avro-event.ts";
import { EventBatch } from "./event-batch.ts";

/** One header to set on every event; `preserveExisting` leaves an event alone that has it. */
export interface HeaderEdit {
  readonly name: string;
  readonly value: string;
  readonly preserveExisting: boolean;
}

/**
 * What an interceptor that only sets headers declares: `edits` is asked once per batch. Neighbours
 * are fused into one pass over the bytes.
 */
export interface HeaderEdits {
  edits(): readonly HeaderEdit[];
}

/** The same effect as applying the edits one after another, with each name at most once. */
export function fuseEdits(edits: readonly HeaderEdit[]): HeaderEdit[] {
  const fused = new Map<string, HeaderEdit>();
  for (const edit of edits) {
    // Behind any edit of the name, the header exists: a preserving one changes nothing.
    if (edit.preserveExisting && fused.has(edit.name)) continue;
    fused.set(edit.name, edit);
  }
  return [...fused.values()];
}

/**
 * Sets headers on every event in one pass, writing one new slab: the new entries go right behind
 * the first block's count, an old entry of the same name is cut out, everything else is copied as
 * bytes. Events with several blocks, or a negative count, come out with one positive block.
 *
 *   slab   | edited events -->   | the events as they were, read from here | new entries |
 *
 * Moving bytes inside one slab is the cheapest copy there is. What is written never reaches what
 * is still to be read: the gap at the start is as long as all events together can grow.
 */
export function editHeaders(batch: EventBatch, edits: readonly HeaderEdit[]): EventBatch {
  const entries = fuseEdits(edits).map(encodeEdit);
  if (entries.length === 0 || batch.length === 0) return batch;
  let added = 0;
  for (const { bytes } of entries) added += bytes.length;
  const eventsAt = batch.length * (added + countBytesGrown);
  const entriesAt = eventsAt + batch.byteLength;
  const slab = Buffer.allocUnsafeSlow(entriesAt + added);
  const editor = new EventEditor(slab, entriesAt, entries);
  const offsets = new Uint32Array(batch.length + 1);
  let readAt = eventsAt;
  let at = 0;
  let index = 0;
  for (const { slab: from, offsets: ends, from: first, to } of batch.runs) {
    const start = ends[first] as number;
    from.copy(slab, readAt, start, ends[to] as number);
    const shift = readAt - start;
    for (let i = first; i < to; i++) {
      const end = (ends[i + 1] as number) + shift;
      at = editor.edit(readAt, end, at);
      readAt = end;
      offsets[++index] = at;
    }
  }
  const trimmed = EventBatch.fromSlab(slab.subarray(0, at), offsets, batch.origin);
  // Where entries were replaced rather than added the slab is too large for what it holds.
  return at * 8 < slab.length * 7 ? trimmed.copy() : trimmed;
}

/** A count of up to five bytes comes where one of at least one byte, or the closing zero, was. */
const countBytesGrown = 4;

interface EncodedEdit {
  readonly name: Buffer;
  /** Name and value, as they stand in the map. */
  readonly bytes: Buffer;
  readonly preserveExisting: boolean;
}

function encodeEdit({ name, value, preserveExisting }: HeaderEdit): EncodedEdit {
  const bytes = Buffer.allocUnsafe(stringBytes(name) + stringBytes(value));
  writeString(bytes, writeString(bytes, 0, name), value);
  return { name: Buffer.from(name), bytes, preserveExisting };
}

/** Rewrites events of one slab, one after another, keeping nothing of one for the next. */
class EventEditor {
  readonly #slab: Buffer;
  readonly #edits: readonly EncodedEdit[];
  /** Where in the slab the entry of each edit lies, back to back; one more for the end. */
  readonly #entryAt: number[] = [];
  readonly #walk = createHeaderWalk();
  /** Per edit, whether the event keeps its own header of that name. */
  readonly #preserved: boolean[];
  /** Starts and ends of what is copied from the event, neighbours joined. */
  readonly #spans: number[] = [];
  #spanCount = 0;

  constructor(slab: Buffer, entriesAt: number, edits: readonly EncodedEdit[]) {
    this.#slab = slab;
    this.#edits = edits;
    this.#preserved = edits.map(() => false);
    let at = entriesAt;
    for (const { bytes } of edits) {
      this.#entryAt.push(at);
      at += bytes.copy(slab, at);
    }
    this.#entryAt.push(at);
  }

  /** Writes the event in `[start, end)` with its edits at `at`; returns the offset behind it. */
  edit(start: number, end: number, at: number): number {
    const slab = this.#slab;
    const kept = this.#chooseSpans(start, end);
    let added = 0;
    for (const preserved of this.#preserved) if (!preserved) added++;
    // At least one: an edit that adds nothing has found the header it preserves.
    at = writeLong(slab, at, kept + added);
    at = this.#writeEntries(at, added);
    const spans = this.#spans;
    for (let i = 0; i < this.#spanCount; i += 2) {
      at = this.#move(at, spans[i] as number, spans[i + 1] as number);
    }
    return at;
  }

  /** Finds what stays of the event; returns how many of its headers do. */
  #chooseSpans(start: number, end: number): number {
    const slab = this.#slab;
    const walk = this.#walk;
    this.#preserved.fill(false);
    this.#spanCount = 0;
    let kept = 0;
    beginHeaders(walk, start);
    while (nextHeader(slab, walk, end)) {
      const edit = this.#findEdit();
      if (edit >= 0) {
        if (!(this.#edits[edit] as EncodedEdit).preserveExisting) continue;
        this.#preserved[edit] = true;
      }
      kept++;
      this.#addSpan(walk.entryStart, walk.valueEnd);
    }
    // The zero that ends the map, and the body.
    this.#addSpan(walk.entryStart, end);
    return kept;
  }

  #findEdit(): number {
    for (let i = 0; i < this.#edits.length; i++) {
      if (nameIs(this.#slab, this.#walk, (this.#edits[i] as EncodedEdit).name)) return i;
    }
    return -1;
  }

  #addSpan(from: number, to: number): void {
    const spans = this.#spans;
    const last = this.#spanCount - 1;
    if (last > 0 && spans[last] === from) {
      spans[last] = to;
    } else {
      spans[last + 1] = from;
      spans[last + 2] = to;
      this.#spanCount += 2;
    }
  }

  #writeEntries(at: number, added: number): number {
    const starts = this.#entryAt;
    const count = this.#edits.length;
    if (added === count) return this.#move(at, starts[0] as number, starts[count] as number);
    for (let i = 0; i < count; i++) {
      if (this.#preserved[i] === true) continue;
      at = this.#move(at, starts[i] as number, starts[i + 1] as number);
    }
    return at;
  }

  #move(at: number, from: number, to: number): number {
    this.#slab.copyWithin(at, from, to);
    return at + to - from;
  }
}
