/**
 * Finds events in bytes that came from outside, checking each. What a count claims is compared with
 * the bytes there are before anything is allocated by it.
 *
 *   array = block* 0
 *   block = count event{count} | -count byteSize event{count}
 */
import { MillraceError } from "../errors/millrace-error.ts";
import {
  assertBlockEnd,
  type Cursor,
  eventBytesMin,
  readBlockEnd,
  readLong,
  skipEvent,
} from "./avro-event.ts";

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
  const first = scanArrayBlock(slab, cursor, end);
  const second = first === undefined ? undefined : scanArrayBlock(slab, cursor, end);
  if (first !== undefined && second !== undefined) {
    return gatherBlocks(slab, [first, second], cursor, end);
  }
  assertAllRead(cursor, end);
  return { slab, offsets: first ?? new Uint32Array(1) };
}

/**
 * The blocks behind the first, all moved together into one slab: no encoder we know writes several,
 * and a run for each would let three bytes on the wire cost hundreds in memory.
 */
function gatherBlocks(
  slab: Buffer,
  read: readonly [Uint32Array, Uint32Array],
  cursor: Cursor,
  end: number,
): ScannedEvents {
  const gathered = Buffer.allocUnsafeSlow(end - (read[0][0] as number));
  let offsets = new Uint32Array(64);
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
  read.forEach(append);
  for (;;) {
    const block = scanArrayBlock(slab, cursor, end);
    if (block === undefined) break;
    append(block);
  }
  assertAllRead(cursor, end);
  return { slab: gathered.subarray(0, at), offsets: offsets.slice(0, length + 1) };
}

/** The next block of an array; undefined behind the last. */
function scanArrayBlock(slab: Buffer, cursor: Cursor, end: number): Uint32Array | undefined {
  const count = readLong(slab, cursor, end);
  if (count === 0) return undefined;
  if (count > 0) return scanBlock(slab, cursor, end, count);
  const blockEnd = readBlockEnd(slab, cursor, end);
  const offsets = scanBlock(slab, cursor, blockEnd, -count);
  assertBlockEnd(cursor, blockEnd);
  return offsets;
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
