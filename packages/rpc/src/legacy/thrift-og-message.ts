/**
 * The service of Flume 0.9 in Thrift's strict binary protocol, without frames
 * (proto/flume-legacy.thrift has it as text):
 *
 *   oneway append(1: ThriftFlumeEvent evt)             no reply
 *   close()                                            an empty result
 *   ThriftFlumeEvent { 1: i64 timestamp, 2: i32 priority, 3: binary body, 4: i64 nanos,
 *                      5: string host, 6: map<string,binary> fields }
 */
import { BinaryReader, binaryWriter } from "../thrift/binary.ts";
import {
  exceptionTypes,
  headersMax,
  messageTypes,
  nameBytesMax,
  types,
} from "../thrift/protocol.ts";
import {
  assertAllRead,
  malformed,
  type MessageHead,
  readText,
  skipValue,
} from "../thrift/reader.ts";
import { unknownMethodText } from "../thrift/server-session.ts";
import { messageBytesMore } from "../thrift/writer.ts";
import { type OgEvent, ogPriorities } from "./og-event.ts";

export type OgMessage =
  | { readonly kind: "append"; readonly event: OgEvent }
  | { readonly kind: "close"; readonly reply: Buffer }
  | { readonly kind: "unknown"; readonly reply: Buffer; readonly name: string };

/** Reads one whole message. Throws CALL_MALFORMED. */
export function readOgMessage(message: Buffer): OgMessage {
  const reader = new BinaryReader(message);
  const head = reader.readHead();
  if (head.type !== messageTypes.call && head.type !== messageTypes.oneway) {
    throw malformed(`a message of type ${head.type} for a call`, 0);
  }
  if (head.name !== "append") {
    skipValue(reader, types.struct);
    assertAllRead(reader);
    return head.name === "close"
      ? { kind: "close", reply: encodeEmpty(head) }
      : { kind: "unknown", reply: encodeUnknown(head), name: head.name };
  }
  let event: OgEvent | undefined;
  while (reader.nextField()) {
    if (reader.fieldId === 1 && reader.fieldType === types.struct && event === undefined) {
      event = readEvent(reader);
    } else {
      skipValue(reader, reader.fieldType);
    }
  }
  assertAllRead(reader);
  if (event === undefined) throw malformed("an append without an event", reader.at);
  return { kind: "append", event };
}

function readEvent(reader: BinaryReader): OgEvent {
  const event = {
    timestamp: 0n,
    priority: undefined as string | undefined,
    body: reader.bytes.subarray(0, 0),
    nanos: 0n,
    host: undefined as string | undefined,
    fields: [] as (readonly [string, string])[],
  };
  while (reader.nextField()) {
    const { fieldId, fieldType } = reader;
    if (fieldId === 1 && fieldType === types.i64) event.timestamp = reader.readI64();
    else if (fieldId === 2 && fieldType === types.i32) {
      event.priority = ogPriorities[reader.readI32()];
    } else if (fieldId === 3 && fieldType === types.string) event.body = readBytes(reader);
    else if (fieldId === 4 && fieldType === types.i64) event.nanos = reader.readI64();
    else if (fieldId === 5 && fieldType === types.string) {
      event.host = readText(reader, "host", reader.end);
    } else if (fieldId === 6 && fieldType === types.map) event.fields = readFields(reader);
    else skipValue(reader, fieldType);
  }
  return event;
}

function readFields(reader: BinaryReader): (readonly [string, string])[] {
  const start = reader.at;
  reader.readMap();
  const { count, keyType, elementType } = reader;
  if (count > 0 && (keyType !== types.string || elementType !== types.string)) {
    throw malformed("fields that are no bytes", start);
  }
  if (count > headersMax) throw malformed(`${count} fields, over ${headersMax},`, start);
  const fields: (readonly [string, string])[] = [];
  for (let i = 0; i < count; i++) {
    const name = readText(reader, "field name", reader.end);
    fields.push([name, readText(reader, "field value", reader.end)]);
  }
  return fields;
}

function readBytes(reader: BinaryReader): Buffer {
  const length = reader.readLength();
  const content = reader.at;
  reader.at = content + length;
  return reader.bytes.subarray(content, reader.at);
}

function encodeEmpty({ name, sequence }: MessageHead): Buffer {
  const bytes = Buffer.allocUnsafe(messageBytesMore);
  const at = binaryWriter.writeHead(bytes, 0, { name, type: messageTypes.reply, sequence });
  return bytes.subarray(0, binaryWriter.writeStop(bytes, at));
}

function encodeUnknown({ name, sequence }: MessageHead): Buffer {
  const bytes = Buffer.allocUnsafe(messageBytesMore + nameBytesMax * 3);
  const at = binaryWriter.writeHead(bytes, 0, { name, type: messageTypes.exception, sequence });
  const text = unknownMethodText(name);
  const end = binaryWriter.writeException(bytes, at, text, exceptionTypes.unknownMethod);
  return bytes.subarray(0, end);
}
