/**
 * A call of Flume 0.9's Avro protocol over HTTP, the body of a POST and of its answer:
 *
 *   body     = buffer* 00000000             what it carries is its buffers one after another
 *   buffer   = int32be length | byte{length}
 *   request  = handshake metadata name event
 *   reply    = handshake metadata (00 | 01 00 string)      null, or an error
 *   event    = timestamp priority body nanos host fields   long, enum, bytes, long, string, map of bytes
 *
 * HTTP has no connection to keep the handshake on: every request carries one.
 */
import { type Cursor, MillraceError, readLong, stringBytes, writeString } from "@millrace/core";
import { decodeHandshakeRequest, skipMap } from "../avro/handshake.ts";
import {
  ogJavaHash,
  ogProtocolHash,
  ogProtocolProblem,
  ogProtocolText,
} from "./avro-og-protocol.ts";
import { type OgEvent, ogPriorities } from "./og-event.ts";

const errorTextMax = 1000;
const messageNameBytesMax = 128;
const headersMax = 65_536;

export type OgCall =
  | { readonly kind: "append"; readonly event: OgEvent; readonly handshake: Buffer }
  /** The handshake alone is the answer: to a client that is not known, and to a ping. */
  | { readonly kind: "greeting"; readonly reply: Buffer };

/** What a body carries. Throws FRAME_MALFORMED. */
export function joinBuffers(body: Buffer): Buffer {
  const joined = Buffer.allocUnsafe(body.length);
  let used = 0;
  let at = 0;
  for (;;) {
    if (body.length - at < 4) throw malformed("FRAME_MALFORMED", "buffers without an end", at);
    const length = body.readInt32BE(at);
    at += 4;
    if (length === 0) break;
    if (length < 0 || length > body.length - at) {
      throw malformed("FRAME_MALFORMED", `a buffer of ${length} bytes`, at);
    }
    // At once: a client that sends single bytes would have an object for each.
    used += body.copy(joined, used, at, at + length);
    at += length;
  }
  if (at !== body.length) throw malformed("FRAME_MALFORMED", "bytes behind the last buffer", at);
  return joined.subarray(0, used);
}

/** Reads a call. Throws FRAME_MALFORMED for its handshake, CALL_MALFORMED for what is behind it. */
export function readOgCall(bytes: Buffer): OgCall {
  const cursor: Cursor = { at: 0 };
  const { clientHash, clientProtocol, serverHash } = decodeHandshakeRequest(bytes, cursor);
  if (!isKnown(clientHash)) {
    if (clientProtocol === null)
      return { kind: "greeting", reply: encodeReply([greeting("NONE")]) };
    const problem = ogProtocolProblem(clientProtocol);
    if (problem !== undefined) throw malformed("CALL_MALFORMED", problem, cursor.at);
  }
  const handshake = greeting(isKnown(serverHash) ? "BOTH" : "CLIENT");
  try {
    skipMap(bytes, cursor);
    const name = readText(bytes, cursor, messageNameBytesMax);
    if (name === "") return { kind: "greeting", reply: encodeReply([handshake]) };
    if (name !== "append") {
      throw malformed("CALL_MALFORMED", `No such remote message: ${name}`, cursor.at);
    }
    const event = readEvent(bytes, cursor);
    if (cursor.at !== bytes.length) {
      throw malformed("CALL_MALFORMED", "bytes behind the event", cursor.at);
    }
    return { kind: "append", event, handshake };
  } catch (thrown) {
    if (thrown instanceof MillraceError && thrown.code === "CALL_MALFORMED") throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new MillraceError("CALL_MALFORMED", `no event of Flume 0.9: ${why}`, { cause: thrown });
  }
}

/** The reply to a call that was stored. */
export function encodeOgDone(handshake: Buffer): Buffer {
  return encodeReply([handshake, Buffer.from([0, 0])]);
}

