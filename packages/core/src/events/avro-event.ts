/**
 * The bytes of an event, the only form in which events move and rest:
 *
 *   event   = headers body                      Avro binary of AvroFlumeEvent { map<string> headers; bytes body }
 *   headers = block* 0                          one block usually; Java writes positive counts only
 *   block   = count entry{count}                count > 0
 *           | -count byteSize entry{count}      the other form Avro allows
 *   entry   = string string                     name, value
 *   body    = length bytes
 *   string  = length utf8-bytes
 *
 * count, byteSize and length are zigzag varints of at most 10 bytes; here more than 5 is an error,
 * as nothing in a frame we accept is that long. A name that occurs twice counts once, its last
 * value wins (java.util.Map.put).
 */
import { MillraceError } from "../errors/millrace-error.ts";
import type { Event } from "./event.ts";

/** A position in bytes under decoding. One is reused for many reads. */
export interface Cursor {
  at: number;
}

/** The smallest event is `00 00`: no headers, no body. */
export const eventBytesMin = 2;

function malformed(what: string, at: number): MillraceError {
  return new MillraceError("EVENT_MALFORMED", `${what} at byte ${at}`, { context: { at } });
}

/** Reads one zigzag varint of at most 35 bits; throws EVENT_MALFORMED past `end` or over 5 bytes. */
export function readLong(bytes: Uint8Array, cursor: Cursor, end: number): number {
  let at = cursor.at;
  if (at + 1 < end) {
    const first = bytes[at] as number;
    if (first < 0x80) {
      cursor.at = at + 1;
      return (first >>> 1) ^ -(first & 1);
    }
    const second = bytes[at + 1] as number;
    if (second < 0x80) {
      cursor.at = at + 2;
      return (((first & 0x7f) | (second << 7)) >>> 1) ^ -(first & 1);
    }
  }
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 5; i++) {
    if (at >= end) throw malformed("number cut off", cursor.at);
    const byte = bytes[at++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      cursor.at = at;
      return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    scale *= 128;
  }
  throw malformed("number over 5 bytes", cursor.at);
}

/** How many bytes `writeLong` needs for a non-negative number below 2^34. */
export function longBytes(value: number): number {
  if (value < 0x40) return 1;
  if (value < 0x2000) return 2;
  if (value < 0x100000) return 3;
  if (value < 0x8000000) return 4;
  return 5;
}

