/**
 * The first 4096 bytes of a segment file. It is written last, when the first group behind it is
 * synced, so a valid header proves that group; it decides what the file is, its name is a hint.
 *
 *      0    8  magic "MLRCSEG\n"
 *      8    2  format: 1, or 2 where something below needs it
 *     10    4  mustUnderstand: bits for what a reader has to know; 1 = PUT bodies are sealed
 *     14   16  channel: the uuid in channel.json
 *     30    8  id: only rises, over all directories
 *     38    8  run: drawn at each open; (run, sequence) is an event's identity for ever
 *     46    8  salt: random, in every record head of this life of the file
 *     54    8  firstSeq: sequence of the first event put into this segment
 *     62    8  prevId: the segment that was active before; 0 for none
 *     70    4  prevEnd: where that one's synced bytes end
 *     74    2  groupAlign: groups start at multiples of this
 *     76       TLV*, then zeros
 *   4092    4  crc32 of bytes 0..4091
 *
 *   TLVs of a sealed segment (format 2): 1 name of the key, UTF-8; 2 key salt, 32 random bytes;
 *   3 check value of the data key, 16 bytes (`keys/segment-key.ts`). The bodies: `sealed-body.ts`.
 *
 * A segment is written in the lowest format that can hold it, so the version before reads whatever
 * uses nothing new.
 */
import { MillraceError } from "@millrace/core";
import { crc32 } from "node:zlib";
import { readU64, writeU64 } from "./bytes.ts";
import { readTlvs, type Tlv, tlvBytes, writeTlvs } from "./tlv.ts";

export const segmentHeaderBytes = 4096;
const magic = Buffer.from("MLRCSEG\n", "latin1");
const tlvsAt = 76;
const crcAt = segmentHeaderBytes - 4;
const sealedBit = 1;
const headerTlv = { keyAlias: 1, keySalt: 2, keyCheck: 3 } as const;
export const keySaltBytes = 32;
export const keyCheckBytes = 16;
export const keyAliasBytesMax = 255;

/** How a segment's events are encrypted: says which key, and nothing of it. */
export interface SegmentEncryption {
  readonly keyAlias: string;
  readonly keySalt: Buffer;
  /** Tells a wrong key before anything is read with it. */
  readonly keyCheck: Buffer;
}

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
  /** Where the events are encrypted; that takes format 2. */
  readonly encryption?: SegmentEncryption;
}

/** The formats this version reads; it writes up to the one that `formatVersion` says. */
export type FormatVersion = 1 | 2;
export const newestFormat = 2;

/** The lowest format that can hold the segment. */
export function formatOf(header: SegmentHeader): FormatVersion {
  return header.encryption === undefined ? 1 : 2;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt16BE(formatOf(header), 8);
  bytes.writeUInt32BE(header.encryption === undefined ? 0 : sealedBit, 10);
  bytes.write(header.channel, 14, 16, "hex");
  writeU64(bytes, 30, header.id);
  bytes.write(header.run, 38, 8, "hex");
  header.salt.copy(bytes, 46);
  writeU64(bytes, 54, header.firstSequence);
  writeU64(bytes, 62, header.previousId);
  bytes.writeUInt32BE(header.previousEnd, 70);
  bytes.writeUInt16BE(header.groupAlign, 74);
  const tlvs = encryptionTlvs(header.encryption);
  if (tlvsAt + tlvBytes(tlvs) > crcAt) throw new Error("the header's extensions are too long");
  writeTlvs(bytes, tlvsAt, tlvs);
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
  const unknown = mustUnderstand & ~(version === 1 ? 0 : sealedBit);
  if (version < 1 || version > newestFormat || unknown !== 0) {
    throw new MillraceError(
      "CHANNEL_FORMAT",
      `${where} has format ${version}, features 0x${mustUnderstand.toString(16)}; this version reads formats 1 to ${newestFormat}`,
    );
  }
  const sealed = (mustUnderstand & sealedBit) !== 0;
  const known = sealed ? Object.values(headerTlv) : [];
  const encryption = readEncryption(readTlvs(bytes, tlvsAt, crcAt, known, where) ?? []);
  if (sealed && encryption === undefined) {
    throw new MillraceError("CHANNEL_FORMAT", `${where} is encrypted but does not say how`);
  }
  return {
    channel: bytes.toString("hex", 14, 30),
    id: readU64(bytes, 30),
    run: bytes.toString("hex", 38, 46),
    salt: Buffer.from(bytes.subarray(46, 54)),
    firstSequence: readU64(bytes, 54),
    previousId: readU64(bytes, 62),
    previousEnd: bytes.readUInt32BE(70),
    groupAlign: bytes.readUInt16BE(74),
    ...(encryption === undefined ? {} : { encryption }),
  };
}

function encryptionTlvs(encryption: SegmentEncryption | undefined): Tlv[] {
  if (encryption === undefined) return [];
  return [
    { type: headerTlv.keyAlias, value: Buffer.from(encryption.keyAlias) },
    { type: headerTlv.keySalt, value: encryption.keySalt },
    { type: headerTlv.keyCheck, value: encryption.keyCheck },
  ];
}

function readEncryption(tlvs: readonly Tlv[]): SegmentEncryption | undefined {
  const value = (wanted: number) => tlvs.find(({ type }) => type === wanted)?.value;
  const keyAlias = value(headerTlv.keyAlias);
  const keySalt = value(headerTlv.keySalt);
  const keyCheck = value(headerTlv.keyCheck);
  if (keyAlias === undefined || keySalt?.length !== keySaltBytes) return undefined;
  if (keyCheck?.length !== keyCheckBytes) return undefined;
  return {
    keyAlias: keyAlias.toString("utf8"),
    keySalt: Buffer.from(keySalt),
    keyCheck: Buffer.from(keyCheck),
  };
}
