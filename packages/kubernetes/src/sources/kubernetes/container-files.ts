import {
  type FileSystem,
  hasHead,
  type Head,
  type Log,
  MillraceError,
  pathIn,
  type Runtime,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import type { Hold } from "../../rotation/hold.ts";
import { compareLogNames, formatLogName, type LogName } from "../../rotation/log-name.ts";
import { ContainerListing, type FoundLog } from "./container-listing.ts";
import { type ContainerId, LogFile, openLog, type OpenLog } from "./log-file.ts";
import type { LogMetrics } from "./log-metrics.ts";
import { positionsAt, type SavedContainer, type SavedLog } from "./position-file.ts";

export interface FollowContext {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly metrics: LogMetrics;
  readonly hold: Hold | undefined;
}

/** A log that nothing should come to any more is watched for so long: its writer may be behind. */
export const quietMs = 5000;

/**
 * Which files hold what one container wrote and is not done with, oldest first, whatever kubelet calls
 * them by now. A file is its inode while it is open; what was compressed, or was rotated while nobody
 * looked, is known by its first bytes. Files are done with in their order, so that one name says which
 * of those on disk were.
 */
export class ContainerFiles {
  readonly id: ContainerId;
  /** Relative to the directory of all pods. */
  readonly key: string;
  readonly directory: string;
  files: LogFile[] = [];
  /** The directory is not there any more: the pod was deleted. */
  isGone = false;
  /** Something changed that is worth recording at once. */
  hasNews = false;
  readonly #context: FollowContext;
  readonly #listing: ContainerListing;
  /** Everything up to this one is done with. */
  #after: LogName | undefined;
  /** What the last run left, until it was looked for. */
  #saved: readonly SavedLog[] | undefined;
  #sequence = 0;
  readonly #warned = new Set<string>();
  /** Why a file could not be opened, if one could not. */
  #openError: Error | undefined;

  constructor(
    context: FollowContext,
    id: ContainerId,
    place: { readonly key: string; readonly root: string },
    saved: SavedContainer | undefined,
  ) {
    const { clock, files } = context.runtime;
    this.#context = context;
    this.id = id;
    this.key = place.key;
    this.directory = pathIn(place.root, place.key);
    this.#listing = new ContainerListing(clock, files, this.directory);
    this.#after = saved?.after;
    this.#saved = saved?.files;
  }

  toSaved(): SavedContainer {
    const files = this.#saved ?? this.files.map((file) => file.toSaved());
    return { directory: this.key, after: this.#after, files };
  }

  /** Looks at what there is. Never throws for what a file or directory is like. */
  async look(): Promise<void> {
    try {
      const listing = await this.#listing.list();
      this.isGone = listing === "gone";
      if (listing === "gone") await this.#match([]);
      else if (listing !== "unchanged") await this.#match(listing);
      this.#warned.delete(this.directory);
    } catch (error) {
      this.#warn(this.directory, error);
    }
    for (const file of this.files) await this.#observe(file);
    for (const [index, file] of this.files.entries()) {
      file.retiredLooks = this.#isRetired(file, index) ? file.retiredLooks + 1 : 0;
    }
  }

  /** Everything that is there now counts as done with. */
  async skipAll(): Promise<void> {
    for (const file of [...this.files]) {
      file.moveTo(positionsAt(file.size));
      if (file.name.rotatedAt !== undefined) await this.finish(file);
    }
  }

  /** Whether another file goes on where this one ends, or nothing will. */
  isEnded(file: LogFile): boolean {
    const hasSuccessor = this.files.some(({ sequence }) => sequence > file.sequence);
    return file.retiredLooks > 0 && (hasSuccessor || !file.isListed || this.isGone);
  }

  isQuiet(file: LogFile): boolean {
    const { clock } = this.#context.runtime;
    return clock.monotonic() - file.changedAtMs >= quietMs;
  }

  /** It is done with. */
  async finish(file: LogFile): Promise<void> {
    this.files = this.files.filter((other) => other !== file);
    const hasRank = file.isListed || file.name.rotatedAt !== undefined;
    const isLater = this.#after === undefined || compareLogNames(this.#after, file.name) < 0;
    if (hasRank && isLater) this.#after = file.name;
    this.hasNews = true;
    await file.close();
    await this.#context.hold?.release(this.key, file.inode);
  }

  /** It will not be read: what it has that is not committed is lost, and counted. */
  async lose(file: LogFile, why: string): Promise<void> {
    this.#countLoss(file.name, file.uncommittedBytes, why);
    await this.finish(file);
  }

  /** Opens what was closed when it had long not grown. False when that is not possible now. */
  async reopen(file: LogFile): Promise<boolean> {
    if (file.open !== undefined) return true;
    const opened = await this.#open(this.#pathOf(file.name), file.name);
    if (opened === undefined) return false;
    if (opened.stat.inode !== file.inode) {
      this.#listing.forget();
      await opened.close();
      return false;
    }
    file.open = opened;
    if (!file.beginsAs(opened.head)) this.restart(file);
    return true;
  }

  /** It does not hold any more what was read of it. */
  restart(file: LogFile): void {
    const { metrics } = this.#context;
    metrics.truncations.value++;
    const lostBytes = Math.max(0, file.size - file.readTo);
    this.#countLoss(file.name, lostBytes, "log began anew, reading it from its start", false);
    file.restart();
    this.hasNews = true;
  }

  async stop(): Promise<void> {
    await Promise.all(this.files.map((file) => file.close()));
    this.files = [];
  }

  #pathOf(name: LogName): string {
    return pathIn(this.directory, formatLogName(name));
  }

  async #match(found: readonly FoundLog[]): Promise<void> {
    const free = new Set(found);
    // What was restored has met its entry.
    const known = this.#saved === undefined ? [...this.files] : [];
    if (this.#saved !== undefined) await this.#restore(this.#saved, free);
    for (const file of known) {
      const entry = [...free].find(({ key }) => key === file.key);
      if (entry !== undefined && (await this.#isSame(file, entry))) {
        free.delete(entry);
        this.#meet(file, entry);
      } else await this.#miss(file, free);
    }
    for (const entry of free) {
      const isDone = this.#after !== undefined && compareLogNames(entry.name, this.#after) <= 0;
      if (!isDone) await this.#adopt(entry);
    }
  }

  /** While it is open its inode is nobody else's; one that was closed may have left it to another. */
  async #isSame(file: LogFile, { name, path, stat }: FoundLog): Promise<boolean> {
    const isUntouched = stat.size === file.size && compareLogNames(file.name, name) === 0;
    if (file.open !== undefined || isUntouched) return true;
    const opened = await this.#open(path, name);
    if (opened === undefined) return false;
    const isSame = opened.stat.inode === file.inode && file.beginsAs(opened.head);
    if (isSame) file.open = opened;
    else await opened.close();
    return isSame;
  }

  #meet(file: LogFile, { name }: FoundLog): void {
    if (compareLogNames(file.name, name) !== 0) {
      this.#context.metrics.rotations.value++;
      file.changedAtMs = this.#context.runtime.clock.monotonic();
      this.hasNews = true;
    }
    file.name = name;
    file.isListed = true;
  }

  /** Its directory does not have it any more: kubelet has compressed or deleted it. */
  async #miss(file: LogFile, free: Set<FoundLog>): Promise<void> {
    if (file.isListed) {
      this.#context.metrics.rotations.value++;
      file.isListed = false;
      file.changedAtMs = this.#context.runtime.clock.monotonic();
      this.hasNews = true;
    }
    this.#openError = undefined;
    await file.learnHead();
    const copy = await this.#findCompressed(file.toSaved(), free);
    if (copy !== undefined) {
      free.delete(copy.entry);
      if (file.open === undefined) {
        await file.takeForm(copy.opened, copy.entry.name);
        file.isListed = true;
      } else {
        file.name = copy.entry.name;
        await copy.opened.close();
      }
    } else if (file.open === undefined && this.#openError === undefined) {
      await this.lose(file, "log is gone");
    }
  }

  /** All of them or, when a file cannot be opened now, none: then the next look tries again. */
  async #restore(saved: readonly SavedLog[], free: Set<FoundLog>): Promise<void> {
    const missing: SavedLog[] = [];
    this.#openError = undefined;
    for (const log of saved) {
      // An empty log is known by nothing, and read from its start whichever it was.
      if (log.headBytes > 0 && !(await this.#restoreOne(log, free))) missing.push(log);
      const failure = this.#lastOpenError();
      if (failure === undefined) continue;
      await this.stop();
      throw failure;
    }
    for (const log of missing) this.#missSaved(log);
    this.#saved = undefined;
    this.hasNews = true;
  }

  async #restoreOne(saved: SavedLog, free: Set<FoundLog>): Promise<boolean> {
    for (const entry of free) {
      const hasInode = entry.stat.inode === saved.inode;
      if (!hasInode || entry.name.restarts !== saved.name.restarts) continue;
      const opened = await this.#open(entry.path, entry.name);
      if (opened === undefined) continue;
      // The inode may be another's by now.
      if (!hasHead(saved, opened.head)) {
        await opened.close();
        continue;
      }
      free.delete(entry);
      await this.#add(entry.name, opened, saved);
      return true;
    }
    const copy = await this.#findCompressed(saved, free);
    if (copy !== undefined) {
      free.delete(copy.entry);
      await this.#add(copy.entry.name, copy.opened, saved);
      return true;
    }
    const held = await this.#context.hold?.open(this.key, saved.inode, openAnyForm);
    if (held === undefined || !hasHead(saved, held.head)) {
      await held?.close();
      return false;
    }
    const file = await this.#add(saved.name, held, saved);
    file.isListed = false;
    return true;
  }

  #lastOpenError(): Error | undefined {
    return this.#openError;
  }

  #missSaved({ name, positions, size }: SavedLog): void {
    const { stdout, stderr, other } = positions;
    const offset = Math.min(stdout.offset, stderr.offset, other.offset);
    this.#countLoss(name, Math.max(0, size - offset), "log is gone since the last run");
  }

  /** The compressed form of a log, by its name, or by the first bytes of what it holds. */
  async #findCompressed(
    log: Head & { readonly name: LogName },
    free: ReadonlySet<FoundLog>,
  ): Promise<{ entry: FoundLog; opened: OpenLog } | undefined> {
    if (log.headBytes === 0) return undefined;
    for (const entry of free) {
      if (!entry.name.isCompressed || entry.name.restarts !== log.name.restarts) continue;
      if (this.#after !== undefined && compareLogNames(entry.name, this.#after) <= 0) continue;
      const opened = await this.#open(entry.path, entry.name);
      if (opened === undefined) continue;
      if (hasHead(log, opened.head)) return { entry, opened };
      await opened.close();
    }
    return undefined;
  }

  /** Begins to follow a file, unless it is not there, or cannot be read, now. */
  async #adopt(entry: FoundLog): Promise<void> {
    const opened = await this.#open(entry.path, entry.name);
    if (opened === undefined || opened.stat.inode !== entry.stat.inode) {
      await opened?.close();
      this.#listing.forget();
      return;
    }
    await this.#add(entry.name, opened, undefined);
  }

  async #add(name: LogName, opened: OpenLog, saved: SavedLog | undefined): Promise<LogFile> {
    const { hold, runtime } = this.#context;
    const size = await opened.size();
    const nowMs = runtime.clock.monotonic();
    const file = new LogFile(this.id, name, this.#sequence++, opened, size, nowMs);
    this.files.push(file);
    this.hasNews = true;
    if (saved !== undefined) {
      file.moveTo(saved.positions);
      if (size < file.readTo) this.restart(file);
    }
    await hold?.keep(this.key, file.inode, this.#pathOf(name));
    return file;
  }

  async #observe(file: LogFile): Promise<void> {
    try {
      if (file.open === undefined) {
        const { size } = await this.#context.runtime.files.stat(this.#pathOf(file.name));
        if (size === file.size || !(await this.reopen(file))) return;
      }
      const size = (await file.open?.size()) ?? file.size;
      if (size < Math.max(file.size, file.readTo)) this.restart(file);
      if (size !== file.size) file.changedAtMs = this.#context.runtime.clock.monotonic();
      file.size = size;
      if (file.head.length < size) await file.learnHead();
      // From now on the next run knows it, and says so when it is gone.
      if (file.head.length > 0 && !file.isKnown) this.hasNews = true;
      file.isKnown = file.head.length > 0;
    } catch (error) {
      this.#listing.forget();
      if (systemErrorCode(error) !== "ENOENT") this.#warn(this.#pathOf(file.name), error);
    }
  }

  #isRetired(file: LogFile, index: number): boolean {
    if (this.isGone || !file.isListed || file.name.rotatedAt !== undefined) return true;
    return this.files.slice(index + 1).some(({ name }) => name.restarts > file.name.restarts);
  }

  /** Undefined when there is no such file, or it cannot be read now. */
  async #open(path: string, name: LogName): Promise<OpenLog | undefined> {
    try {
      const opened = await openLog(this.#context.runtime.files, path, name.isCompressed);
      this.#warned.delete(path);
      return opened;
    } catch (error) {
      this.#listing.forget();
      this.#warn(path, error);
      // What is damaged stays so; what fails otherwise may not fail next time.
      if (!systemErrorCode(error).startsWith("Z_")) this.#openError = toMillraceError(error);
      return undefined;
    }
  }

  #countLoss(name: LogName, lostBytes: number, what: string, isFile = true): void {
    const { log, metrics } = this.#context;
    metrics.lostBytes.value += lostBytes;
    if (isFile) metrics.lostFiles.value++;
    const path = this.#pathOf(name);
    if (lostBytes > 0) log.warn(`${what}: ${lostBytes} bytes were not read`, { path, lostBytes });
    else log.info(what, { path });
  }

  /** Says once that a file or directory cannot be read. */
  #warn(path: string, error: unknown): void {
    if (this.#warned.has(path)) return;
    this.#warned.add(path);
    const code = error instanceof MillraceError ? error.code : "READ_FAILED";
    const why = error instanceof Error ? error.message : String(error);
    this.#context.log.warn(`cannot be read, and is tried again: ${why}`, { code, path });
  }
}

/** What a link leads to may be the plain form or the compressed one. */
async function openAnyForm(files: FileSystem, path: string): Promise<OpenLog | undefined> {
  const plain = await openLog(files, path, false);
  if (plain === undefined || !plain.head.subarray(0, 2).equals(gzipMagic)) return plain;
  await plain.close();
  return openLog(files, path, true);
}

const gzipMagic = Buffer.from([0x1f, 0x8b]);
