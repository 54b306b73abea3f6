/**
 * The checkpoint of Java Flume's file channel, version 3:
 *
 *   checkpoint       int64be[1029 + capacity]: [0] version, [1] write order, [4] 0 when it is whole,
 *                    the queue as a ring from [1029] on; an element is file << 32 | offset
 *   checkpoint.meta  delimited { 1: sfixed32 version, 2: sfixed64 write order, 3: sfixed32 size, 4: sfixed32 head, ... }
 *   inflightputs, inflighttakes
 *                    MD5 of the rest, then (transaction, count, pointer{count})* as int64be, and zeros
 *
 * It says which events were waiting when it was made, so that takes before it need not be known.
 */
import { fileExists, type FileSystem, readWholeFile } from "@millrace/core";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { PointerList } from "./pointer-list.ts";
import {
  FieldWalk,
  fixed32Wire,
  fixed64Wire,
  readOrderNumber,
  readVarint,
  varintBytes,
} from "./protobuf.ts";

export interface Checkpoint {
  readonly directory: string;
  readonly writeOrder: number;
  /** Events that were waiting, the next one first. */
  readonly queue: PointerList;
  /** Transactions that had put something and were open. */
  readonly openPuts: ReadonlySet<number>;
  /** What open transactions had taken. */
  readonly openTakes: readonly { readonly transaction: number; readonly pointers: PointerList }[];
}

const headerLongs = 1029;
const sideBytesMax = 256 * 1024 * 1024;
const chunkBytes = 1024 * 1024;

/** The checkpoint in a directory. A text says why there is none that can be used. */
export async function readCheckpoint(
  files: FileSystem,
  directory: string,
): Promise<Checkpoint | string> {
  const path = join(directory, "checkpoint");
  const metaPath = `${path}.meta`;
  for (const needed of [path, metaPath]) {
    if (!(await fileExists(files, needed))) return `${needed} does not exist`;
  }
  const { size: metaSize } = await files.stat(metaPath);
  const meta =
    metaSize > sideBytesMax ? undefined : decodeMeta(await readWholeFile(files, metaPath));
  if (meta === undefined) return `${metaPath} cannot be read`;
  const queue = await readQueue(files, path, meta);
  if (typeof queue === "string") return queue;
  const puts = await readInflight(files, join(directory, "inflightputs"));
  const takes = await readInflight(files, join(directory, "inflighttakes"));
  if (typeof puts === "string") return puts;
  if (typeof takes === "string") return takes;
  return {
    directory,
    writeOrder: meta.writeOrder,
    queue,
    openPuts: new Set(puts.map(({ transaction }) => transaction)),
    openTakes: takes,
  };
}

interface CheckpointMeta {
  readonly version: number;
  readonly writeOrder: number;
  readonly size: number;
  readonly head: number;
}

function decodeMeta(bytes: Buffer): CheckpointMeta | undefined {
  const length = readVarint(bytes, 0, bytes.length);
  const start = varintBytes(length);
  if (length < 0 || start + length > bytes.length) return undefined;
  const walk = new FieldWalk();
  const numbers = [-1, -1, -1, -1, -1];
  walk.begin(bytes, start, start + length);
  while (walk.next()) {
    const { field, wire } = walk;
    if (wire === fixed64Wire && field === 2) numbers[2] = readOrderNumber(bytes, walk.start);
    if (wire === fixed32Wire && (field === 1 || field === 3 || field === 4)) {
      numbers[field] = bytes.readInt32LE(walk.start);
    }
  }
  const [, version = -1, writeOrder = -1, size = -1, head = -1] = numbers;
  if (walk.malformed || Math.min(version, writeOrder, size, head) < 0) return undefined;
  return { version, writeOrder, size, head };
}

async function readQueue(
  files: FileSystem,
  path: string,
  meta: CheckpointMeta,
): Promise<PointerList | string> {
  const handle = await files.open(path, "read");
  const longs = async (index: number, count: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(count * 8);
    let have = 0;
    while (have < bytes.length) {
      const read = await handle.read(bytes, have, bytes.length - have, index * 8 + have);
      if (read === 0) break;
      have += read;
    }
    return bytes.subarray(0, have - (have % 8));
  };
  try {
    const { size } = await handle.stat();
    const capacity = Math.floor(size / 8) - headerLongs;
    const header = await longs(0, 5);
    if (capacity <= 0 || header.length < 40) return `${path} is cut off`;
    const version = header.readBigInt64BE(0);
    if (version !== 3n || meta.version !== 3) {
      return `${path} has version ${version}, its meta ${meta.version}, and only 3 is read`;
    }
    if (header.readBigInt64BE(32) !== 0n) {
      return `${path} was being written when the agent ended`;
    }
    if (header.readBigInt64BE(8) !== BigInt(meta.writeOrder)) {
      return `${path} and its meta are not of one time`;
    }
    if (meta.size > capacity || meta.head >= capacity) return `${path} is smaller than its queue`;
    const queue = new PointerList();
    while (queue.length < meta.size) {
      const at = (meta.head + queue.length) % capacity;
      const count = Math.min(meta.size - queue.length, capacity - at, chunkBytes / 8);
      const bytes = await longs(headerLongs + at, count);
      if (bytes.length < count * 8) return `${path} is cut off`;
      for (let i = 0; i < bytes.length; i += 8) {
        queue.push(bytes.readUInt32BE(i), bytes.readUInt32BE(i + 4));
      }
    }
    return queue;
  } finally {
    await handle.close();
  }
}

type Inflight = readonly { readonly transaction: number; readonly pointers: PointerList }[];

async function readInflight(files: FileSystem, path: string): Promise<Inflight | string> {
  if (!(await fileExists(files, path))) return [];
  const { size } = await files.stat(path);
  if (size > sideBytesMax) return `${path} is larger than any that Java writes`;
  const bytes = await readWholeFile(files, path);
  if (bytes.length === 0) return [];
  const rest = bytes.subarray(16);
  const digest = createHash("md5").update(rest).digest();
  if (!digest.equals(bytes.subarray(0, 16))) return `${path} does not match its checksum`;
  const found: { transaction: number; pointers: PointerList }[] = [];
  let at = 0;
  while (at + 16 <= rest.length) {
    const transaction = Number(rest.readBigInt64BE(at));
    const count = Number(rest.readBigInt64BE(at + 8));
    at += 16;
    if (count < 0 || count * 8 > rest.length - at) return `${path} is cut off`;
    const pointers = new PointerList();
    for (const end = at + count * 8; at < end; at += 8) {
      pointers.push(rest.readUInt32BE(at), rest.readUInt32BE(at + 4));
    }
    if (count > 0) found.push({ transaction, pointers });
  }
  return found;
}
