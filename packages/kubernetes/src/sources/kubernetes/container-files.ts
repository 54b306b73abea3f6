import {
  fileKey,
  hashHead,
  hasHead,
  type Log,
  pathIn,
  type Runtime,
  systemErrorCode,
} from "@millrace/core";
import type { Hold } from "../../rotation/hold.ts";
import { compareLogNames, formatLogName, type LogName } from "../../rotation/log-name.ts";
import { ContainerListing, type FoundLog } from "./container-listing.ts";
import { type ContainerId, LogFile } from "./log-file.ts";
import type { LogMetrics } from "./log-metrics.ts";
import { LogOpener } from "./log-opener.ts";
import { LogReports } from "./log-reports.ts";
import { openAnyForm, type OpenLog } from "./open-log.ts";
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
  readonly #reports: LogReports;
  readonly #opener: LogOpener;
  /** By file key: logs that are there and could not be opened so far. */
  readonly #unopened = new Map<string, FoundLog>();

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
    this.#reports = new LogReports(context.log, context.metrics);
    this.#listing = new ContainerListing(clock, files, this.directory);
    this.#opener = new LogOpener(files, this.#listing, this.#reports);
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
      this.#reports.readable(this.directory);
    } catch (error) {
      this.#reports.unreadable(this.directory, error);
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
    this.#reports.lost(this.#pathOf(file.name), file.uncommittedBytes, why);
    await this.finish(file);
  }

  /** Opens what was closed when it had long not grown. False when that is not possible now. */
  async reopen(file: LogFile): Promise<boolean> {
    if (file.open !== undefined) return true;
    const opened = await this.#opener.open(this.#pathOf(file.name), file.name);
    if (opened === undefined) return false;
    if (fileKey(opened.stat) !== file.key) {
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
    this.#reports.lost(
      this.#pathOf(file.name),
      lostBytes,
      "log began anew, reading it from its start",
      false,
    );
    file.restart();
    this.hasNews = true;
  }

  /** It is not to be read any more: its links are not needed. */
  async leave(): Promise<void> {
    for (const { inode } of [...this.files, ...(this.#saved ?? [])])
      await this.#context.hold?.release(this.key, inode);
    await this.stop();
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
      const isSame = entry !== undefined && (await this.#isSame(file, entry));
      if (entry !== undefined && isSame !== false) free.delete(entry);
      if (entry !== undefined && isSame === true) this.#meet(file, entry);
      if (isSame === false) await this.#miss(file, free);
    }
    this.#countUnopened(free);
    for (const entry of free) if (!this.#isDone(entry.name)) await this.#adopt(entry);
  }

  /** While it is open its inode is nobody else's; one that was closed may have left it to another. */
  async #isSame(
    file: LogFile,
    { name, path, stat }: FoundLog,
  ): Promise<boolean | "not to be told now"> {
    const isUntouched = stat.size === file.size && compareLogNames(file.name, name) === 0;
    if (file.open !== undefined || isUntouched) return true;
    const opened = await this.#opener.open(path, name);
    if (opened === undefined) {
      this.#listing.forget();
      return "not to be told now";
    }
    const isSame = fileKey(opened.stat) === file.key && file.beginsAs(opened.head);
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
    const wasListed = file.isListed;
    if (wasListed) {
      this.#context.metrics.rotations.value++;
      file.isListed = false;
      file.changedAtMs = this.#context.runtime.clock.monotonic();
      this.hasNews = true;
    }
    this.#opener.takeFailure();
    await file.learnHead();
    const copy = await this.#opener.findCompressed(file.toSaved(), this.#undone(free));
    if (copy !== undefined) {
      free.delete(copy.entry);
      if (file.open === undefined) {
        await file.takeForm(copy.opened, copy.entry.name);
        file.isListed = true;
      } else {
        file.name = copy.entry.name;
        await copy.opened.close();
      }
    } else if (file.open === undefined) {
      // It may have been renamed while its directory was listed: the next look tells.
      if (wasListed) this.#listing.forget();
      else if (this.#opener.takeFailure() === undefined) await this.lose(file, "log is gone");
    }
  }

  /** All of them or, when a file cannot be opened now, none: then the next look tries again. */
  async #restore(saved: readonly SavedLog[], free: Set<FoundLog>): Promise<void> {
    const missing: SavedLog[] = [];
    this.#opener.takeFailure();
    for (const log of saved) {
      const isFound = await this.#restoreOne(log, free);
      if (log.headBytes > 0 && !isFound) missing.push(log);
      const failure = this.#opener.takeFailure();
      if (failure === undefined) continue;
      await this.stop();
      throw failure;
    }
    for (const log of missing) this.#missSaved(log);
    await this.#release(saved);
    this.#saved = undefined;
    this.hasNews = true;
  }

  async #restoreOne(saved: SavedLog, free: Set<FoundLog>): Promise<boolean> {
    // An empty log is known by nothing but its link, and read from its start whichever it was.
    if (saved.headBytes === 0) return this.#restoreHeld(saved, free);
    for (const entry of free) {
      const hasInode = entry.stat.inode === saved.inode;
      if (!hasInode || entry.name.restarts !== saved.name.restarts) continue;
      const opened = await this.#opener.open(entry.path, entry.name);
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
    const copy = await this.#opener.findCompressed(saved, this.#undone(free));
    if (copy !== undefined) {
      free.delete(copy.entry);
      await this.#add(copy.entry.name, copy.opened, saved);
      return true;
    }
    return this.#restoreHeld(saved, free);
  }

  async #restoreHeld(saved: SavedLog, free: ReadonlySet<FoundLog>): Promise<boolean> {
    const held = await this.#context.hold?.open(this.key, saved.inode, openAnyForm);
    if (held === undefined) return false;
    const head = { headBytes: held.head.length, head: hashHead(held.head) };
    const isIt = saved.headBytes > 0 ? hasHead(saved, held.head) : head.headBytes > 0;
    const copy = isIt
      ? await this.#opener.findCompressed({ ...head, name: saved.name }, this.#undone(free))
      : undefined;
    await copy?.opened.close();
    const isThere = [...free].some(({ key }) => key === fileKey(held.stat)) || copy !== undefined;
    if (!isIt || isThere) {
      await held.close();
      return false;
    }
    const file = await this.#add(saved.name, held, saved);
    file.isListed = false;
    return true;
  }

  /** Removes the links of the last run's logs but for those that are followed. */
  async #release(saved: readonly SavedLog[]): Promise<void> {
    const followed = new Set(this.files.map(({ inode }) => inode));
    for (const { inode } of saved)
      if (!followed.has(inode)) await this.#context.hold?.release(this.key, inode);
  }

  #missSaved({ name, positions, size }: SavedLog): void {
    const { stdout, stderr, other } = positions;
    const offset = Math.min(stdout.offset, stderr.offset, other.offset);
    this.#reports.lost(
      this.#pathOf(name),
      Math.max(0, size - offset),
      "log is gone since the last run",
    );
  }

  #undone(entries: Iterable<FoundLog>): FoundLog[] {
    return [...entries].filter(({ name }) => !this.#isDone(name));
  }

  #isDone(name: LogName): boolean {
    return this.#after !== undefined && compareLogNames(name, this.#after) <= 0;
  }

  /** Logs that could never be opened are lost when they are gone, or others after them were read. */
  #countUnopened(free: ReadonlySet<FoundLog>): void {
    const undone = this.#undone(free);
    for (const [key, { name, stat }] of this.#unopened) {
      // An inode that holds less is another log's by now.
      if (undone.some((other) => other.key === key && other.stat.size >= stat.size)) continue;
      this.#unopened.delete(key);
      // Compressed it is another file, whose turn it is now.
      if (undone.some((other) => isCopyOf(other.name, name))) continue;
      this.#reports.lost(
        this.#pathOf(name),
        stat.size,
        "log could not be opened while it was there",
      );
    }
  }

  /** Begins to follow a file, unless it is not there, or cannot be read, now. */
  async #adopt(entry: FoundLog): Promise<void> {
    const opened = await this.#opener.open(entry.path, entry.name);
    if (opened === undefined || opened.stat.inode !== entry.stat.inode) {
      await opened?.close();
      this.#listing.forget();
      this.#unopened.set(entry.key, entry);
      return;
    }
    this.#unopened.delete(entry.key);
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
      if (systemErrorCode(error) !== "ENOENT")
        this.#reports.unreadable(this.#pathOf(file.name), error);
    }
  }

  #isRetired(file: LogFile, index: number): boolean {
    if (this.isGone || !file.isListed || file.name.rotatedAt !== undefined) return true;
    return this.files.slice(index + 1).some(({ name }) => name.restarts > file.name.restarts);
  }
}

/** Whether one is the compressed form of the other. */
function isCopyOf(copy: LogName, name: LogName): boolean {
  return copy.isCompressed && !name.isCompressed && compareLogNames(copy, name) === 0;
}
