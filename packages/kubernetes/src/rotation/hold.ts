import {
  type DirectoryLock,
  type DirectoryLocks,
  type FileSystem,
  type Log,
  MillraceError,
  pathIn,
  systemErrorCode,
} from "@millrace/core";
import { createHash } from "node:crypto";

/** A file system that can give a file a second name. */
type LinkingFileSystem = FileSystem & Required<Pick<FileSystem, "link">>;

/**
 * Second names, hard links, of the logs that are not done with: what kubelet deletes while no agent
 * runs is still there. One directory, on the logs' own file system, which is locked: what one source does not
 * need, another one may.
 *
 *   <directory>/<SHA-256 of the container's directory, 16 hex digits>-<inode>
 */
export class Hold {
  readonly #files: LinkingFileSystem;
  readonly #directory: string;
  readonly #locks: DirectoryLocks;
  readonly #log: Log;
  #lock: DirectoryLock | undefined;
  #isFailing = false;

  constructor(files: LinkingFileSystem, directory: string, locks: DirectoryLocks, log: Log) {
    this.#files = files;
    this.#directory = directory;
    this.#locks = locks;
    this.#log = log;
  }

  /**
   * Makes the directory, and removes links that none of these needs. Throws the system's error, or
   * HOLD_LOCKED.
   */
  async start(needed: readonly { readonly key: string; readonly inode: number }[]): Promise<void> {
    await this.#files.makeDirectory(this.#directory);
    this.#lock = await this.#locks.acquire(this.#directory);
    if (this.#lock === undefined) {
      const who = (await this.#locks.holder?.(this.#directory)) ?? "another source";
      throw new MillraceError("HOLD_LOCKED", `${who} holds holdDirectory ${this.#directory}`);
    }
    try {
      await this.#removeAllBut(new Set(needed.map(({ key, inode }) => linkName(key, inode))));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** What is held stays, for the next run. */
  async stop(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release();
  }

  /** Links the file. One that cannot be linked is only not held. */
  async keep(key: string, inode: number, path: string): Promise<void> {
    const link = pathIn(this.#directory, linkName(key, inode));
    try {
      await this.#files.link(path, link);
      if ((await this.#files.stat(link)).inode !== inode) await this.#files.unlink(link);
      this.#isFailing = false;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === "EEXIST" || code === "ENOENT" || this.#isFailing) return;
      this.#isFailing = true;
      const why = error instanceof Error ? error.message : String(error);
      this.#log.error(`logs cannot be held, only read: ${why}`, { path: link });
    }
  }

  async release(key: string, inode: number): Promise<void> {
    await this.#remove(linkName(key, inode));
  }

  /** Opens what was kept, by what opens logs; undefined when it was not. */
  async open<T>(
    key: string,
    inode: number,
    open: (files: FileSystem, path: string) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    return open(this.#files, pathIn(this.#directory, linkName(key, inode)));
  }

  async #removeAllBut(kept: ReadonlySet<string>): Promise<void> {
    for (const { name } of await this.#files.readDirectory(this.#directory)) {
      if (linkForm.test(name) && !kept.has(name)) await this.#remove(name);
    }
  }

  async #remove(name: string): Promise<void> {
    try {
      await this.#files.unlink(pathIn(this.#directory, name));
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return;
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn(`a held log cannot be removed: ${why}`, { name });
    }
  }
}

const linkForm = /^[0-9a-f]{16}-\d+$/;

function linkName(key: string, inode: number): string {
  return `${createHash("sha256").update(key).digest("hex").slice(0, 16)}-${inode}`;
}
