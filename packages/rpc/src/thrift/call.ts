/**
 * A call and its reply, the message of one frame each. A reply repeats the name and the sequence
 * number of its call; it carries a status, or the exception that Thrift itself defines:
 *
 *   call      = head struct { 1: event | list of events }
 *   reply     = head struct { 0: i32 status }
 *   exception = head struct { 1: string text, 2: i32 type }
 */
import { MillraceError } from "@millrace/core";
import { binaryWriter } from "./binary.ts";
import { compactWriter } from "./compact.ts";
import { createReader } from "./create-reader.ts";
import {
  messageTypes,
  statuses,
  successFieldId,
  type ThriftProtocol,
  type ThriftStatus,
  types,
} from "./protocol.ts";
import { assertAllRead, malformed, type MessageHead, readText, skipValue } from "./reader.ts";
import { messageBytesMore, type ThriftWriter } from "./writer.ts";

const errorTextMax = 1000;

export function writerOf(protocol: ThriftProtocol): ThriftWriter {
  return protocol === "compact" ? compactWriter : binaryWriter;
}

export const frameHeadBytes = 4;

/** The reply with a status, with its frame's head. */
export function encodeStatus(
  protocol: ThriftProtocol,
  { name, sequence }: MessageHead,
  status: ThriftStatus,
): Buffer {
  const writer = writerOf(protocol);
  return frame(messageBytesMore, (bytes, start) => {
    const at = writer.writeHead(bytes, start, { name, type: messageTypes.reply, sequence });
    return writer.writeStatus(bytes, at, statuses.indexOf(status));
  });
}

/** The reply with an exception, with its frame's head. `type` is one of `exceptionTypes`. */
export function encodeException(
  protocol: ThriftProtocol,
  { name, sequence }: MessageHead,
  type: number,
  text: string,
): Buffer {
  const writer = writerOf(protocol);
  const cut = text.slice(0, errorTextMax);
  return frame(messageBytesMore + Buffer.byteLength(cut), (bytes, start) => {
    const at = writer.writeHead(bytes, start, { name, type: messageTypes.exception, sequence });
    return writer.writeException(bytes, at, cut, type);
  });
}

/** A frame of at most `bytesMax` bytes around what `write` writes. */
export function frame(bytesMax: number, write: (bytes: Buffer, at: number) => number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeadBytes + bytesMax);
  const end = write(bytes, frameHeadBytes);
  bytes.writeInt32BE(end - frameHeadBytes, 0);
  return bytes.subarray(0, end);
}

export type Reply =
  | { readonly kind: "status"; readonly head: MessageHead; readonly status: ThriftStatus }
  | {
      readonly kind: "exception";
      readonly head: MessageHead;
      readonly type: number;
      readonly text: string;
    };

/** Reads a reply to its end. Throws CALL_MALFORMED. */
export function decodeReply(protocol: ThriftProtocol, message: Buffer): Reply {
  const reader = createReader(protocol, message);
  const head = reader.readHead();
  const isException = head.type === messageTypes.exception;
  if (!isException && head.type !== messageTypes.reply) {
    throw malformed(`a message of type ${head.type} for a reply`, 0);
  }
  let status: ThriftStatus | undefined;
  let text = "";
  let type = 0;
  const outer = reader.enterStruct();
  while (reader.nextField()) {
    const { fieldId, fieldType } = reader;
    if (isException && fieldId === 1 && fieldType === types.string) {
      text = readText(reader, "exception's text", message.length);
    } else if (isException && fieldId === 2 && fieldType === types.i32) {
      type = reader.readI32();
    } else if (!isException && fieldId === successFieldId && fieldType === types.i32) {
      status = statuses[reader.readI32()];
    } else {
      skipValue(reader, fieldType);
    }
  }
  reader.leaveStruct(outer);
  assertAllRead(reader);
  if (isException) return { kind: "exception", head, type, text };
  if (status === undefined) {
    throw new MillraceError("CALL_MALFORMED", `no status of Flume's in ${message.length} bytes`);
  }
  return { kind: "status", head, status };
}
