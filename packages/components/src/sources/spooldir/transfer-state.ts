/**
 * `.flumespool-main.meta`: how far the file that is being read has been committed. It is the file
 * Flume's DurablePositionTracker writes, an Avro object container, so that either can go on where
 * the other stopped:
 *
 *   file     = "Obj" 01, metadata, sync, block*
 *   metadata = Avro map: "avro.schema"; "file", the path being read;
 *              "millrace.file", inode:size:mtime of that file (Flume ignores it)
 *   sync     = 16 random bytes
 *   block    = count = 1, size, record, sync       one is appended for each commit
 *   record   = offset                              zigzag varint: bytes that are committed
 *
 * The last whole record counts; what is torn behind it does not.
 */
import {
  type Cursor,
  eachHeader,
  encodeHeaders,
  type FileHandle,
  type FileSystem,
  fileExists,
  type FileStat,
  MillraceError,
  type Random,
  readWholeFile,
  replaceFile,
  systemErrorCode,
  writeFully,
  writeLong,
} from "@millrace/core";

export interface TransferState {
  readonly path: string;
  readonly offset: number;
  /** What `identityOf` gave for the file; undefined when Flume wrote the state. */
  readonly identity: string | undefined;
}

/** Tells a file from a later one of the same name. The device is left out: a reboot may renumber it. */
export function identityOf({ inode, size, modifiedMs }: FileStat): string {
  return `${inode}:${size}:${modifiedMs}`;
}

const magic = Buffer.from("Obj\x01", "latin1");
const syncBytes = 16;
const schema = JSON.stringify({
  type: "record",
  name: "TransferStateFileMeta",
  namespace: "org.apache.flume.serialization",
  fields: [{ name: "offset", type: "long" }],
});

/** The file's bytes up to its first block. */
export function encodeTransferHeader(path: string, identity: string, sync: Buffer): Buffer {
  const metadata = new Map([
    ["avro.schema", schema],
    ["file", path],
    ["millrace.file", identity],
  ]);
  return Buffer.concat([magic, encodeHeaders(metadata), sync]);
}

/** One block with one record. */
export function encodeTransferBlock(offset: number, sync: Buffer): Buffer {
  const record = Buffer.alloc(10);
  const length = writeLong(record, 0, offset);
  const counts = Buffer.from([1 * 2, length * 2]);
  return Buffer.concat([counts, record.subarray(0, length), sync]);
}

/** The state as last written; undefined when the bytes do not even hold a whole header. */
export function decodeTransferState(bytes: Buffer): TransferState | undefined {
  if (!bytes.subarray(0, magic.length).equals(magic)) return undefined;
  const metadata = new Map<string, string>();
  const cursor = { at: magic.length };
  try {
    eachHeader(bytes, cursor, bytes.length, (_entry, nameStart, nameEnd, valueStart, valueEnd) => {
      const name = bytes.toString("utf8", nameStart, nameEnd);
      metadata.set(name, bytes.toString("utf8", valueStart, valueEnd));
    });
  } catch {
    return undefined;
  }
  const path = metadata.get("file");
  const sync = bytes.subarray(cursor.at, cursor.at + syncBytes);
  const codec = metadata.get("avro.codec") ?? "null";
  if (path === undefined || sync.length < syncBytes || codec !== "null") return undefined;
  cursor.at += syncBytes;
  return { path, offset: lastOffset(bytes, cursor, sync), identity: metadata.get("millrace.file") };
}

function lastOffset(bytes: Buffer, cursor: Cursor, sync: Buffer): number {
  let last = 0;
  for (;;) {
    const count = readVarint(bytes, cursor);
    const size = readVarint(bytes, cursor);
    if (count === undefined || size === undefined || count <= 0 || size < 0) return last;
    const end = cursor.at + size;
    if (!bytes.subarray(end, end + syncBytes).equals(sync)) return last;
    let offset: number | undefined;
    for (let i = 0; i < count && cursor.at < end; i++) offset = readVarint(bytes, cursor);
    if (offset === undefined || offset < 0 || cursor.at !== end) return last;
    last = offset;
    cursor.at = end + syncBytes;
  }
}

/** A zigzag varint of a whole number; undefined at the end of the bytes. */
function readVarint(bytes: Buffer, cursor: Cursor): number | undefined {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[cursor.at];
    if (byte === undefined) return undefined;
    cursor.at++;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    scale *= 128;
  }
  return undefined;
}

/** A state file past this size is written anew: after 3,000 commits or so. */
const stateBytesMax = 64 * 1024;

/** Writes the state of one file after another. */
export class TransferTracker {
  readonly #files: FileSystem;
  readonly #random: Random;
  readonly #path: string;
  #target: string | undefined;
  #sync: Buffer = Buffer.alloc(0);
  #handle: FileHandle | undefined;
  #length = 0;

  constructor(files: FileSystem, random: Random, path: string) {
    this.#files = files;
    this.#random = random;
    this.#path = path;
  }

  /** What the last run left; undefined when there is nothing, or nothing that can be read. */
  async load(): Promise<TransferState | undefined> {
    if (!(await fileExists(this.#files, this.#path))) return undefined;
    return decodeTransferState(await readWholeFile(this.#files, this.#path));
  }

  /**
   * Records that the file is committed up to `offset`. The first record of a file replaces the
   * state whole, as does the one after a write that failed; the others are appended, unsynced: a
   * power cut may repeat more than one batch, never lose one.
   */
  async record(path: string, identity: string, offset: number): Promise<void> {
    if (this.#handle !== undefined && this.#target === path && this.#length < stateBytesMax) {
      const block = encodeTransferBlock(offset, this.#sync);
      try {
        await writeFully(this.#handle, [block], this.#length);
      } catch (cause) {
        await this.close();
        throw this.#writeFailed(cause);
      }
      this.#length += block.length;
      return;
    }
    await this.close();
    this.#sync = this.#random.bytes(syncBytes);
    const header = encodeTransferHeader(path, identity, this.#sync);
    const content = Buffer.concat([header, encodeTransferBlock(offset, this.#sync)]);
    try {
      await replaceFile(this.#files, this.#path, content);
      this.#handle = await this.#files.open(this.#path, "append");
    } catch (cause) {
      throw this.#writeFailed(cause);
    }
    this.#target = path;
    this.#length = content.length;
  }

  /** Forgets the state: its file is finished. */
  async forget(): Promise<void> {
    await this.close();
    try {
      await this.#files.unlink(this.#path);
    } catch (cause) {
      if (systemErrorCode(cause) !== "ENOENT") throw this.#writeFailed(cause);
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    this.#target = undefined;
    await handle?.close().catch(() => {});
  }

  #writeFailed(cause: unknown): MillraceError {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new MillraceError("WRITE_FAILED", `position file ${this.#path}: ${why}`, { cause });
  }
}
