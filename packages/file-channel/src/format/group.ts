import { alignUp } from "./bytes.ts";
import {
  bodyBytes,
  newRecordBytes,
  type NewRecord,
  recordFlag,
  recordHeadBytes,
  recordType,
  writeRecordHead,
  writeRecordSums,
} from "./record.ts";
import { type BodySealer, sealTlv, sealTlvBytes } from "./sealed-body.ts";
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
  /** Encrypts the bodies of PUTs; undefined in a plain segment. */
  readonly sealer?: BodySealer | undefined;
}

export interface GroupBytes {
  /** For one vectored write; together a multiple of `align`. */
  readonly buffers: readonly Buffer[];
  readonly bytes: number;
  /** Offset in the segment of each record. */
  readonly offsets: readonly number[];
}

/** Bytes a group of these records takes in its segment. */
export function groupBytes(records: readonly NewRecord[], align: number, sealed = false): number {
  let bytes = 0;
  for (const record of records) bytes += newRecordBytes(record, sealExtBytes(record, sealed));
  return alignUp(bytes, align);
}

function sealExtBytes(record: NewRecord, sealed: boolean): number {
  return sealed && record.type === recordType.put ? sealTlvBytes : 0;
}

/**
 * The bytes of a group. Heads, small bodies and padding share one new buffer; large bodies stand
 * between its pieces as they are.
 */
export function encodeGroup(records: readonly NewRecord[], place: GroupPlace): GroupBytes {
  const { align, sealer } = place;
  const total = groupBytes(records, align, sealer !== undefined);
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
    const flags = last ? record.flags | recordFlag.last : record.flags;
    const seals = sealer !== undefined && record.type === recordType.put;
    const ext = seals ? [...record.ext, sealTlv(sealer.nextAttempt())] : record.ext;
    offsets.push(offset);
    const start = at;
    const written = { ...record, flags, ext };
    at = writeRecordHead(staging, start, written, place.salt, place.groupStart);
    // Parts keep their lengths, so what was counted as staged above stays right.
    const body = seals ? sealer.seal(staging.subarray(start, at), record.body) : record.body;
    writeRecordSums(staging, start, at, body);
    for (const part of body) {
      if (part.length < copyBytesMax) at += part.copy(staging, at);
      else {
        buffers.push(staging.subarray(cut, at), part);
        cut = at;
      }
    }
    const used = recordHeadBytes + tlvBytes(ext) + bodyBytes(body);
    const extraBytes = sealExtBytes(record, sealer !== undefined);
    const end = last ? place.offset + total : offset + newRecordBytes(record, extraBytes);
    const padding = end - offset - used;
    staging.fill(0, at, at + padding);
    at += padding;
    offset = end;
  });
  if (cut < at) buffers.push(staging.subarray(cut, at));
  return { buffers, bytes: total, offsets };
}
