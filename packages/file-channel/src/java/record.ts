/**
 * What stands in a data file of Java Flume's file channel, format 3 (LogFileV3, TransactionEventRecord):
 *
 *   log     = entry* filler?
 *   entry   = op, int32be length, payload       op 0x7f: a record; 0x00: one that was struck out
 *   filler  = 0x80*                             the file grows by 1 MiB of these
 *   payload = delimited header, delimited body, delimited footer (empty)       encrypted as a whole
 *   header  = 1: sfixed32 type, 2: sfixed64 transaction, 3: sfixed64 write order
 *   put     = 1: event { 1: repeated header { 1: key, 2: value? }, 2: body }, 2: sfixed64? CRC-32 of the body
 *   take    = 1: sfixed32 file, 2: sfixed32 offset of the put's op
 *   rollback= nothing
 *   commit  = 1: sfixed32 type, that of what it commits: put or take
 */
import { crc32 } from "node:zlib";
import {
  bytesWire,
  FieldWalk,
  fixed32Wire,
  fixed64Wire,
  readOrderNumber,
  readVarint,
  varintBytes,
} from "./protobuf.ts";

export const recordOp = 0x7f;
export const noopOp = 0x00;
export const fillerOp = 0x80;
/** Op and length. */
export const entryHeadBytes = 5;
/** Bytes of a payload that tell everything but the event. */
export const headBytesMax = 256;

/** The length of a footer, which is 0. */
const footerBytes = 1;

export const putType = 1;
export const takeType = 2;
export const rollbackType = 3;
export const commitType = 4;

/** A record without its event. One is reused for many records. */
export interface RecordHead {
  type: number;
  transaction: number;
  writeOrder: number;
  /** Of a take: where the event was put. */
  file: number;
  offset: number;
  /** Of a commit: `putType` or `takeType`. */
  commits: number;
}

export function createRecordHead(): RecordHead {
  return { type: 0, transaction: 0, writeOrder: 0, file: 0, offset: 0, commits: 0 };
}

const walk = new FieldWalk();

/**
 * Reads a payload's header, and its body unless it is a put. The payload begins at 0 and has `length`
 * bytes, of which the first are given. False: this is no record of that length.
 */
export function readRecordHead(bytes: Buffer, length: number, head: RecordHead): boolean {
  const headerLength = readVarint(bytes, 0, bytes.length);
  if (headerLength < 0) return false;
  const header = varintBytes(headerLength);
  const body = header + headerLength;
  if (body > bytes.length || !readHeader(bytes, header, body, head)) return false;
  const bodyLength = readVarint(bytes, body, bytes.length);
  if (bodyLength < 0) return false;
  const bodyStart = body + varintBytes(bodyLength);
  const bodyEnd = bodyStart + bodyLength;
  if (bodyEnd + footerBytes !== length) return false;
  if (head.type === putType) return true;
  return bodyEnd <= bytes.length && readBody(bytes, bodyStart, bodyEnd, head);
}

function readHeader(bytes: Buffer, start: number, end: number, head: RecordHead): boolean {
  let seen = 0;
  walk.begin(bytes, start, end);
  while (walk.next()) {
    if (walk.field === 1 && walk.wire === fixed32Wire) {
      head.type = bytes.readInt32LE(walk.start);
    } else if (walk.field === 2 && walk.wire === fixed64Wire) {
      head.transaction = readOrderNumber(bytes, walk.start);
    } else if (walk.field === 3 && walk.wire === fixed64Wire) {
      head.writeOrder = readOrderNumber(bytes, walk.start);
    } else continue;
    seen |= 1 << walk.field;
  }
  if (walk.malformed || seen !== 0b1110) return false;
  if (head.transaction < 0 || head.writeOrder < 0) return false;
  return head.type >= putType && head.type <= commitType;
}

function readBody(bytes: Buffer, start: number, end: number, head: RecordHead): boolean {
  let seen = 0;
  walk.begin(bytes, start, end);
  while (walk.next()) {
    if (walk.wire !== fixed32Wire) continue;
    const value = bytes.readInt32LE(walk.start);
    if (head.type === commitType && walk.field === 1) head.commits = value;
    else if (head.type === takeType && walk.field === 1) head.file = value;
    else if (head.type === takeType && walk.field === 2) head.offset = value;
    else continue;
    seen |= 1 << walk.field;
  }
  if (walk.malformed) return false;
  if (head.type === rollbackType) return true;
  if (head.type === takeType) return seen === 0b110 && head.file >= 0 && head.offset >= 0;
  return seen === 0b10 && (head.commits === putType || head.commits === takeType);
}

/** An event as it was put; the body shares memory with the payload. */
export interface JavaEvent {
  /** A name without a value has the empty one, as when Java takes it. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Reads the event of a whole payload. A text says why it cannot be read. */
export function readPut(payload: Buffer, head: RecordHead): JavaEvent | string {
  if (!readRecordHead(payload, payload.length, head)) return "the record cannot be read";
  if (head.type !== putType) return `the record is not a put but of type ${head.type}`;
  const headerLength = readVarint(payload, 0, payload.length);
  const at = varintBytes(headerLength) + headerLength;
  const length = readVarint(payload, at, payload.length);
  const start = at + varintBytes(length);
  let event: JavaEvent | undefined;
  let checksum = -1;
  const fields = new FieldWalk();
  fields.begin(payload, start, start + length);
  while (fields.next()) {
    if (fields.field === 1 && fields.wire === bytesWire) {
      event = readEvent(payload, fields.start, fields.end);
      if (event === undefined) return "the event cannot be read";
    } else if (fields.field === 2 && fields.wire === fixed64Wire) {
      checksum = readOrderNumber(payload, fields.start);
      if (checksum < 0) return "the checksum cannot be read";
    }
  }
  if (fields.malformed || event === undefined) return "the event cannot be read";
  if (checksum >= 0 && crc32(event.body) !== checksum) {
    return "the event's body does not match its checksum";
  }
  return event;
}

function readEvent(bytes: Buffer, start: number, end: number): JavaEvent | undefined {
  const headers = new Map<string, string>();
  let body: Buffer | undefined;
  const fields = new FieldWalk();
  fields.begin(bytes, start, end);
  while (fields.next()) {
    if (fields.wire !== bytesWire) continue;
    if (fields.field === 2) body = bytes.subarray(fields.start, fields.end);
    else if (fields.field === 1 && !readEventHeader(bytes, fields, headers)) return undefined;
  }
  return fields.malformed || body === undefined ? undefined : { headers, body };
}

function readEventHeader(bytes: Buffer, at: FieldWalk, headers: Map<string, string>): boolean {
  let key: string | undefined;
  let value = "";
  walk.begin(bytes, at.start, at.end);
  while (walk.next()) {
    if (walk.wire !== bytesWire) continue;
    const text = bytes.toString("utf8", walk.start, walk.end);
    if (walk.field === 1) key = text;
    else if (walk.field === 2) value = text;
  }
  if (walk.malformed || key === undefined) return false;
  headers.set(key, value);
  return true;
}
