import { type FileSystem, type Log, systemErrorCode } from "@millrace/core";
import { join } from "node:path";
import type { Options } from "./options.ts";

/** A file is closed when it has this share of the bytes that are kept, so that little is too much. */
const shareOfAFile = 8;

/** Removes this sink's oldest closed files, so that all of its files hold no more than so many bytes. */
export class Retention {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #log: Log;
  readonly #bytesMax: number;
  readonly #ownName: RegExp;
  #isFailing = false;

  constructor(options: Options & { retentionBytes: number }, files: FileSystem, log: Log) {
    const { directory, extension, prefix, retentionBytes } = options;
    this.#files = files;
    this.#directory = directory;
    this.#log = log;
    this.#bytesMax = retentionBytes;
    const behind = extension === "" ? "" : `.${extension}`;
    this.#ownName = new RegExp(`^${escaped(prefix)}\\d{13,14}-\\d+${escaped(behind)}$`);
  }

  /** Whether a file of so many bytes is closed now, whatever its time. */
  isEnough(bytes: number): boolean {
    return bytes >= this.#bytesMax / shareOfAFile;
  }

  /** How many files it removed. Never throws: what cannot be removed is tried again at the next roll. */
  async keep(): Promise<number> {
    let removed = 0;
    try {
      const found = await this.#find();
      let bytes = found.reduce((sum, { size }) => sum + size, 0);
      for (const { path, size } of found) {
        if (bytes <= this.#bytesMax) break;
        await this.#files.unlink(path);
        bytes -= size;
        removed++;
        this.#log.info("removed a file, as sink.retentionBytes says", { path, bytes: size });
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) {
        this.#log.warn(`old files could not be removed, and are tried again: ${String(error)}`, {
          code: systemErrorCode(error),
        });
      }
      this.#isFailing = true;
    }
    return removed;
  }

  /** The oldest first. None is open: it is asked for between two files. */
  async #find(): Promise<{ path: string; size: number; modifiedMs: number }[]> {
    const found = [];
    for (const { isFile, name } of await this.#files.readDirectory(this.#directory)) {
      if (!isFile || !this.#ownName.test(name)) continue;
      const path = join(this.#directory, name);
      const { modifiedMs, size } = await this.#files.stat(path);
      found.push({ path, size, modifiedMs });
    }
    return found.sort((a, b) => a.modifiedMs - b.modifiedMs || (a.path < b.path ? -1 : 1));
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
