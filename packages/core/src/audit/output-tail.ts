import { join } from "node:path";
import type { FileSystem } from "../runtime/file-system.ts";
import { systemErrorCode } from "../errors/millrace-error.ts";
import { createLineTail, type LineTail } from "./line-tail.ts";

/** Reads what a file_roll sink writes into its directory, in the order it was written. */
export interface OutputTail {
  /** Lines without an end: what a killed agent left of its last write. One a file at most. */
  readonly tornLines: number;
  readonly fileCount: number;
  /**
   * Which bytes there are now. Taken before the inputs are read, it bounds the outputs to lines
   * that the inputs had by then.
   */
  sizes(): Promise<ReadonlyMap<string, number>>;
  /** Up to those sizes. `where` is `<file>:<line number>`. */
  read(
    sizes: ReadonlyMap<string, number>,
    each: (line: Buffer, where: string) => void,
  ): Promise<void>;
}

export function createOutputTail(files: FileSystem, directory: string): OutputTail {
  const tails = new Map<string, { tail: LineTail; lines: number }>();
  return {
    get tornLines() {
      return [...tails.values()].filter(({ tail }) => tail.pendingBytes > 0).length;
    },
    get fileCount() {
      return tails.size;
    },
    async sizes() {
      const sizes = new Map<string, number>();
      for (const name of await fileNames(files, directory)) {
        sizes.set(name, (await files.stat(join(directory, name))).size);
      }
      return sizes;
    },
    async read(sizes, each) {
      for (const [name, size] of sizes) {
        const path = join(directory, name);
        const entry = tails.get(name) ?? { tail: createLineTail(files, path), lines: 0 };
        tails.set(name, entry);
        await entry.tail.read((line) => each(line, `${path}:${++entry.lines}`), size);
      }
    },
  };
}

/** file_roll's names in the order of their making: `<prefix><millis>-<n>`, both as numbers. */
async function fileNames(files: FileSystem, directory: string): Promise<string[]> {
  const order = new Intl.Collator("en", { numeric: true });
  try {
    const entries = await files.readDirectory(directory);
    return entries
      .filter(({ isFile }) => isFile)
      .map(({ name }) => name)
      .sort(order.compare);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    return [];
  }
}