/** The reply with an error; a handshake that says both know each other when there was none to read. */
export function encodeOgError(handshake: Buffer | undefined, text: string): Buffer {
  const cut = text.slice(0, errorTextMax);
  const error = Buffer.allocUnsafe(3 + stringBytes(cut));
  error.set([0, 1, 0]);
  writeString(error, 3, cut);
  return encodeReply([handshake ?? greeting("BOTH"), error]);
}

function encodeReply(buffers: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  for (const buffer of buffers) {
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(buffer.length);
    parts.push(length, buffer);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

const matches = { BOTH: 0, CLIENT: 2, NONE: 4 } as const;

/** Our half of the handshake; with our text where the other does not know us, or we not the other. */
function greeting(match: keyof typeof matches): Buffer {
  if (match === "BOTH") return Buffer.from([matches.BOTH, 0, 0, 0]);
  const bytes = Buffer.allocUnsafe(2 + stringBytes(ogProtocolText) + 1 + ogProtocolHash.length + 1);
  bytes.set([matches[match], 2]);
  let at = writeString(bytes, 2, ogProtocolText);
  bytes[at++] = 2;
  at += ogProtocolHash.copy(bytes, at);
  bytes[at] = 0;
  return bytes;
}

function isKnown(hash: Buffer): boolean {
  return ogJavaHash.equals(hash) || ogProtocolHash.equals(hash);
}

function readEvent(bytes: Buffer, cursor: Cursor): OgEvent {
  const timestamp = readLong64(bytes, cursor);
  const number = readLong(bytes, cursor, bytes.length);
  const priority = ogPriorities[number];
  if (priority === undefined) {
    throw malformed("CALL_MALFORMED", `a priority of ${number}`, cursor.at);
  }
  const body = readBytes(bytes, cursor, bytes.length);
  const nanos = readLong64(bytes, cursor);
  const host = readText(bytes, cursor, bytes.length);
  return { timestamp, priority, body, nanos, host, fields: readFields(bytes, cursor) };
}

/** Blocks of pairs, each with a positive count, or a negative one and the block's size. */
function readFields(bytes: Buffer, cursor: Cursor): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = [];
  for (;;) {
    let count = readLong(bytes, cursor, bytes.length);
    if (count === 0) return fields;
    if (count < 0) {
      count = -count;
      readLong(bytes, cursor, bytes.length);
    }
    if (count > (bytes.length - cursor.at) / 2 || fields.length + count > headersMax) {
      throw malformed("CALL_MALFORMED", `${count} fields`, cursor.at);
    }
    for (let i = 0; i < count; i++) {
      const name = readText(bytes, cursor, bytes.length);
      fields.push([name, readText(bytes, cursor, bytes.length)]);
    }
  }
}

function readText(bytes: Buffer, cursor: Cursor, max: number): string {
  return readBytes(bytes, cursor, max).toString("utf8");
}

function readBytes(bytes: Buffer, cursor: Cursor, max: number): Buffer {
  const length = readLong(bytes, cursor, bytes.length);
  const start = cursor.at;
  if (length < 0 || length > max || length > bytes.length - start) {
    throw malformed("CALL_MALFORMED", `a value of ${length} bytes`, start);
  }
  cursor.at = start + length;
  return bytes.subarray(start, cursor.at);
}

/** A zigzag number of up to 64 bits: core's reader takes only what a frame can count. */
function readLong64(bytes: Buffer, cursor: Cursor): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = bytes[cursor.at];
    if (byte === undefined) throw malformed("CALL_MALFORMED", "a number is cut off", cursor.at);
    cursor.at++;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  }
  throw malformed("CALL_MALFORMED", "a number over 10 bytes", cursor.at);
}

function malformed(
  code: "FRAME_MALFORMED" | "CALL_MALFORMED",
  what: string,
  at: number,
): MillraceError {
  return new MillraceError(code, `${what} at byte ${at}`, { context: { at } });
}
