import { eachHeader, stringBytes, writeLong, writeString } from "./avro-event.ts";
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

interface EncodedEdit {
  readonly name: Buffer;
  readonly entry: Buffer;
  readonly preserveExisting: boolean;
}

/**
 * Sets headers on every event in one pass, writing one new slab: the new entries go right behind
 * the first block's count, an old entry of the same name is cut out, everything else is copied as
 * bytes. Events with several blocks, or a negative count, come out with one positive block.
 */
export function editHeaders(batch: EventBatch, edits: readonly HeaderEdit[]): EventBatch {
  const encoded = fuseEdits(edits).map(encodeEdit);
  if (encoded.length === 0 || batch.length === 0) return batch;
  let added = 0;
  for (const { entry } of encoded) added += entry.length;
  // The count may grow by up to four bytes beside the new entries.
  const slab = Buffer.allocUnsafeSlow(batch.byteLength + batch.length * (added + 4));
  const offsets = new Uint32Array(batch.length + 1);
  let at = 0;
  let index = 0;
  for (const run of batch.runs) {
    for (let i = run.from; i < run.to; i++) {
      at = editEvent(
        run.slab,
        run.offsets[i] as number,
        run.offsets[i + 1] as number,
        encoded,
        slab,
        at,
      );
      offsets[++index] = at;
    }
  }
  const trimmed = EventBatch.fromSlab(slab.subarray(0, at), offsets, batch.origin);
  // Where entries were replaced rather than added the slab is too large for what it holds.
  return at * 8 < slab.length * 7 ? trimmed.copy() : trimmed;
}

function encodeEdit({ name, value, preserveExisting }: HeaderEdit): EncodedEdit {
  const entry = Buffer.allocUnsafe(stringBytes(name) + stringBytes(value));
  writeString(entry, writeString(entry, 0, name), value);
  return { name: Buffer.from(name), entry, preserveExisting };
}

/** Writes one event with its edits at `at`; returns the offset behind it. */
function editEvent(
  from: Buffer,
  start: number,
  end: number,
  edits: readonly EncodedEdit[],
  to: Buffer,
  at: number,
): number {
  const kept: number[] = [];
  const present = new Set<EncodedEdit>();
  let keptCount = 0;
  const cursor = { at: start };
  eachHeader(from, cursor, end, (entryStart, nameStart, nameEnd, _valueStart, valueEnd) => {
    const edit = findEdit(edits, from, nameStart, nameEnd);
    if (edit !== undefined) {
      present.add(edit);
      if (!edit.preserveExisting) return;
    }
    keptCount++;
    if (kept.at(-1) === entryStart) kept[kept.length - 1] = valueEnd;
    else kept.push(entryStart, valueEnd);
  });
  let newCount = 0;
  for (const edit of edits) if (!edit.preserveExisting || !present.has(edit)) newCount++;
  if (newCount === 0 && keptCount === 0) {
    to[at++] = 0;
  } else {
    at = writeLong(to, at, keptCount + newCount);
    for (const edit of edits) {
      if (edit.preserveExisting && present.has(edit)) continue;
      to.set(edit.entry, at);
      at += edit.entry.length;
    }
    for (let i = 0; i < kept.length; i += 2) {
      at += from.copy(to, at, kept[i], kept[i + 1]);
    }
    to[at++] = 0;
  }
  return at + from.copy(to, at, cursor.at, end);
}

function findEdit(
  edits: readonly EncodedEdit[],
  bytes: Buffer,
  nameStart: number,
  nameEnd: number,
): EncodedEdit | undefined {
  for (const edit of edits) {
    if (edit.name.length !== nameEnd - nameStart) continue;
    if (bytes.compare(edit.name, 0, edit.name.length, nameStart, nameEnd) === 0) return edit;
  }
  return undefined;
}
