/**
 * The body of a SNAPSHOT, the first group of every segment: what is left to deliver and where it
 * lies, so that recovery needs no older segment. Of an ACK, only the ranges.
 *
 *   range    = u64 first | u64 last                       both included
 *   ack      = range{count}
 *   snapshot = u64 lowest                                 lowest sequence not acknowledged
 *              range{count}                               acknowledged above it
 *              u64 put | u64 taken | u64 discarded        since the channel was made
 *              u32 segments
 *              segment{segments}                          those that hold anything unacknowledged
 *              TLV*                                       reserved: receipts
 *   segment  = u64 id | u64 run | u16 directory | u16 0 | u32 end | u64 firstSeq | u64 nextSeq
 */
import type { SequenceRange } from "@millrace/core";
import { readU64, writeU64 } from "./bytes.ts";
import { readTlvs } from "./tlv.ts";

export interface LiveSegment {
  readonly id: number;
  readonly run: string;
  /** Index of its directory, as channel.json numbers them. */
  readonly directory: number;
  /** Where its synced bytes end. */
  readonly end: number;
  readonly firstSequence: number;
  readonly nextSequence: number;
}

export interface Snapshot {
  readonly lowest: number;
  readonly acknowledged: readonly SequenceRange[];
  readonly putTotal: number;
  readonly takenTotal: number;
  readonly discardedTotal: number;
  readonly segments: readonly LiveSegment[];
}

const rangeBytes = 16;
const segmentEntryBytes = 40;

export function encodeRanges(ranges: readonly SequenceRange[]): Buffer {
  const bytes = Buffer.allocUnsafe(ranges.length * rangeBytes);
  writeRanges(bytes, 0, ranges);
  return bytes;
}

/** The ranges of an ACK; undefined where they are not sorted, disjoint and not empty. */
export function decodeRanges(body: Buffer, count: number): SequenceRange[] | undefined {
  return body.length === count * rangeBytes ? readRanges(body, 0, count) : undefined;
}

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  const { acknowledged, segments } = snapshot;
  const segmentsAt = 8 + acknowledged.length * rangeBytes + 24;
  const bytes = Buffer.alloc(segmentsAt + 4 + segments.length * segmentEntryBytes);
  writeU64(bytes, 0, snapshot.lowest);
  const totalsAt = writeRanges(bytes, 8, acknowledged);
  writeU64(bytes, totalsAt, snapshot.putTotal);
  writeU64(bytes, totalsAt + 8, snapshot.takenTotal);
  writeU64(bytes, totalsAt + 16, snapshot.discardedTotal);
  bytes.writeUInt32BE(segments.length, segmentsAt);
  segments.forEach((segment, index) => {
    const at = segmentsAt + 4 + index * segmentEntryBytes;
    writeU64(bytes, at, segment.id);
    bytes.write(segment.run, at + 8, 8, "hex");
    bytes.writeUInt16BE(segment.directory, at + 16);
    bytes.writeUInt32BE(segment.end, at + 20);
    writeU64(bytes, at + 24, segment.firstSequence);
    writeU64(bytes, at + 32, segment.nextSequence);
  });
  return bytes;
}

/** Undefined where the body is not one; `count` is the record's. Throws CHANNEL_FORMAT. */
export function decodeSnapshot(body: Buffer, count: number, where: string): Snapshot | undefined {
  const segmentsAt = 8 + count * rangeBytes + 24;
  if (body.length < segmentsAt + 4) return undefined;
  const acknowledged = readRanges(body, 8, count);
  const segmentCount = body.readUInt32BE(segmentsAt);
  const end = segmentsAt + 4 + segmentCount * segmentEntryBytes;
  if (acknowledged === undefined || end > body.length) return undefined;
  const segments: LiveSegment[] = [];
  for (let at = segmentsAt + 4; at < end; at += segmentEntryBytes) {
    segments.push({
      id: readU64(body, at),
      run: body.toString("hex", at + 8, at + 16),
      directory: body.readUInt16BE(at + 16),
      end: body.readUInt32BE(at + 20),
      firstSequence: readU64(body, at + 24),
      nextSequence: readU64(body, at + 32),
    });
  }
  if (readTlvs(body, end, body.length, [], where) === undefined) return undefined;
  const totalsAt = segmentsAt - 24;
  return {
    lowest: readU64(body, 0),
    acknowledged,
    putTotal: readU64(body, totalsAt),
    takenTotal: readU64(body, totalsAt + 8),
    discardedTotal: readU64(body, totalsAt + 16),
    segments,
  };
}

function writeRanges(into: Buffer, at: number, ranges: readonly SequenceRange[]): number {
  for (const { first, end } of ranges) {
    writeU64(into, at, first);
    writeU64(into, at + 8, end - 1);
    at += rangeBytes;
  }
  return at;
}

function readRanges(from: Buffer, at: number, count: number): SequenceRange[] | undefined {
  const ranges: SequenceRange[] = [];
  let next = 0;
  for (let i = 0; i < count; i++, at += rangeBytes) {
    const first = readU64(from, at);
    const end = readU64(from, at + 8) + 1;
    if (first < next || end <= first || !Number.isSafeInteger(end)) return undefined;
    ranges.push({ first, end });
    next = end;
  }
  return ranges;
}
