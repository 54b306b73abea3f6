/**
 * Turns a Thrift request into a batch, in its own slab: behind what is read of the message each
 * event is written as Avro has it. No string is decoded: the two forms differ in their lengths only.
 *
 *   | slack | Thrift's message                      |
 *   | Avro's events |  ...  | not yet read          |
 *   0            written   read                   end
 *
 * What is written never reaches what is not yet read: Thrift has at least as many bytes for an event
 * as Avro, but for lengths where Avro has one more. Those are of 64 bytes or entries and more, each
 * of its own, so a slack of a 64th is enough for all of them.
 */
import { EventBatch, writeLong } from "@millrace/core";
import assert from "node:assert/strict";
import { createReader } from "./create-reader.ts";
import { slackOf } from "./frame.ts";
import { HeaderSpans } from "./header-spans.ts";
import { moveBytes } from "./move-bytes.ts";
import {
  argumentFieldId,
  bodyFieldId,
  headersFieldId,
  headersMax,
  type ThriftMessageName,
  type ThriftProtocol,
  types,
} from "./protocol.ts";
import { assertAllRead, malformed, skipValue, type ThriftReader } from "./reader.ts";

/** Of a slab at most one part in this many is left unused; else the events are copied out of it. */
const unusedShare = 8;

/** The smallest event in either protocol has its two fields' heads, two lengths and a stop. */
const eventBytesMin = 5;

/**
 * The events of a call whose head ends at `at`. They are written over the message, from the slab's
 * start on. Throws CALL_MALFORMED for anything that is not Flume's call to its very end: nothing of
 * it is returned then.
 */
export function readEvents(
  protocol: ThriftProtocol,
  name: ThriftMessageName,
  slab: Buffer,
  at: number,
): EventBatch {
  assert(at >= slackOf(slab.length - at), "there is room for what Avro has more");
  return readArguments(createReader(protocol, slab, at), name);
}

function readArguments(reader: ThriftReader, name: ThriftMessageName): EventBatch {
  const wanted = name === "append" ? types.struct : types.list;
  const events = new EventTranscriber(reader);
  let found = false;
  const outer = reader.enterStruct();
  while (reader.nextField()) {
    if (reader.fieldId !== argumentFieldId || reader.fieldType !== wanted) {
      skipValue(reader, reader.fieldType);
      continue;
    }
    if (found) throw malformed("the events a second time", reader.at);
    found = true;
    if (name === "append") events.readOne();
    else events.readList();
  }
  reader.leaveStruct(outer);
  if (!found) throw malformed(`no ${name === "append" ? "event" : "events"}`, reader.at);
  assertAllRead(reader);
  return events.build();
}

/** Reused: nothing is called while a message is read that could read another. */
const headers = new HeaderSpans();

class EventTranscriber {
  readonly #reader: ThriftReader;
  readonly #slab: Buffer;
  #at = 0;
  #offsets = new Uint32Array(1);

  constructor(reader: ThriftReader) {
    this.#reader = reader;
    this.#slab = reader.bytes;
  }

  readOne(): void {
    this.#offsets = new Uint32Array(2);
    this.#readEvent();
    this.#offsets[1] = this.#at;
  }

  readList(): void {
    const reader = this.#reader;
    const start = reader.at;
    reader.readList();
    const { count, elementType } = reader;
    if (count > 0 && elementType !== types.struct) {
      throw malformed(`a list of type ${elementType} for the events`, start);
    }
    if (count * eventBytesMin > reader.end - reader.at) {
      throw malformed(`${count} events in ${reader.end - reader.at} bytes`, start);
    }
    const offsets = new Uint32Array(count + 1);
    this.#offsets = offsets;
    for (let i = 1; i <= count; i++) {
      this.#readEvent();
      offsets[i] = this.#at;
    }
  }

  build(): EventBatch {
    const used = this.#at;
    const slab = this.#slab;
    if (used === 0) return EventBatch.empty;
    const roomy = slab.length - used > used / unusedShare;
    return EventBatch.fromSlab(
      roomy ? Buffer.from(slab.subarray(0, used)) : slab.subarray(0, used),
      this.#offsets,
    );
  }

  #readEvent(): void {
    const reader = this.#reader;
    const outer = reader.enterStruct();
    let headersEnd = -1;
    let bodyStart = -1;
    let bodyLength = 0;
    while (reader.nextField()) {
      if (reader.fieldId === headersFieldId && reader.fieldType === types.map && headersEnd < 0) {
        this.#readHeaders();
        headersEnd = reader.at;
      } else if (
        reader.fieldId === bodyFieldId &&
        reader.fieldType === types.string &&
        bodyStart < 0
      ) {
        bodyLength = reader.readLength();
        bodyStart = reader.at;
        reader.at = bodyStart + bodyLength;
      } else {
        this.#skipField();
      }
    }
    reader.leaveStruct(outer);
    if (headersEnd < 0) throw malformed("an event without headers", reader.at);
    if (bodyStart < 0) throw malformed("an event without a body", reader.at);
    if (bodyStart > headersEnd) this.#write(bodyStart, bodyLength);
    else this.#writeBodyLast(bodyStart, bodyLength);
    assert(this.#at <= reader.at, "what is written is behind what is read");
  }

  /** Reads past a field that is none of an event's. */
  #skipField(): void {
    const { fieldId, fieldType, at } = this.#reader;
    const again =
      (fieldId === headersFieldId && fieldType === types.map) ||
      (fieldId === bodyFieldId && fieldType === types.string);
    if (again) throw malformed(`field ${fieldId} of an event a second time`, at);
    skipValue(this.#reader, fieldType);
  }

  #readHeaders(): void {
    const reader = this.#reader;
    const start = reader.at;
    reader.readMap();
    const { count } = reader;
    if (count > 0 && (reader.keyType !== types.string || reader.elementType !== types.string)) {
      throw malformed("headers that are no strings", start);
    }
    if (count > headersMax) throw malformed(`${count} headers, over ${headersMax},`, start);
    headers.begin(count);
    for (let i = 0; i < count; i++) {
      const nameLength = reader.readLength();
      const nameStart = reader.at;
      reader.at = nameStart + nameLength;
      const valueLength = reader.readLength();
      const valueStart = reader.at;
      reader.at = valueStart + valueLength;
      headers.add(nameStart, nameStart + nameLength, valueStart, valueStart + valueLength);
    }
    headers.keepLast(reader.bytes);
  }

  #write(bodyStart: number, bodyLength: number): void {
    const at = this.#writeHeaders();
    const content = writeLong(this.#slab, at, bodyLength);
    this.#at = moveBytes(this.#slab, content, bodyStart, bodyLength);
  }

  /** For a body that stands in front of the headers, where they are to be written. */
  #writeBodyLast(bodyStart: number, bodyLength: number): void {
    const body = Buffer.from(this.#slab.subarray(bodyStart, bodyStart + bodyLength));
    const at = writeLong(this.#slab, this.#writeHeaders(), bodyLength);
    this.#at = at + body.copy(this.#slab, at);
  }

  #writeHeaders(): number {
    const slab = this.#slab;
    const { count, spans } = headers;
    let at = this.#at;
    if (count > 0) {
      at = writeLong(slab, at, count);
      for (let i = 0; i < count * 4; i += 2) {
        const start = spans[i] as number;
        const length = (spans[i + 1] as number) - start;
        at = moveBytes(slab, writeLong(slab, at, length), start, length);
      }
    }
    slab[at++] = 0;
    return at;
  }
}
