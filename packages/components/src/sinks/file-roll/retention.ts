import { type FileSystem, type Log, systemErrorCode } from "@millrace/core";
import { basename, dirname, join } from "node:path";
import type { Options } from "./options.ts";
import { isBeingWritten } from "./output-file.ts";

/** A file is closed when it has this share of the bytes that are kept, so that little is too much. */
const shareOfAFile = 8;

interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly modifiedMs: number;
}

/**
 * Removes this sink's oldest closed files, so that all of its files hold no more than so many bytes;
 * the newest one stays, whatever it holds.
 */
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
    // A prefix may lead into a subdirectory.
    const example = join(directory, `${prefix}0`);
    this.#directory = dirname(example);
    this.#log = log;
    this.#bytesMax = retentionBytes;
    const behind = extension === "" ? "" : `.${extension}`;
    this.#ownName = new RegExp(
      `^${escaped(basename(example).slice(0, -1))}\\d{13,14}-\\d+${escaped(behind)}$`,
    );
  }

  /** Whether a file of so many bytes is closed now, whatever its time. */
  isEnough(bytes: number): boolean {
    return bytes >= this.#bytesMax / shareOfAFile;
  }

  /** How many files it removed. Never throws: what cannot be removed is tried again at the next roll. */
  async keep(): Promise<number> {
    let removed = 0;
    let failure: unknown;
    try {
      const found = await this.#find();
      let bytes = found.reduce((sum, { size }) => sum + size, 0);
      for (const { path, size } of found.slice(0, -1)) {
        if (bytes <= this.#bytesMax) break;
        if (isBeingWritten(path)) continue;
        try {
          await this.#files.unlink(path);
          removed++;
          this.#log.info("removed a file, as sink.retentionBytes says", { path, bytes: size });
        } catch (error) {
          if (!isGone(error)) {
            failure = error;
            continue;
          }
        }
        bytes -= size;
      }
    } catch (error) {
      failure = error;
    }
    this.#say(failure);
    return removed;
  }

  /** What lasts is said once. */
  #say(failure: unknown): void {
    if (failure !== undefined && !this.#isFailing) {
      this.#log.warn(`old files could not be removed, and are tried again: ${String(failure)}`, {
        code: systemErrorCode(failure),
      });
    }
    this.#isFailing = failure !== undefined;
  }

  /** The oldest first. */
  async #find(): Promise<FoundFile[]> {
    const found: FoundFile[] = [];
    for (const { isFile, name } of await this.#files.readDirectory(this.#directory)) {
      if (!isFile || !this.#ownName.test(name)) continue;
      const path = join(this.#directory, name);
      try {
        const { modifiedMs, size } = await this.#files.stat(path);
        found.push({ path, size, modifiedMs });
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    }
    return found.sort((a, b) => a.modifiedMs - b.modifiedMs || (a.path < b.path ? -1 : 1));
  }
}

/** Somebody else has removed it. */
function isGone(error: unknown): boolean {
  return systemErrorCode(error) === "ENOENT";
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
