/**
 * The first 4096 bytes of a segment file. It is written last, when the first group behind it is
 * synced, so a valid header proves that group; it decides what the file is, its name is a hint.
 *
 *      0    8  magic "MLRCSEG\n"
 *      8    2  format, 1
 *     10    4  mustUnderstand: bits for what a reader has to know; none yet
 *     14   16  channel: the uuid in channel.json
 *     30    8  id: only rises, over all directories
 *     38    8  run: drawn at each open; (run, sequence) is an event's identity for ever
 *     46    8  salt: random, in every record head of this life of the file
 *     54    8  firstSeq: sequence of the first event put into this segment
 *     62    8  prevId: the segment that was active before; 0 for none
 *     70    4  prevEnd: where that one's synced bytes end
 *     74    2  groupAlign: groups start at multiples of this
 *     76       TLV*, then zeros (reserved: key id, key salt)
 *   4092    4  crc32 of bytes 0..4091
 */
import { MillraceError } from "@millrace/core";
import { crc32 } from "node:zlib";
import { readU64, writeU64 } from "./bytes.ts";
import { readTlvs } from "./tlv.ts";

export const segmentHeaderBytes = 4096;
const magic = Buffer.from("MLRCSEG\n", "latin1");
const format = 1;
const crcAt = segmentHeaderBytes - 4;

export interface SegmentHeader {
  /** 32 hexadecimal digits. */
  readonly channel: string;
  readonly id: number;
  /** 16 hexadecimal digits. */
  readonly run: string;
  /** 8 bytes. */
  readonly salt: Buffer;
  readonly firstSequence: number;
  readonly previousId: number;
  readonly previousEnd: number;
  readonly groupAlign: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt16BE(format, 8);
  bytes.write(header.channel, 14, 16, "hex");
  writeU64(bytes, 30, header.id);
  bytes.write(header.run, 38, 8, "hex");
  header.salt.copy(bytes, 46);
  writeU64(bytes, 54, header.firstSequence);
  writeU64(bytes, 62, header.previousId);
  bytes.writeUInt32BE(header.previousEnd, 70);
  bytes.writeUInt16BE(header.groupAlign, 74);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, crcAt)), crcAt);
  return bytes;
}

/**
 * The header, or undefined when the bytes are none: torn, damaged, or never written. Throws
 * CHANNEL_FORMAT for a sound header of a later version.
 */
export function decodeSegmentHeader(bytes: Buffer, where: string): SegmentHeader | undefined {
  if (bytes.length < segmentHeaderBytes || !bytes.subarray(0, 8).equals(magic)) return undefined;
  if (crc32(bytes.subarray(0, crcAt)) !== bytes.readUInt32BE(crcAt)) return undefined;
  const version = bytes.readUInt16BE(8);
  const mustUnderstand = bytes.readUInt32BE(10);
  if (version !== format || mustUnderstand !== 0) {
    throw new MillraceError(
      "CHANNEL_FORMAT",
      `${where} has format ${version}, features 0x${mustUnderstand.toString(16)}; this version reads format ${format} only`,
    );
  }
  readTlvs(bytes, 76, crcAt, [], where);
  return {
    channel: bytes.toString("hex", 14, 30),
    id: readU64(bytes, 30),
    run: bytes.toString("hex", 38, 46),
    salt: Buffer.from(bytes.subarray(46, 54)),
    firstSequence: readU64(bytes, 54),
    previousId: readU64(bytes, 62),
    previousEnd: bytes.readUInt32BE(70),
    groupAlign: bytes.readUInt16BE(74),
  };
}
