/**
 * Scribe's service, over frames, in the binary protocol (proto/scribe.thrift has it as text):
 *
 *   Log(1: list<LogEntry> messages) -> ResultCode OK = 0, TRY_LATER = 1
 *   LogEntry { 1: string category, 2: string message }
 *
 * Replies have the old head, without a version, as Flume's Scribe source writes it; requests may
 * have either.
 */
import type { EventBatch } from "@millrace/core";
import { EventBatchBuilder, toMillraceError } from "@millrace/core";
import { BinaryReader, binaryWriter, writeOldHead } from "../thrift/binary.ts";
import { frame } from "../thrift/call.ts";
import type { FramedMessage } from "../thrift/frame.ts";
import type { FramedService, Request } from "../thrift/framed-service.ts";
import { exceptionTypes, messageTypes, types } from "../thrift/protocol.ts";
import {
  assertAllRead,
  malformed,
  type MessageHead,
  shifted,
  skipValue,
} from "../thrift/reader.ts";
import { unknownMethodText } from "../thrift/server-session.ts";
import { messageBytesMore } from "../thrift/writer.ts";

const codes = { OK: 0, TRY_LATER: 1 } as const;
const errorTextMax = 1000;

/** Takes what Scribe clients log. Whatever goes wrong with a batch is TRY_LATER. */
export const scribeService: FramedService = {
  read: readRequest,
  answer: ({ head }, status) => encodeCode(head, status === "OK" ? "OK" : "TRY_LATER"),
  failure: ({ head }) => encodeCode(head, "TRY_LATER"),
};

function readRequest({ bytes, start }: FramedMessage): Request {
  let head: MessageHead | undefined;
  try {
    const reader = new BinaryReader(bytes, start);
    head = reader.readHead();
    const { name, type } = head;
    if (type !== messageTypes.call) throw malformed(`a message of type ${type} for a call`, start);
    if (name !== "Log") {
      const text = unknownMethodText(name);
      const reply = encodeException(head, exceptionTypes.unknownMethod, text);
      return { kind: "answer", reply, error: malformed(text, 0) };
    }
    const batch = readArguments(reader);
    if (batch === undefined) {
      // As Flume, which means the client to send it again.
      const error = malformed("a Log without messages", reader.at);
      return { kind: "answer", reply: encodeCode(head, "TRY_LATER"), error };
    }
    return { kind: "call", head, message: "appendBatch", batch };
  } catch (thrown) {
    const error = toMillraceError(shifted(thrown, start), "CALL_MALFORMED");
    const text = `${error.code}: ${error.message}`;
    const reply = head && encodeException(head, exceptionTypes.protocolError, text);
    return { kind: "broken", reply, error };
  }
}

function readArguments(reader: BinaryReader): EventBatch | undefined {
  let batch: EventBatch | undefined;
  while (reader.nextField()) {
    if (reader.fieldId === 1 && reader.fieldType === types.list && batch === undefined) {
      batch = readEntries(reader);
    } else {
      skipValue(reader, reader.fieldType);
    }
  }
  assertAllRead(reader);
  return batch;
}

function readEntries(reader: BinaryReader): EventBatch {
  const start = reader.at;
  reader.readList();
  const { count, elementType } = reader;
  if (count > 0 && elementType !== types.struct) {
    throw malformed(`a list of type ${elementType} for the messages`, start);
  }
  const builder = new EventBatchBuilder();
  for (let i = 0; i < count; i++) readEntry(reader, builder);
  return builder.build();
}

/** One entry: its message is the body byte for byte, none is an empty one; its category a header. */
function readEntry(reader: BinaryReader, builder: EventBatchBuilder): void {
  let category: string | undefined;
  let message = reader.bytes.subarray(0, 0);
  while (reader.nextField()) {
    const { fieldId, fieldType } = reader;
    if (fieldType !== types.string || (fieldId !== 1 && fieldId !== 2)) {
      skipValue(reader, fieldType);
      continue;
    }
    const length = reader.readLength();
    const content = reader.at;
    reader.at = content + length;
    if (fieldId === 1) category = reader.bytes.toString("utf8", content, reader.at);
    else message = reader.bytes.subarray(content, reader.at);
  }
  builder.add(category === undefined ? undefined : new Map([["category", category]]), message);
}

function encodeCode({ name, sequence }: MessageHead, code: keyof typeof codes): Buffer {
  return frame(messageBytesMore, (bytes, start) => {
    const at = writeOldHead(bytes, start, { name, type: messageTypes.reply, sequence });
    return binaryWriter.writeStatus(bytes, at, codes[code]);
  });
}

function encodeException({ name, sequence }: MessageHead, type: number, text: string): Buffer {
  const cut = text.slice(0, errorTextMax);
  return frame(messageBytesMore + Buffer.byteLength(cut), (bytes, start) => {
    const at = writeOldHead(bytes, start, { name, type: messageTypes.exception, sequence });
    return binaryWriter.writeException(bytes, at, cut, type);
  });
}
