import {
  type FileHandle,
  type FileStat,
  type FileSystem,
  openIfThere,
  readHead,
} from "@millrace/core";
import { GzipReader } from "../../rotation/gzip-reader.ts";

/** An open log, plain or compressed; offsets are those of the plain form. */
export interface OpenLog {
  readonly stat: FileStat;
  readonly head: Buffer;
  /** Of the plain form. */
  size(): Promise<number>;
  read: FileHandle["read"];
  close(): Promise<void>;
}

/** Undefined when there is no such file. Throws the system's error, or zlib's. */
export async function openLog(
  files: FileSystem,
  path: string,
  isCompressed: boolean,
): Promise<OpenLog | undefined> {
  const handle = await openIfThere(files, path);
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!isCompressed) {
      return {
        stat,
        head: await readHead(handle),
        size: async () => (await handle.stat()).size,
        read: (...asked) => handle.read(...asked),
        close: () => handle.close(),
      };
    }
    const reader = new GzipReader(handle);
    const plainBytes = await reader.plainBytes();
    return {
      stat,
      head: await readHead(reader),
      size: () => Promise.resolve(plainBytes),
      read: (...asked) => reader.read(...asked),
      async close() {
        reader.close();
        await handle.close();
      },
    };
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
}

/** What a link leads to may be the plain form or the compressed one. */
export async function openAnyForm(files: FileSystem, path: string): Promise<OpenLog | undefined> {
  const plain = await openLog(files, path, false);
  if (plain === undefined || !plain.head.subarray(0, 2).equals(gzipMagic)) return plain;
  await plain.close();
  return openLog(files, path, true);
}

const gzipMagic = Buffer.from([0x1f, 0x8b]);
