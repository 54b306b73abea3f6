/**
 * `log-N.meta`, beside each data file, a delimited protocol buffer:
 *
 *   1: sfixed32 version   2: sfixed32 file        3: sfixed64 position, 4: sfixed64 write order of the last checkpoint
 *   5: encryption { 1: cipherProvider, 2: keyAlias, 3: parameters }
 *   6, 7: position and write order of the checkpoint before that one
 *
 * It is replaced by renaming; where that cannot be done at once there may be a moment with
 * `log-N.meta.tmp` or `log-N.meta.old` only (FLUME-1699), which are read then and left where they are.
 */
import { fileExists, type FileSystem, MillraceError, readWholeFile } from "@millrace/core";
import {
  bytesWire,
  FieldWalk,
  fixed32Wire,
  fixed64Wire,
  readOrderNumber,
  readVarint,
  varintBytes,
} from "./protobuf.ts";

export interface LogMeta {
  readonly version: number;
  readonly file: number;
  /** Write orders of the last two checkpoints that were stamped on the file; 0 for none. */
  readonly checkpoints: readonly number[];
  readonly encryption: LogEncryption | undefined;
}

export interface LogEncryption {
  readonly cipherProvider: string;
  readonly keyAlias: string;
  /** The initialization vector. */
  readonly parameters: Buffer;
}

const metaBytesMax = 64 * 1024;

/** The meta of a data file; undefined when there is none, or an empty one. */
export async function readLogMeta(files: FileSystem, path: string): Promise<LogMeta | undefined> {
  for (const suffix of [".meta", ".meta.tmp", ".meta.old"]) {
    const metaPath = path + suffix;
    if (!(await fileExists(files, metaPath))) continue;
    const { size } = await files.stat(metaPath);
    if (size === 0) return undefined;
    const bytes = size > metaBytesMax ? undefined : await readWholeFile(files, metaPath);
    const meta = bytes && decodeLogMeta(bytes);
    if (meta === undefined) {
      throw new MillraceError(
        "CHANNEL_FORMAT",
        `${metaPath} is not the meta file of a Java Flume data file; restore it, or let Java Flume drain the channel`,
        { context: { file: metaPath } },
      );
    }
    return meta;
  }
  return undefined;
}

/** Undefined when the bytes are no such message. */
export function decodeLogMeta(bytes: Buffer): LogMeta | undefined {
  const length = readVarint(bytes, 0, bytes.length);
  const start = varintBytes(length);
  if (length < 0 || start + length > bytes.length) return undefined;
  const walk = new FieldWalk();
  let version = -1;
  let file = -1;
  let encryption: LogEncryption | undefined;
  const checkpoints: number[] = [];
  walk.begin(bytes, start, start + length);
  while (walk.next()) {
    const { field, wire } = walk;
    if (wire === fixed32Wire && field === 1) version = bytes.readInt32LE(walk.start);
    if (wire === fixed32Wire && field === 2) file = bytes.readInt32LE(walk.start);
    if (wire === fixed64Wire && (field === 4 || field === 7)) {
      checkpoints.push(readOrderNumber(bytes, walk.start));
    }
    if (wire === bytesWire && field === 5) {
      encryption = decodeEncryption(bytes, walk.start, walk.end);
      if (encryption === undefined) return undefined;
    }
  }
  if (walk.malformed || version < 0 || file < 0) return undefined;
  return { version, file, encryption, checkpoints: checkpoints.filter((order) => order > 0) };
}

function decodeEncryption(bytes: Buffer, start: number, end: number): LogEncryption | undefined {
  const walk = new FieldWalk();
  const texts: (Buffer | undefined)[] = [];
  walk.begin(bytes, start, end);
  while (walk.next()) {
    if (walk.wire === bytesWire && walk.field <= 3) {
      texts[walk.field] = Buffer.from(bytes.subarray(walk.start, walk.end));
    }
  }
  const [, cipherProvider, keyAlias, parameters = Buffer.alloc(0)] = texts;
  if (walk.malformed || cipherProvider === undefined || keyAlias === undefined) return undefined;
  return { cipherProvider: cipherProvider.toString(), keyAlias: keyAlias.toString(), parameters };
}
