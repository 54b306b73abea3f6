import type { FileHandle, FileSystem } from "@millrace/core";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { readU64, writeU64 } from "../format/bytes.ts";
import { decodeRecordHead, recordHeadBytes, recordType } from "../format/record.ts";
import {
  decodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
} from "../format/segment-header.ts";
import { RecordReader } from "../log/record-reader.ts";
import { segmentIdOf } from "../log/segment.ts";
import { saltsIn } from "./scan-segment.ts";
import { type TolerantHandle, tolerantHandle } from "../log/tolerant-handle.ts";

/** A segment file as it lies there. */
export interface SegmentFile {
  /** Position of its directory in the list that was given. */
  readonly place: number;
  readonly path: string;
  readonly namedId: number;
  readonly size: number;
  /** Undefined when it does not verify. */
  readonly header: SegmentHeader | undefined;
  /** The header's 4096 bytes, or what there is of them. */
  readonly headerBytes: Buffer;
}

/** What a segment whose header is gone shows of itself. */
export interface HeaderlessSegment {
  readonly salt: Buffer;
  readonly groupAlign: number;
  /** Of the snapshot at its beginning. */
  readonly firstSequence: number | undefined;
  /** Of the first record that can be read; the segment begins with it or with an earlier one. */
  readonly firstRead: number;
  /** A group behind the opening: it was written once the header was synced. */
  readonly hadHeader: boolean;
}

const windowBytes = 1024 * 1024;
const alignMin = 512;

/** Every file in the directory that is named as a segment. Throws CHANNEL_FORMAT for later formats. */
export async function readSegmentFiles(
  files: FileSystem,
  directory: string,
  place: number,
): Promise<SegmentFile[]> {
  const found: SegmentFile[] = [];
  for (const { name, isFile } of await files.readDirectory(directory)) {
    const namedId = segmentIdOf(name);
    if (namedId === undefined || !isFile) continue;
    const path = join(directory, name);
    found.push(
      await withFile(files, path, async (handle) => {
        const { size } = await handle.stat();
        const headerBytes = await readBytes(handle, 0, segmentHeaderBytes);
        const header = decodeSegmentHeader(headerBytes, path);
        return { place, path, namedId, size, header, headerBytes };
      }),
    );
  }
  return found.sort((a, b) => a.namedId - b.namedId);
}

/** Opens the file for reading, over unreadable blocks too, for as long as `use` takes. */
export async function withFile<T>(
  files: FileSystem,
  path: string,
  use: (handle: TolerantHandle) => Promise<T>,
): Promise<T> {
  const handle = await openTolerant(files, path);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

/** A handle to read by that goes on behind unreadable blocks. */
export async function openTolerant(files: FileSystem, path: string): Promise<TolerantHandle> {
  return tolerantHandle(await files.open(path, "read"));
}

/** Undefined where no record verifies with any salt the file hints at: nothing can be read then. */
export async function readHeaderless(
  files: FileSystem,
  file: SegmentFile,
): Promise<HeaderlessSegment | undefined> {
  return withFile(files, file.path, async (handle) => {
    const firstHead = await readBytes(handle, segmentHeaderBytes, recordHeadBytes);
    const hinted = saltsIn(file.headerBytes, firstHead);
    const salts = firstVerifies(firstHead)
      ? hinted
      : [...hinted, ...(await saltBehind(handle, file))];
    for (const salt of salts) {
      const options = { salt, align: alignMin, limit: file.size, windowBytes };
      const reader = new RecordReader(handle, options);
      const any = await reader.find(segmentHeaderBytes, 8, () => true);
      if (any === undefined) continue;
      const first = await reader.head(segmentHeaderBytes);
      const behind = await reader.find(
        segmentHeaderBytes + 1,
        alignMin,
        ({ groupStart }, offset) => groupStart > segmentHeaderBytes && groupStart <= offset,
      );
      const isOpening = first?.type === recordType.snapshot;
      return {
        salt,
        groupAlign: alignIn(file.headerBytes),
        firstSequence: isOpening ? first.sequence : undefined,
        firstRead: any.head.sequence,
        hadHeader: behind !== undefined,
      };
    }
    return undefined;
  });
}

function firstVerifies(head: Buffer): boolean {
  return head.length === recordHeadBytes && headAt(head, 0) !== undefined;
}

/** A head that verifies with the salt it carries: it stands where a record begins. */
function headAt(bytes: Buffer, at: number): Buffer | undefined {
  const salt = bytes.subarray(at + 8, at + 16);
  return decodeRecordHead(bytes, at, salt) === undefined ? undefined : Buffer.from(salt);
}

/** The salt of the first group behind a beginning that is damaged too. */
async function saltBehind(handle: FileHandle, { size }: SegmentFile): Promise<Buffer[]> {
  for (let from = segmentHeaderBytes; from < size; from += windowBytes) {
    const bytes = await readBytes(handle, from, Math.min(windowBytes, size - from));
    for (let at = 0; at + recordHeadBytes <= bytes.length; at += alignMin) {
      const salt = headAt(bytes, at);
      if (salt !== undefined) return [salt];
    }
  }
  return [];
}

/** What is known of a segment beside the bytes where its header should be. */
export interface KnownOfHeader {
  readonly channel: string;
  readonly id: number;
  readonly run: string | undefined;
  readonly salt: Buffer;
  readonly firstSequence: number | undefined;
  readonly groupAlign: number;
}

/** Tried in turn: only an encrypted segment's header has extensions, and only they make it whole. */
const encodings = [
  { format: 2, features: 1 },
  { format: 1, features: 0 },
] as const;

/**
 * The header as it was: what is known is set right in the damaged bytes, the rest, which only says
 * where it came from and how it is encrypted, is taken as it stands there. Undefined where that
 * makes no header.
 */
export function rebuildHeader(
  damaged: Buffer,
  known: KnownOfHeader,
  where: string,
): { header: SegmentHeader; bytes: Buffer } | undefined {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  damaged.copy(bytes);
  bytes.write("MLRCSEG\n", 0, "latin1");
  bytes.write(known.channel, 14, 16, "hex");
  writeU64(bytes, 30, known.id);
  if (known.run !== undefined) bytes.write(known.run, 38, 8, "hex");
  known.salt.copy(bytes, 46);
  if (known.firstSequence !== undefined) writeU64(bytes, 54, known.firstSequence);
  if (readU64(bytes, 62) >= known.id) {
    writeU64(bytes, 62, 0);
    bytes.writeUInt32BE(0, 70);
  }
  bytes.writeUInt16BE(known.groupAlign, 74);
  for (const { format, features } of encodings) {
    bytes.writeUInt16BE(format, 8);
    bytes.writeUInt32BE(features, 10);
    if (features === 0) bytes.fill(0, 76, segmentHeaderBytes);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), segmentHeaderBytes - 4);
    try {
      const header = decodeSegmentHeader(bytes, where);
      if (header !== undefined) return { header, bytes };
    } catch {
      // It does not say how it is encrypted, so it is taken for one that is not.
    }
  }
  return undefined;
}

export async function readBytes(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let at = 0;
  while (at < length) {
    const read = await handle.read(bytes, at, length - at, from + at);
    if (read === 0) break;
    at += read;
  }
  return bytes.subarray(0, at);
}

function alignIn(header: Buffer): number {
  return header.length >= 76 && header.readUInt16BE(74) === 4096 ? 4096 : alignMin;
}
