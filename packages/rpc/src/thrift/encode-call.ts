/**
 * Turns a batch into a Thrift request. The events are copied once, to the end of a new buffer, and
 * read there; from the buffer's start on each is written as Thrift has it. No string is decoded.
 *
 *   | length | head | Thrift's events | gap | Avro's events     |
 *   0                          written    read                end
 *
 * Thrift has more bytes for an event than Avro: the gap has room for as many as there can be, if all
 * events have as many headers as the first; if that proves wrong, all are counted and it begins anew.
 */
import {
  beginHeaders,
  createHeaderWalk,
  type EventBatch,
  nextHeader,
  readLong,
} from "@millrace/core";
import { frameHeadBytes, writerOf } from "./call.ts";
import { HeaderSpans } from "./header-spans.ts";
import { moveBytes } from "./move-bytes.ts";
import { messageTypes, type ThriftMessageName, type ThriftProtocol } from "./protocol.ts";
import { messageBytesMore, type ThriftWriter } from "./writer.ts";

/** Reused: nothing is called while a call is written that could write another. */
const walk = createHeaderWalk();
const headers = new HeaderSpans();

/** A whole request with its frame's head, as one buffer in memory from `allocate`. */
export function encodeCall(
  protocol: ThriftProtocol,
  sequence: number,
  name: ThriftMessageName,
  batch: EventBatch,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Buffer {
  const writer = writerOf(protocol);
  const head = { name, type: messageTypes.call, sequence };
  const encode = (headerCount: number): Buffer | undefined => {
    const gap = bytesMore(writer, batch, headerCount);
    const bytes = allocate(gap + batch.byteLength);
    const start = writer.writeHead(bytes, frameHeadBytes, head);
    const count = name === "append" ? undefined : batch.length;
    const at = writeEvents(writer, bytes, writer.writeArgument(bytes, start, count), batch, gap);
    if (at === undefined) return undefined;
    const end = writer.writeStop(bytes, at);
    bytes.writeInt32BE(end - frameHeadBytes, 0);
    return bytes.subarray(0, end);
  };
  const estimate = Math.min(headersOfFirst(batch) * batch.length, batch.byteLength / 2);
  return encode(Math.floor(estimate)) ?? (encode(countHeaders(batch)) as Buffer);
}

/** Whether the request for these events has at most this many bytes, for certain. */
export function fitsRequest(
  protocol: ThriftProtocol,
  batch: EventBatch,
  bytesMax: number,
): boolean {
  const writer = writerOf(protocol);
  const bytes = batch.byteLength;
  // A header has two bytes at least: mostly that is enough to know without looking at them.
  if (bytes + bytesMore(writer, batch, bytes / 2) <= bytesMax) return true;
  return bytes + bytesMore(writer, batch, countHeaders(batch)) <= bytesMax;
}

/** How many bytes Thrift has at most beyond the events' own. */
function bytesMore(writer: ThriftWriter, batch: EventBatch, headerCount: number): number {
  const { eventBytesMore, headerBytesMore } = writer;
  return messageBytesMore + batch.length * eventBytesMore + headerCount * headerBytesMore;
}

/** Writes all events at `at`; returns the offset behind them, or undefined if `gap` is too small. */
function writeEvents(
  writer: ThriftWriter,
  bytes: Buffer,
  at: number,
  batch: EventBatch,
  gap: number,
): number | undefined {
  const end = bytes.length;
  let copied = gap;
  for (const { slab, offsets, from, to } of batch.runs) {
    copied += slab.copy(bytes, copied, offsets[from], offsets[to]);
  }
  walk.at = gap;
  while (walk.at < end) {
    const start = walk.at;
    headers.begin(0);
    beginHeaders(walk, start);
    while (nextHeader(bytes, walk, end)) {
      headers.add(walk.nameStart, walk.nameEnd, walk.valueStart, walk.valueEnd);
    }
    const bodyLength = readLong(bytes, walk, end);
    const { count, spans } = headers;
    if (at + writer.eventBytesMore + writer.headerBytesMore * count > start) return undefined;
    at = writer.writeHeaders(bytes, at, count);
    for (let i = 0; i < count * 4; i += 2) {
      const from = spans[i] as number;
      const length = (spans[i + 1] as number) - from;
      at = moveBytes(bytes, writer.writeLength(bytes, at, length), from, length);
    }
    at = writer.writeBody(bytes, at, bodyLength);
    at = writer.writeStop(bytes, moveBytes(bytes, at, walk.at, bodyLength));
    walk.at += bodyLength;
  }
  return at;
}

/** Of the first event, as its first block says. */
function headersOfFirst({ runs: [run] }: EventBatch): number {
  if (run === undefined) return 0;
  walk.at = run.offsets[run.from] as number;
  return Math.abs(readLong(run.slab, walk, run.slab.length));
}

function countHeaders(batch: EventBatch): number {
  let count = 0;
  for (const { slab, offsets, from, to } of batch.runs) {
    for (let i = from; i < to; i++) {
      beginHeaders(walk, offsets[i] as number);
      while (nextHeader(slab, walk, offsets[i + 1] as number)) count++;
    }
  }
  return count;
}
