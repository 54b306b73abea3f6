import { createCipheriv } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { TestContext } from "node:test";
import { type Event, nodeFileSystem } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import { type JavaChannel, type JavaChannelOptions, openJavaChannel } from "./java-channel.ts";

/** Java Flume's file channel directories as Java writes them, byte for byte, for tests to bend. */
export interface JavaWorld {
  readonly folder: string;
  dataDir(index: number): string;
  readonly checkpointDir: string;
  /** The file's content so far; it is written by `open`. */
  log(id: number): JavaLogFile;
  open(options?: Partial<JavaChannelOptions>): Promise<JavaChannel>;
  write(): Promise<void>;
}

export interface JavaLogFile {
  dir: number;
  /** Of the whole file; undefined: none is written. */
  meta: Buffer | undefined;
  parts: Buffer[];
  /** Bytes of filler behind the content. */
  filler: number;
  key: Buffer | undefined;
  readonly length: number;
  add(payload: Buffer, op?: number): number;
}

export async function createJavaWorld(test: TestContext): Promise<JavaWorld> {
  const folder = await tempDirectory(test);
  const logs = new Map<number, JavaLogFile>();
  const world: JavaWorld = {
    folder,
    checkpointDir: join(folder, "cp"),
    dataDir: (index) => join(folder, `data${index}`),
    log(id) {
      let log = logs.get(id);
      if (log === undefined) logs.set(id, (log = createLog(id)));
      return log;
    },
    async write() {
      for (const [id, log] of logs) {
        const directory = world.dataDir(log.dir);
        await mkdir(directory, { recursive: true });
        const path = join(directory, `log-${id}`);
        await writeFile(path, Buffer.concat([...log.parts, Buffer.alloc(log.filler, 0x80)]));
        if (log.meta !== undefined) await writeFile(`${path}.meta`, log.meta);
      }
    },
    async open(options = {}) {
      await world.write();
      const dirs = [...new Set([...logs.values()].map(({ dir }) => world.dataDir(dir)))];
      return await openJavaChannel(nodeFileSystem, { dataDirs: dirs, ...options });
    },
  };
  return world;
}

function createLog(id: number): JavaLogFile {
  return {
    dir: 0,
    meta: metaOf(id),
    parts: [],
    filler: 100,
    key: undefined,
    get length() {
      return this.parts.reduce((sum, { length }) => sum + length, 0);
    },
    add(payload, op = 0x7f) {
      const offset = this.length;
      const head = Buffer.alloc(5);
      head[0] = op;
      head.writeInt32BE(payload.length, 1);
      const { key } = this;
      const cipher = key && createCipheriv(`aes-${key.length * 8}-ctr`, key, testIv);
      this.parts.push(head, cipher === undefined ? payload : cipher.update(payload));
      return offset;
    },
  };
}

export const testIv = Buffer.from("0102030405060708090a0b0c00000001", "hex");

export interface Stamp {
  readonly transaction: number;
  readonly order: number;
}

export function put(
  stamp: Stamp,
  body: string | Buffer,
  headers: Record<string, string | null> = {},
): Buffer {
  const bytes = Buffer.from(body);
  const entries = Object.entries(headers).map(([key, value]) =>
    bytesField(
      1,
      Buffer.concat([
        bytesField(1, Buffer.from(key)),
        value === null ? Buffer.alloc(0) : bytesField(2, Buffer.from(value)),
      ]),
    ),
  );
  const event = Buffer.concat([...entries, bytesField(2, bytes)]);
  return record(1, stamp, Buffer.concat([bytesField(1, event), long(2, crc32(bytes))]));
}

export const take = (stamp: Stamp, file: number, offset: number): Buffer =>
  record(2, stamp, Buffer.concat([int(1, file), int(2, offset)]));
export const rollback = (stamp: Stamp): Buffer => record(3, stamp, Buffer.alloc(0));
export const commit = (stamp: Stamp, type: "put" | "take"): Buffer =>
  record(4, stamp, int(1, type === "put" ? 1 : 2));

export function record(type: number, { transaction, order }: Stamp, body: Buffer): Buffer {
  const header = Buffer.concat([int(1, type), long(2, transaction), long(3, order)]);
  return Buffer.concat([delimited(header), delimited(body), delimited(Buffer.alloc(0))]);
}

/** `orders`: those of the last checkpoint and the one before. */
export function metaOf(
  id: number,
  {
    version = 3,
    orders = [0, 0],
    encryption,
  }: { version?: number; orders?: readonly [number, number]; encryption?: Buffer } = {},
): Buffer {
  return delimited(
    Buffer.concat([
      int(1, version),
      int(2, id),
      long(3, 0),
      long(4, orders[0]),
      ...(encryption === undefined ? [] : [bytesField(5, encryption)]),
      long(6, 0),
      long(7, orders[1]),
    ]),
  );
}

export const encryptionOf = (alias: string, cipher = "AESCTRNOPADDING"): Buffer =>
  Buffer.concat([
    bytesField(1, Buffer.from(cipher)),
    bytesField(2, Buffer.from(alias)),
    bytesField(3, testIv),
  ]);

export interface CheckpointContent {
  readonly order: number;
  readonly queue: readonly (readonly [file: number, offset: number])[];
  readonly head?: number;
  readonly capacity?: number;
  readonly version?: number;
  readonly marker?: number;
  readonly metaOrder?: number;
}

export async function writeCheckpoint(
  directory: string,
  { order, queue, head = 0, capacity = 20, version = 3, marker = 0, metaOrder }: CheckpointContent,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const longs = new BigInt64Array(1029 + capacity);
  longs.set([BigInt(version), BigInt(order), 0n, 0n, BigInt(marker)]);
  for (const [index, [file, offset]] of queue.entries()) {
    longs[1029 + ((head + index) % capacity)] = (BigInt(file) << 32n) | BigInt(offset);
  }
  const bytes = Buffer.from(longs.buffer).swap64();
  await writeFile(join(directory, "checkpoint"), bytes);
  const meta = [int(1, version), long(2, metaOrder ?? order), int(3, queue.length), int(4, head)];
  await writeFile(join(directory, "checkpoint.meta"), delimited(Buffer.concat(meta)));
}

function delimited(bytes: Buffer): Buffer {
  return Buffer.concat([varint(bytes.length), bytes]);
}

function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), delimited(bytes)]);
}

function int(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(5, (number << 3) | 5);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

function long(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(9, (number << 3) | 1);
  bytes.writeBigInt64LE(BigInt(value), 1);
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** The bodies of what is waiting, as text. */
export async function bodies(channel: JavaChannel, from = 0): Promise<string[]> {
  return (await events(channel, from)).map(({ body }) => body.toString());
}

export async function events(channel: JavaChannel, from = 0): Promise<Event[]> {
  const found: Event[] = [];
  for await (const { batch } of channel.read(from, { eventsMax: 3, bytesMax: 1000 })) {
    for (const { headers, body } of batch) found.push({ headers, body: Buffer.from(body) });
  }
  return found;
}
