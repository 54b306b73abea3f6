import type { FileSystem } from "../runtime/file-system.ts";
import { systemErrorCode } from "../errors/millrace-error.ts";
import { createLineSplitter, type EachLine } from "./line-splitter.ts";

/** Reads what a file has gained since the last time, line by line. */
export interface LineTail {
  /** How many bytes behind the last line end were read. */
  readonly pendingBytes: number;
  /**
   * Up to the end, or to `upTo`, the file's length at some moment before. `replaced` when the path
   * leads to another file now, or the file shrank: nothing was read then, nor ever will be.
   */
  read(each: EachLine, upTo?: number): Promise<"read" | "missing" | "replaced">;
}

const chunkBytes = 256 * 1024;

export function createLineTail(files: FileSystem, path: string): LineTail {
  const splitter = createLineSplitter();
  let position = 0;
  let inode: number | undefined;
  let replaced = false;
  return {
    get pendingBytes() {
      return splitter.pendingBytes;
    },
    async read(each, upTo = Infinity) {
      if (replaced) return "replaced";
      try {
        const handle = await files.open(path, "read");
        try {
          const stat = await handle.stat();
          inode ??= stat.inode;
          replaced = stat.inode !== inode || stat.size < position;
          if (replaced) return "replaced";
          const end = Math.min(stat.size, upTo);
          const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(0, end - position)));
          while (position < end) {
            const wanted = Math.min(buffer.length, end - position);
            const count = await handle.read(buffer, 0, wanted, position);
            if (count === 0) break;
            position += count;
            splitter.push(buffer.subarray(0, count), each);
          }
          return "read";
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (systemErrorCode(error) !== "ENOENT") throw error;
        return "missing";
      }
    },
  };
}