/** Writes a non-negative number as zigzag varint; returns the offset behind it. */
export function writeLong(bytes: Uint8Array, at: number, value: number): number {
  let rest = value * 2;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

/** Moves over one length-prefixed string or bytes value; returns where its content begins. */
function skipBytes(bytes: Uint8Array, cursor: Cursor, end: number, what: string): number {
  const start = cursor.at;
  const length = readLong(bytes, cursor, end);
  if (length < 0 || length > end - cursor.at) {
    throw malformed(`${what} length ${length} does not fit in ${end - cursor.at} bytes`, start);
  }
  const content = cursor.at;
  cursor.at = content + length;
  return content;
}

/**
 * Reads the byte size behind a negative count and returns where the block ends. A size that lies is
 * refused: ours is not the only reader of the bytes, and another may skip by it.
 */
export function readBlockEnd(bytes: Uint8Array, cursor: Cursor, end: number): number {
  const start = cursor.at;
  const size = readLong(bytes, cursor, end);
  if (size < 0 || size > end - cursor.at) throw malformed(`block size ${size}`, start);
  return cursor.at + size;
}

/** That a block with a size ended where the size said; `blockEnd` is -1 for one without. */
export function assertBlockEnd(cursor: Cursor, blockEnd: number): void {
  if (blockEnd >= 0 && cursor.at !== blockEnd) {
    throw malformed(`block of another size than it says, ${blockEnd - cursor.at} off`, cursor.at);
  }
}

/** An entry is at least two bytes: a huge count in a small frame is refused before any loop. */
function assertCountFits(count: number, at: number, end: number): void {
  if (count > (end - at) / 2) throw malformed(`header count ${count}`, at);
}

/** Moves over one event; throws EVENT_MALFORMED and reads nothing past `end`. */
export function skipEvent(bytes: Uint8Array, cursor: Cursor, end: number): void {
  for (;;) {
    let count = readLong(bytes, cursor, end);
    if (count === 0) break;
    let blockEnd = -1;
    if (count < 0) {
      count = -count;
      blockEnd = readBlockEnd(bytes, cursor, end);
    }
    assertCountFits(count, cursor.at, end);
    for (let i = 0; i < count; i++) {
      skipShort(bytes, cursor, end, "header name");
      skipShort(bytes, cursor, end, "header value");
    }
    assertBlockEnd(cursor, blockEnd);
  }
  skipBytes(bytes, cursor, end, "body");
}

/** `skipBytes` for what is mostly under 64 bytes: small enough that the engine inlines it. */
function skipShort(bytes: Uint8Array, cursor: Cursor, end: number, what: string): void {
  const at = cursor.at;
  if (at < end) {
    const first = bytes[at] as number;
    if (first < 0x80 && (first & 1) === 0) {
      const after = at + 1 + (first >>> 1);
      if (after <= end) {
        cursor.at = after;
        return;
      }
    }
  }
  skipBytes(bytes, cursor, end, what);
}

/**
 * A walk over the headers of an event: where the header lies that `nextHeader` has just found. One
 * is reused for many events, so that looking for a header makes no object.
 */
export interface HeaderWalk extends Cursor {
  /** Headers left in the block that `at` stands in, and where it says it ends, or -1. */
  left: number;
  blockEnd: number;
  entryStart: number;
  nameStart: number;
  nameEnd: number;
  valueStart: number;
  valueEnd: number;
}

export function createHeaderWalk(): HeaderWalk {
  return {
    at: 0,
    left: 0,
    blockEnd: -1,
    entryStart: 0,
    nameStart: 0,
    nameEnd: 0,
    valueStart: 0,
    valueEnd: 0,
  };
}

/** Puts the walk at the start of an event. */
export function beginHeaders(walk: HeaderWalk, start: number): void {
  walk.at = start;
  walk.left = 0;
  walk.blockEnd = -1;
}

/**
 * Moves to the next header, in order. When there is none, `entryStart` is where the zero stands
 * that ends the map, and `at` is at the body.
 */
export function nextHeader(bytes: Uint8Array, walk: HeaderWalk, end: number): boolean {
  if (walk.left === 0 && !nextBlock(bytes, walk, end)) return false;
  walk.left--;
  walk.entryStart = walk.at;
  walk.nameStart = skipBytes(bytes, walk, end, "header name");
  walk.nameEnd = walk.at;
  walk.valueStart = skipBytes(bytes, walk, end, "header value");
  walk.valueEnd = walk.at;
  return true;
}

/** Calls `visit` with the byte spans of each header, in order; leaves the cursor at the body. */
export function eachHeader(
  bytes: Uint8Array,
  cursor: Cursor,
  end: number,
  visit: (
    entryStart: number,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
  ) => void,
): void {
  const walk = createHeaderWalk();
  beginHeaders(walk, cursor.at);
  while (nextHeader(bytes, walk, end)) {
    visit(walk.entryStart, walk.nameStart, walk.nameEnd, walk.valueStart, walk.valueEnd);
  }
  cursor.at = walk.at;
}

function nextBlock(bytes: Uint8Array, walk: HeaderWalk, end: number): boolean {
  assertBlockEnd(walk, walk.blockEnd);
  walk.entryStart = walk.at;
  walk.blockEnd = -1;
  walk.left = readLong(bytes, walk, end);
  if (walk.left === 0) return false;
  if (walk.left < 0) {
    walk.left = -walk.left;
    walk.blockEnd = readBlockEnd(bytes, walk, end);
  }
  assertCountFits(walk.left, walk.at, end);
  return true;
}

/** Whether the name of the header that the walk is at is this one. */
export function nameIs(bytes: Uint8Array, walk: HeaderWalk, name: Uint8Array): boolean {
  const start = walk.nameStart;
  const length = walk.nameEnd - start;
  if (length !== name.length) return false;
  // By hand: names are short, and Buffer.compare costs as much as the rest of the walk.
  for (let i = 0; i < length; i++) {
    if (bytes[start + i] !== name[i]) return false;
  }
  return true;
}

/** Decodes the event in `[start, end)`. The body is a view, not a copy. */
export function decodeEvent(bytes: Buffer, start: number, end: number): Event {
  const headers = new Map<string, string>();
  const walk = createHeaderWalk();
  beginHeaders(walk, start);
  while (nextHeader(bytes, walk, end)) {
    headers.set(
      bytes.toString("utf8", walk.nameStart, walk.nameEnd),
      bytes.toString("utf8", walk.valueStart, walk.valueEnd),
    );
  }
  const body = skipBytes(bytes, walk, end, "body");
  return { headers, body: bytes.subarray(body, walk.at) };
}

/** The bytes of a header map, ready to stand before many bodies. */
export function encodeHeaders(headers: ReadonlyMap<string, string>): Buffer {
  if (headers.size === 0) return noHeaders;
  let size = longBytes(headers.size) + 1;
  for (const [name, value] of headers) {
    size += stringBytes(name) + stringBytes(value);
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = writeLong(bytes, 0, headers.size);
  for (const [name, value] of headers) {
    at = writeString(bytes, at, name);
    at = writeString(bytes, at, value);
  }
  bytes[at] = 0;
  return bytes;
}

const noHeaders = Buffer.from([0]);

/** Bytes of a length-prefixed UTF-8 string. */
export function stringBytes(text: string): number {
  const length = Buffer.byteLength(text);
  return longBytes(length) + length;
}

/** Writes a length-prefixed UTF-8 string; returns the offset behind it. */
export function writeString(bytes: Buffer, at: number, text: string): number {
  const start = writeLong(bytes, at, Buffer.byteLength(text));
  return start + bytes.write(text, start);
}
