/**
 * A call and its reply, the content of one message each:
 *
 *   request  = [handshake] metadata name parameters
 *   reply    = [handshake] metadata (00 result | 01 error)
 *   metadata = map of bytes               nobody uses it: one byte 00, read past when there is more
 *   name     = string                     "append", "appendBatch", or "" to ask for the handshake only
 *   append's parameters      = event
 *   appendBatch's parameters = (count event{count})* 00
 *   result   = 00 OK | 02 FAILED | 04 UNKNOWN
 *   error    = 00 string                  a "system error": Flume declares no other
 *
 * Java cuts a request into [handshake metadata name] [parameters] and a reply into [handshake,
 * empty after the first] [metadata] [flag and result]; so do we.
 */
import {
  type Cursor,
  EventBatch,
  longBytes,
  MillraceError,
  readLong,
  stringBytes,
  writeLong,
  writeString,
} from "@millrace/core";
import { encodeMessage } from "./frame.ts";
import { skipMap } from "./handshake.ts";

export type AvroMessageName = "append" | "appendBatch";
export type AvroStatus = "OK" | "FAILED" | "UNKNOWN";

const noBytes = Buffer.alloc(0);
const metadata = Buffer.from([0]);
const errorTextMax = 1000;
const messageNameBytesMax = 256;
/** Requests up to this size are written as one piece: a copy is cheaper than a vectored write. */
const copiedBytesMax = 8192;
const endOfArray = Buffer.from([0]);

/** Reads past the metadata, and the name; the cursor is at the parameters then. Throws CALL_MALFORMED. */
export function readRequestName(bytes: Buffer, cursor: Cursor): string {
  const start = cursor.at;
  try {
    skipMap(bytes, cursor);
    return readText(bytes, cursor, "message name", messageNameBytesMax);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MillraceError(
      "CALL_MALFORMED",
      `neither metadata nor a message name from byte ${start} on: ${why}`,
      { cause: error },
    );
  }
}

/** The events of a call, views of `bytes`. Throws EVENT_MALFORMED when they are not all of the rest. */
export function readEvents(name: AvroMessageName, bytes: Buffer, cursor: Cursor): EventBatch {
  return name === "append"
    ? EventBatch.scan(bytes, cursor.at, bytes.length, 1)
    : EventBatch.scanArray(bytes, cursor.at, bytes.length);
}

/** A whole request, as buffers to write one after another. The events are not copied when many. */
export function encodeCall(
  serial: number,
  handshake: Buffer | undefined,
  name: AvroMessageName,
  batch: EventBatch,
): Buffer[] {
  const opening = handshake ?? noBytes;
  const openingBytes = opening.length + metadata.length + stringBytes(name);
  const many = name === "appendBatch" && batch.length > 0;
  const countBytes = many ? longBytes(batch.length) : 0;
  const tail = name === "appendBatch" ? endOfArray : noBytes;
  const parameterBytes = countBytes + batch.byteLength + tail.length;
  const head = Buffer.allocUnsafe(16 + openingBytes + countBytes);
  head.writeInt32BE(serial, 0);
  head.writeInt32BE(2, 4);
  head.writeInt32BE(openingBytes, 8);
  let at = 12 + opening.copy(head, 12);
  at += metadata.copy(head, at);
  at = writeString(head, at, name);
  at = head.writeInt32BE(parameterBytes, at);
  if (many) writeLong(head, at, batch.length);
  const buffers = [head, ...batch.gather(), tail];
  return parameterBytes <= copiedBytesMax ? [Buffer.concat(buffers)] : buffers;
}

export type Reply =
  | { readonly kind: "status"; readonly status: AvroStatus }
  | { readonly kind: "error"; readonly text: string };

const statuses: readonly AvroStatus[] = ["OK", "FAILED", "UNKNOWN"];

/** Reads a reply from behind its handshake to its end. Throws CALL_MALFORMED or EVENT_MALFORMED. */
export function decodeReply(bytes: Buffer, cursor: Cursor): Reply {
  skipMap(bytes, cursor);
  const flag = readLong(bytes, cursor, bytes.length);
  const index = readLong(bytes, cursor, bytes.length);
  let reply: Reply | undefined;
  const status = statuses[index];
  // The flag is a boolean, one byte 00 or 01, which as a number reads 0 or -1.
  if (flag === 0 && status !== undefined) reply = { kind: "status", status };
  if (flag === -1 && index === 0) {
    reply = { kind: "error", text: readText(bytes, cursor, "error", bytes.length) };
  }
  if (reply === undefined || cursor.at !== bytes.length) {
    throw new MillraceError("CALL_MALFORMED", `no reply of Flume's in ${bytes.length} bytes`);
  }
  return reply;
}

function readText(bytes: Buffer, cursor: Cursor, what: string, max: number): string {
  const length = readLong(bytes, cursor, bytes.length);
  const start = cursor.at;
  if (length < 0 || length > max || length > bytes.length - start) {
    throw new MillraceError("CALL_MALFORMED", `a ${what} of ${length} bytes`);
  }
  cursor.at = start + length;
  return bytes.toString("utf8", start, cursor.at);
}

const results: Readonly<Record<AvroStatus, Buffer>> = {
  OK: Buffer.from([0, 0]),
  FAILED: Buffer.from([0, 2]),
  UNKNOWN: Buffer.from([0, 4]),
};

/** The reply with a status. `handshake` opens a connection's first reply. */
export function encodeStatus(serial: number, handshake: Buffer, status: AvroStatus): Buffer {
  return encodeMessage(serial, [handshake, metadata, results[status]]);
}

/** The reply with a system error. */
export function encodeError(serial: number, handshake: Buffer, text: string): Buffer {
  const cut = text.slice(0, errorTextMax);
  const error = Buffer.allocUnsafe(2 + stringBytes(cut));
  error[0] = 1;
  error[1] = 0;
  writeString(error, 2, cut);
  return encodeMessage(serial, [handshake, metadata, error]);
}

/** The reply that is a handshake alone: to a ping, and NONE. */
export function encodeHandshakeOnly(serial: number, handshake: Buffer): Buffer {
  return encodeMessage(serial, [handshake]);
}
