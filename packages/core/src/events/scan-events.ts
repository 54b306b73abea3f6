/**
 * Finds events in bytes that came from outside, checking each. What a count claims is compared with
 * the bytes there are before anything is allocated by it.
 *
 *   array = block* 0
 *   block = count event{count} | -count byteSize event{count}
 */
import { MillraceError } from "../errors/millrace-error.ts";
import { type Cursor, eventBytesMin, readLong, skipEvent } from "./avro-event.ts";

/** Event i lies in `slab[offsets[i], offsets[i + 1])`. */
export interface ScannedEvents {
  readonly slab: Buffer;
  readonly offsets: Uint32Array;
}

/** Finds `count` events that fill `slab[start, end)` exactly. Throws EVENT_MALFORMED. */
export function scanEvents(slab: Buffer, start: number, end: number, count: number): ScannedEvents {
  const cursor: Cursor = { at: start };
  const offsets = scanBlock(slab, cursor, end, count);
  assertAllRead(cursor, end);
  return { slab, offsets };
}

/** Reads an Avro array of events that fills `slab[start, end)` exactly. Throws EVENT_MALFORMED. */
export function scanEventArray(slab: Buffer, start: number, end: number): ScannedEvents {
  const cursor: Cursor = { at: start };
  const count = readArrayCount(slab, cursor, end);
  if (count === 0) {
    assertAllRead(cursor, end);
    return { slab, offsets: new Uint32Array(1) };
  }
  const offsets = scanBlock(slab, cursor, end, count);
  const next = readArrayCount(slab, cursor, end);
  if (next === 0) {
    assertAllRead(cursor, end);
    return { slab, offsets };
  }
  return gatherBlocks(slab, offsets, cursor, end, next);
}

/**
 * The blocks behind the first, all moved together into one slab: no encoder we know writes several,
 * and a run for each would let three bytes on the wire cost hundreds in memory.
 */
function gatherBlocks(
  slab: Buffer,
  firstOffsets: Uint32Array,
  cursor: Cursor,
  end: number,
  nextCount: number,
): ScannedEvents {
  const start = firstOffsets[0] as number;
  const gathered = Buffer.allocUnsafeSlow(end - start);
  let offsets = new Uint32Array(Math.max(64, firstOffsets.length * 2));
  let length = 0;
  let at = 0;
  const append = (block: Uint32Array): void => {
    const count = block.length - 1;
    const from = block[0] as number;
    if (length + count >= offsets.length) {
      const grown = new Uint32Array(Math.max(offsets.length * 2, length + count + 1));
      grown.set(offsets);
      offsets = grown;
    }
    for (let i = 1; i <= count; i++) offsets[length + i] = (block[i] as number) - from + at;
    length += count;
    at += slab.copy(gathered, at, from, block[count] as number);
  };
  append(firstOffsets);
  for (let count = nextCount; count !== 0; count = readArrayCount(slab, cursor, end)) {
    append(scanBlock(slab, cursor, end, count));
  }
  assertAllRead(cursor, end);
  return { slab: gathered.subarray(0, at), offsets: offsets.slice(0, length + 1) };
}

function readArrayCount(slab: Buffer, cursor: Cursor, end: number): number {
  const count = readLong(slab, cursor, end);
  if (count >= 0) return count;
  // The block's size in bytes, for readers that skip it: ours look at each event anyway.
  readLong(slab, cursor, end);
  return -count;
}

/** The offsets of `count` events from the cursor on. */
function scanBlock(slab: Buffer, cursor: Cursor, end: number, count: number): Uint32Array {
  const left = end - cursor.at;
  if (!(count >= 0 && count * eventBytesMin <= left)) {
    throw new MillraceError("EVENT_MALFORMED", `${count} events cannot fit in ${left} bytes`);
  }
  const offsets = new Uint32Array(count + 1);
  offsets[0] = cursor.at;
  for (let i = 1; i <= count; i++) {
    skipEvent(slab, cursor, end);
    offsets[i] = cursor.at;
  }
  return offsets;
}

function assertAllRead(cursor: Cursor, end: number): void {
  if (cursor.at === end) return;
  throw new MillraceError("EVENT_MALFORMED", `${end - cursor.at} bytes behind the last event`);
}
