import { alignUp } from "./bytes.ts";
import {
  bodyBytes,
  newRecordBytes,
  type NewRecord,
  recordFlag,
  recordHeadBytes,
  writeRecordHead,
} from "./record.ts";
import { tlvBytes } from "./tlv.ts";

/** Bodies below this are copied beside their heads: a memcpy is cheaper than one more I/O vector. */
const copyBytesMax = 4096;

export interface GroupPlace {
  /** Offset in the segment, a multiple of `align`. */
  readonly offset: number;
  /** Everything before this is synced: `offset`, unless syncs are left out between groups. */
  readonly groupStart: number;
  readonly align: number;
  readonly salt: Buffer;
}

export interface GroupBytes {
  /** For one vectored write; together a multiple of `align`. */
  readonly buffers: readonly Buffer[];
  readonly bytes: number;
  /** Offset in the segment of each record. */
  readonly offsets: readonly number[];
}

/** Bytes a group of these records takes in its segment. */
export function groupBytes(records: readonly NewRecord[], align: number): number {
  let bytes = 0;
  for (const record of records) bytes += newRecordBytes(record);
  return alignUp(bytes, align);
}

/**
 * The bytes of a group. Heads, small bodies and padding share one new buffer; large bodies stand
 * between its pieces as they are.
 */
export function encodeGroup(records: readonly NewRecord[], place: GroupPlace): GroupBytes {
  const total = groupBytes(records, place.align);
  let staged = total;
  for (const record of records) {
    for (const part of record.body) if (part.length >= copyBytesMax) staged -= part.length;
  }
  const staging = Buffer.allocUnsafe(staged);
  const buffers: Buffer[] = [];
  const offsets: number[] = [];
  let cut = 0;
  let at = 0;
  let offset = place.offset;
  records.forEach((record, index) => {
    const last = index === records.length - 1;
    const flagged = last ? { ...record, flags: record.flags | recordFlag.last } : record;
    offsets.push(offset);
    at = writeRecordHead(staging, at, flagged, place.salt, place.groupStart);
    for (const part of record.body) {
      if (part.length < copyBytesMax) at += part.copy(staging, at);
      else {
        buffers.push(staging.subarray(cut, at), part);
        cut = at;
      }
    }
    const used = recordHeadBytes + tlvBytes(record.ext) + bodyBytes(record.body);
    const end = last ? place.offset + total : offset + newRecordBytes(record);
    const padding = end - offset - used;
    staging.fill(0, at, at + padding);
    at += padding;
    offset = end;
  });
  if (cut < at) buffers.push(staging.subarray(cut, at));
  return { buffers, bytes: total, offsets };
}
