/**
 * A record, the unit that verifies:
 *
 *      0    4  headCrc: crc32 of bytes 4..39
 *      4    4  bodyCrc: crc32 of ext and body, so a damaged body does not hide where it ends
 *      8    8  salt of the segment, so nothing of an earlier life or inside an event verifies
 *     16    4  bodyBytes
 *     20    2  extBytes
 *     22    1  type
 *     23    1  flags: 1 optional, 2 last of its group, 4 clean
 *     24    8  seq
 *     32    4  count
 *     36    4  groupStart: everything before this offset was synced when the record was written
 *     40       ext: TLV*
 *              body
 *              zeros up to a multiple of 8
 *
 *   PUT 1       seq of the first event, events (0 is legal); body: Avro events back to back;
 *               ext: PUT_TIME ms since 1970, RUN where it was copied from another run's segment,
 *               SEAL in an encrypted segment (`sealed-body.ts`)
 *   ACK 2       next sequence, ranges; body: ranges; ext: DISCARDED, those of them that were not
 *               delivered, as ranges
 *   SNAPSHOT 3  next sequence, ranges; body: `snapshot.ts`
 *   MARK 4      next sequence, 0; no body: proves the group before it; `clean`: closed in order
 *
 *   group = record+, starts at groupAlign, its last record flagged so; then zeros up to groupAlign.
 *   Behind a record that is not the last of its group, the next begins at the next multiple of 8.
 */
import { crc32 } from "node:zlib";
import { alignUp, readU64, writeU64 } from "./bytes.ts";
import { type Tlv, tlvBytes, writeTlvs } from "./tlv.ts";

export const recordHeadBytes = 40;
export const recordType = { put: 1, ack: 2, snapshot: 3, mark: 4 } as const;
export const recordFlag = { optional: 1, last: 2, clean: 4 } as const;
export const extType = {
  putTime: 1,
  run: 2,
  seal: 3,
  origin: 0x8003,
  covers: 0x8004,
  discarded: 0x8005,
} as const;

export interface RecordHead {
  readonly bodyCrc: number;
  readonly bodyBytes: number;
  readonly extBytes: number;
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly count: number;
  readonly groupStart: number;
}

/** A record to be written. `body` is not copied where it is large. */
export interface NewRecord {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly count: number;
  readonly ext: readonly Tlv[];
  readonly body: readonly Buffer[];
}

/** Bytes from the head to the next record of its group. */
export function recordBytes(extBytes: number, bodyBytes: number): number {
  return alignUp(recordHeadBytes + extBytes + bodyBytes, 8);
}

export function bodyBytes(body: readonly Buffer[]): number {
  let bytes = 0;
  for (const part of body) bytes += part.length;
  return bytes;
}

/** Bytes the record takes; `extraExtBytes` are extensions it gets when it is written. */
export function newRecordBytes(record: NewRecord, extraExtBytes = 0): number {
  return recordBytes(tlvBytes(record.ext) + extraExtBytes, bodyBytes(record.body));
}

/** Writes head and ext at `at`, all but the checksums; returns the offset behind them. */
export function writeRecordHead(
  into: Buffer,
  at: number,
  record: NewRecord,
  salt: Buffer,
  groupStart: number,
): number {
  const extAt = at + recordHeadBytes;
  const end = writeTlvs(into, extAt, record.ext);
  salt.copy(into, at + 8);
  into.writeUInt32BE(bodyBytes(record.body), at + 16);
  into.writeUInt16BE(end - extAt, at + 20);
  into.writeUInt8(record.type, at + 22);
  into.writeUInt8(record.flags, at + 23);
  writeU64(into, at + 24, record.sequence);
  into.writeUInt32BE(record.count, at + 32);
  into.writeUInt32BE(groupStart, at + 36);
  return end;
}

/** The checksums of the record whose head and ext stand in `[at, end)`, over the body as stored. */
export function writeRecordSums(
  into: Buffer,
  at: number,
  end: number,
  body: readonly Buffer[],
): void {
  const extAt = at + recordHeadBytes;
  let crc = crc32(into.subarray(extAt, end));
  for (const part of body) crc = crc32(part, crc);
  into.writeUInt32BE(crc, at + 4);
  into.writeUInt32BE(crc32(into.subarray(at + 4, extAt)), at);
}

/** The head in the 40 bytes at `at`, or undefined when they do not verify with this salt. */
export function decodeRecordHead(from: Buffer, at: number, salt: Buffer): RecordHead | undefined {
  if (from.compare(salt, 0, 8, at + 8, at + 16) !== 0) return undefined;
  if (crc32(from.subarray(at + 4, at + recordHeadBytes)) !== from.readUInt32BE(at))
    return undefined;
  const sequence = readU64(from, at + 24);
  if (!Number.isSafeInteger(sequence)) return undefined;
  return {
    bodyCrc: from.readUInt32BE(at + 4),
    bodyBytes: from.readUInt32BE(at + 16),
    extBytes: from.readUInt16BE(at + 20),
    type: from.readUInt8(at + 22),
    flags: from.readUInt8(at + 23),
    sequence,
    count: from.readUInt32BE(at + 32),
    groupStart: from.readUInt32BE(at + 36),
  };
}
