import {
  type Counter,
  fileKey,
  type FileHandle,
  type FileStat,
  type FileSystem,
  findByInode,
  hasHead,
  type OpenedFile,
  openIfWanted,
  readHead,
  type SourceContext,
} from "@millrace/core";
import { basename, dirname } from "node:path";
import { createGroupListing, type FoundFile, type GroupListing } from "./group-listing.ts";
import type { FileGroup, TaildirOptions } from "./options.ts";
import { isSavedAs, type SavedFile } from "./position-file.ts";
import { TailedFile } from "./tailed-file.ts";

/**
 * Knows which files are followed, whatever they are called by now. A file is its device and inode;
 * while it grows it is held open, so that neither a new name nor deletion takes it away; when it
 * was closed, or the agent was down, its inode is looked for in its directory and its first bytes
 * are compared.
 */
export class FileTracker {
  /** The files or their positions changed in a way that is worth recording at once. */
  hasNews = false;
  readonly #context: SourceContext;
  readonly #system: FileSystem;
  readonly #options: TaildirOptions;
  readonly #listings: readonly GroupListing[];
  readonly #files = new Map<string, TailedFile>();
  /** Of the last run, and not found again so far. */
  #saved: SavedFile[] = [];
  #isFirstRound = true;
  readonly #warned = new Set<string>();
  readonly #lostBytes: Counter;
  readonly #rotations: Counter;
  readonly #truncations: Counter;

