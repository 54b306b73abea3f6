/**
 * The two messages of Deliver, in Protocol Buffers' encoding, by hand: the library copies the slab twice
 * where once is enough.
 *
 *   message = (tag value)*        tag = field number * 8 + wire type
 *   Batch   = { 1: bytes slab, 2: uint32 count, 3: uint64 id, 4: Origin origin, 5: uint64 settled_below }
 *   Ack     = { 1: uint64 id }
 *   value   = varint              wire type 0
 *           | byte{8}             wire type 1
 *           | varint byte{varint} wire type 2
 *           | byte{4}             wire type 5
 *
 * Fields may come in any order, and more than once: the last counts. Unknown ones are read past, and
 * so are `origin` and `settled_below`; one of ours with another wire type is an error. A field that
 * is not there is 0 or empty.
 */
import { type Cursor, EventBatch, MillraceError } from "@millrace/core";

const slabTag = 0x0a;
const countTag = 0x10;
const idTag = 0x18;
const ackIdTag = 0x08;
const originTag = 0x22;
const settledBelowTag = 0x28;
const batchFieldMax = 5;
const ackFieldMax = 1;

/** A batch as it goes out. */
export interface Delivery {
  readonly id: number;
  readonly batch: EventBatch;
}

/** The message Batch, ready to be framed. The events are copied once, into it. */
export function encodeDelivery({ id, batch }: Delivery): Buffer {
  const slabBytes = batch.byteLength;
  const bytes = Buffer.allocUnsafe(
    3 + varintBytes(id) + varintBytes(batch.length) + varintBytes(slabBytes) + slabBytes,
  );
  bytes[0] = idTag;
  let at = writeVarint(bytes, 1, id);
  bytes[at++] = countTag;
  at = writeVarint(bytes, at, batch.length);
  bytes[at++] = slabTag;
  at = writeVarint(bytes, at, slabBytes);
  for (const run of batch.gather()) at += run.copy(bytes, at);
  return bytes;
}

/** Reads the message Batch; the events are views of `bytes`. Throws CALL_MALFORMED or EVENT_MALFORMED. */
export function decodeDelivery(bytes: Buffer): Delivery {
  const cursor: Cursor = { at: 0 };
  let id = 0;
  let count = 0;
  let slabStart = 0;
  let slabEnd = 0;
  while (cursor.at < bytes.length) {
    const tag = readVarint(bytes, cursor);
    if (tag === slabTag) {
      slabEnd = skipLength(bytes, cursor);
      slabStart = cursor.at;
      cursor.at = slabEnd;
    } else if (tag === countTag) count = readVarint(bytes, cursor);
    else if (tag === idTag) id = readVarint(bytes, cursor);
    else if (tag >= 8 * (batchFieldMax + 1) || tag === originTag || tag === settledBelowTag) {
      skipField(bytes, cursor, tag);
    } else throw malformed(`field ${tag >> 3} with wire type ${tag & 7}`, cursor.at);
  }
  return { id, batch: EventBatch.scan(bytes, slabStart, slabEnd, count) };
}

/** The message Ack. */
export function encodeAck(id: number): Buffer {
  const bytes = Buffer.allocUnsafe(1 + varintBytes(id));
  bytes[0] = ackIdTag;
  writeVarint(bytes, 1, id);
  return bytes;
}

/** The id of an Ack. Throws CALL_MALFORMED. */
export function decodeAck(bytes: Buffer): number {
  const cursor: Cursor = { at: 0 };
  let id = 0;
  while (cursor.at < bytes.length) {
    const tag = readVarint(bytes, cursor);
    if (tag === ackIdTag) id = readVarint(bytes, cursor);
    else if (tag >= 8 * (ackFieldMax + 1)) skipField(bytes, cursor, tag);
    else throw malformed(`field ${tag >> 3} with wire type ${tag & 7}`, cursor.at);
  }
  return id;
}

/** How many bytes a whole number from 0 to 2^53 - 1 takes. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

/** Throws over 10 bytes, as any reader does, and over 2^53 - 1, which none of our fields needs. */
function readVarint(bytes: Buffer, cursor: Cursor): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw malformed("a number is cut off", cursor.at);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (value > Number.MAX_SAFE_INTEGER) throw malformed("a number over 2^53 - 1", cursor.at);
      return value;
    }
    scale *= 128;
  }
  throw malformed("a number of more than 10 bytes", cursor.at);
}

/** Reads the length of a value; returns where the value ends, the cursor is where it begins. */
function skipLength(bytes: Buffer, cursor: Cursor): number {
  const length = readVarint(bytes, cursor);
  if (length > bytes.length - cursor.at) {
    throw malformed(`a value of ${length} bytes in ${bytes.length - cursor.at}`, cursor.at);
  }
  return cursor.at + length;
}

function skipField(bytes: Buffer, cursor: Cursor, tag: number): void {
  switch (tag % 8) {
    case 0:
      skipVarint(bytes, cursor);
      break;
    case 1:
      cursor.at += 8;
      break;
    case 2:
      cursor.at = skipLength(bytes, cursor);
      break;
    case 5:
      cursor.at += 4;
      break;
    default:
      throw malformed(`wire type ${tag % 8}`, cursor.at);
  }
  if (cursor.at > bytes.length) throw malformed("a field is cut off", bytes.length);
}

/** Moves over a number of any size: one that is not understood may use all 64 bits. */
function skipVarint(bytes: Buffer, cursor: Cursor): void {
  for (let i = 0; i < 10; i++) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw malformed("a number is cut off", cursor.at);
    if (byte < 0x80) return;
  }
  throw malformed("a number of more than 10 bytes", cursor.at);
}

function malformed(what: string, at: number): MillraceError {
  return new MillraceError("CALL_MALFORMED", `not a message of the service: ${what} at byte ${at}`);
}