  constructor(context: SourceContext, options: TaildirOptions, groups: readonly FileGroup[]) {
    const { metrics, runtime } = context;
    this.#context = context;
    this.#system = runtime.files;
    this.#options = options;
    this.#listings = groups.map((group) =>
      createGroupListing(runtime, group, options.cachePatternMatching),
    );
    this.#lostBytes = metrics.counter(
      "millrace_source_unread_lost_bytes_total",
      "Bytes that were seen in files and gone before they were read.",
    );
    this.#rotations = metrics.counter(
      "millrace_source_files_rotated_total",
      "Files that were renamed or deleted while they were followed.",
    );
    this.#truncations = metrics.counter(
      "millrace_source_files_truncated_total",
      "Files that began anew while they were followed.",
    );
  }

  start(saved: readonly SavedFile[]): void {
    this.#saved = [...saved];
    this.#isFirstRound = true;
    this.#warned.clear();
  }

  async stop(): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(files.map((file) => file.close()));
  }

  toSaved(): SavedFile[] {
    return [...this.#saved, ...[...this.#files.values()].map((file) => file.toSaved())];
  }

  backlogBytes(): number {
    let bytes = 0;
    for (const file of this.#files.values()) bytes += Math.max(0, file.size - file.position);
    return bytes;
  }

  /** Looks at all files and returns them in the order they are read: those without a name first. */
  async refresh(): Promise<TailedFile[]> {
    const found = new Map<string, FoundFile>();
    const listed = new Set<string>();
    const unreadable = new Set<string>();
    for (const listing of this.#listings) {
      const { directory } = listing.group;
      try {
        const files = await listing.list((path, error) => {
          unreadable.add(path);
          this.#warn(path, error);
        });
        for (const file of files) {
          const key = fileKey(file.stat);
          if (!found.has(key)) found.set(key, file);
        }
        listed.add(directory);
        this.#warned.delete(directory);
      } catch (error) {
        this.#warn(directory, error);
      }
    }
    const unlisted: TailedFile[] = [];
    for (const file of [...this.#files.values()]) {
      const now = found.get(file.key);
      if (now !== undefined) this.#meet(file, now);
      else {
        unlisted.push(file);
        const isGone = listed.has(file.group.directory) && !unreadable.has(file.path);
        await this.#follow(file, isGone);
      }
    }
    for (const [key, file] of found) {
      if (!this.#files.has(key) && !(await this.#adopt(file))) unreadable.add(file.path);
    }
    await this.#resolveSaved(listed, unreadable);
    this.#isFirstRound = false;
    for (const file of this.#files.values()) await this.#hold(file);
    const named = [...found.keys()].flatMap((key) => this.#files.get(key) ?? []);
    return [...new Set([...unlisted, ...named, ...this.#files.values()])].filter(({ key }) =>
      this.#files.has(key),
    );
  }

  /** The file's bytes up to its position are not what they were: it is read from its start. */
  restart(file: TailedFile, sizeThen = file.size): void {
    const lostBytes = Math.max(0, sizeThen - file.readTo);
    this.#truncations.value++;
    this.#loseBytes(file.path, lostBytes, "file began anew, reading it from its start");
    file.restart();
    this.hasNews = true;
  }

  /** Follows the file no longer. */
  async forget(file: TailedFile): Promise<void> {
    this.#files.delete(file.key);
    this.hasNews = true;
    await file.close();
  }

  /** The file's handle, opened if need be; undefined when its path is another file's by now. */
  async open(file: TailedFile): Promise<FileHandle | undefined> {
    if (file.handle !== undefined) return file.handle;
    const opened = await openIfWanted(
      this.#system,
      file.path,
      (stat) => fileKey(stat) === file.key,
    );
    file.handle = opened?.handle;
    return file.handle;
  }

  #meet(file: TailedFile, { group, path, stat }: FoundFile): void {
    if (file.path !== path) {
      this.#context.log.info("file renamed, going on in it", { from: file.path, to: path });
      if (file.isListed) this.#rotations.value++;
      file.path = path;
      this.hasNews = true;
    }
    file.group = group;
    file.isListed = true;
    this.#observe(file, stat);
  }

  #observe(file: TailedFile, { size, modifiedMs }: FileStat): void {
    // A log never shrinks: this is a copytruncate, even if it has outgrown the position since.
    if (size < Math.max(file.size, file.position)) this.restart(file);
    else if (size !== file.size || modifiedMs !== file.modifiedMs) file.isSuspect = true;
    if (size !== file.size) file.changedAtMs = this.#context.runtime.clock.monotonic();
    file.size = size;
    file.modifiedMs = modifiedMs;
  }

  /** A file that its pattern does not match any more, or whose directory could not be listed. */
  async #follow(file: TailedFile, isGone: boolean): Promise<void> {
    if (isGone && file.isListed) {
      this.#context.log.info("file renamed away or deleted", { path: file.path });
      this.#rotations.value++;
      file.isListed = false;
      // Its writer may not have noticed yet, however long it has been silent.
      file.changedAtMs = this.#context.runtime.clock.monotonic();
      this.hasNews = true;
    }
    try {
      if (file.handle === undefined && isGone) {
        const directory = dirname(file.path);
        const opened = await findByInode(this.#system, directory, file.inode, (stat, head) => {
          return fileKey(stat) === file.key && file.head.length > 0 && file.beginsAs(head);
        });
        file.handle = opened?.handle;
        if (file.handle === undefined) {
          this.#loseBytes(file.path, Math.max(0, file.size - file.readTo), "file is gone");
          await this.forget(file);
          return;
        }
      }
      if (file.handle !== undefined) this.#observe(file, await file.handle.stat());
    } catch (error) {
      this.#warn(file.path, error);
    }
  }

  /**
   * Opens a file that has grown, before it can be rotated away, and looks at its first bytes when
   * they are not known or may have changed: with them it is told from others, also by the next run.
   * One that has none stays open.
   */
  async #hold(file: TailedFile): Promise<void> {
    const isUnknown = file.head.length === 0;
    const isClosed = file.handle === undefined && (!file.isRead || isUnknown);
    const isInDoubt = file.size > 0 && (isUnknown || file.isSuspect);
    if (!isClosed && !isInDoubt) return;
    try {
      const handle = await this.open(file);
      if (handle === undefined || !isInDoubt) return;
      const head = await readHead(handle);
      if (!file.beginsAs(head)) this.restart(file);
      if (file.head.length === 0 && head.length > 0) {
        file.head = head;
        this.hasNews = true;
      }
      file.isSuspect = false;
    } catch (error) {
      this.#warn(file.path, error);
    }
  }

  /** Begins to follow a file. False when it cannot be read now. */
  async #adopt({ group, path }: FoundFile): Promise<boolean> {
    const { clock } = this.#context.runtime;
    let opened: OpenedFile | undefined;
    try {
      opened = await openIfWanted(this.#system, path, (stat) => !this.#files.has(fileKey(stat)));
    } catch (error) {
      this.#warn(path, error);
      return false;
    }
    if (opened === undefined) return true;
    const file = this.#add(group, path, opened);
    const saved = this.#saved.find((candidate) => isSavedAs(candidate, file));
    if (saved !== undefined) this.#goOn(file, saved);
    else if (this.#isFirstRound && this.#options.skipToEnd) setPosition(file, file.size);
    const isIdle = clock.now() - file.modifiedMs > this.#options.idleTimeoutMs;
    if (file.isRead && isIdle && file.size > 0) await file.close();
    return true;
  }

  #goOn(file: TailedFile, saved: SavedFile): void {
    this.#saved = this.#saved.filter((other) => other !== saved);
    if (saved.file !== file.path) {
      this.#context.log.info("file renamed while it was not followed, going on in it", {
        from: saved.file,
        to: file.path,
      });
      this.#rotations.value++;
    }
    setPosition(file, saved.pos);
    const sizeThen = saved.fingerprint?.size ?? saved.pos;
    if (file.size < Math.max(sizeThen, saved.pos)) this.restart(file, sizeThen);
  }

  /** What the last run followed and no name shows: renamed out of the pattern, replaced, or gone. */
  async #resolveSaved(listed: ReadonlySet<string>, unreadable: ReadonlySet<string>): Promise<void> {
    if (this.#saved.length === 0) return;
    const kept: SavedFile[] = [];
    for (const saved of this.#saved) {
      const directory = dirname(saved.file);
      const group = this.#listings
        .map((listing) => listing.group)
        .find((g) => g.directory === directory && g.pattern.test(basename(saved.file)));
      if (group === undefined) {
        this.#context.log.info("no group has this file any more", { path: saved.file });
        continue;
      }
      if (!listed.has(directory) || unreadable.has(saved.file)) {
        kept.push(saved);
        continue;
      }
      try {
        if (await this.#findSaved(saved, group)) continue;
        const lostBytes = Math.max(0, (saved.fingerprint?.size ?? 0) - saved.pos);
        this.#loseBytes(saved.file, lostBytes, "file is gone");
      } catch (error) {
        this.#warn(directory, error);
        kept.push(saved);
      }
    }
    if (kept.length < this.#saved.length) this.hasNews = true;
    this.#saved = kept;
  }

  async #findSaved(saved: SavedFile, group: FileGroup): Promise<boolean> {
    const directory = dirname(saved.file);
    const opened = await findByInode(this.#system, directory, saved.inode, (stat, head) => {
      return !this.#files.has(fileKey(stat)) && hasHead(saved.fingerprint, head);
    });
    if (opened === undefined) return false;
    const file = this.#add(group, saved.file, opened);
    file.isListed = false;
    this.#rotations.value++;
    this.#context.log.info("file renamed away while it was not followed, reading its rest", {
      path: saved.file,
    });
    setPosition(file, saved.pos);
    return true;
  }

  #add(group: FileGroup, path: string, { handle, stat, head }: OpenedFile): TailedFile {
    const nowMs = this.#context.runtime.clock.monotonic();
    const file = new TailedFile(group, path, handle, stat, head, nowMs);
    this.#files.set(file.key, file);
    this.#warned.delete(path);
    this.hasNews = true;
    return file;
  }

  #loseBytes(path: string, lostBytes: number, what: string): void {
    this.#lostBytes.value += lostBytes;
    const { log } = this.#context;
    if (lostBytes > 0) log.warn(`${what}: ${lostBytes} bytes were not read`, { path, lostBytes });
    else log.info(what, { path });
  }

  /** Says once that a file or directory cannot be read. */
  #warn(path: string, error: unknown): void {
    this.#context.counters.EventReadFail++;
    if (this.#warned.has(path)) return;
    this.#warned.add(path);
    const why = error instanceof Error ? error.message : String(error);
    this.#context.log.warn(`cannot be read, and is tried again: ${why}`, {
      code: "READ_FAILED",
      path,
    });
  }
}

function setPosition(file: TailedFile, position: number): void {
  file.position = position;
  file.readTo = position;
}
