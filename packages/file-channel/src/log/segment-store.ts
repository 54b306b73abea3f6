import {
  type Clock,
  type FileHandle,
  fileExists,
  type FileSystem,
  type Log,
  MillraceError,
  type Random,
  systemErrorCode,
} from "@millrace/core";
import { join } from "node:path";
import {
  formatOf,
  type FormatVersion,
  newestFormat,
  type SegmentHeader,
} from "../format/segment-header.ts";
import { SyncError } from "./sync-error.ts";
import { closeSegment, type Segment, segmentPath, sparePattern } from "./segment.ts";

export interface StoreOptions {
  /** By the index channel.json gives them; behind these the leaving ones. */
  readonly directories: readonly string[];
  /** How many at the end are read and freed only: nothing new is made there. */
  readonly leaving?: number;
  readonly segmentBytes: number;
  /** What puts leave free on a directory's disk. */
  readonly minimumRequiredSpaceBytes: number;
  /** The same as a share of the disk; the larger counts. */
  readonly minimumRequiredSpacePercent: number;
  /** Files of a later format are not kept as spares: until it is written again such a file shows it. */
  readonly formatVersion: FormatVersion;
}

interface Spare {
  readonly path: string;
  readonly bytes: number;
}

export interface PreparedFile {
  readonly directory: number;
  readonly path: string;
  readonly handle: FileHandle;
}

const sparesKept = 2;
const spaceAgeMs = 1000;
const mebibyte = 1024 * 1024;

/**
 * The segment files of all directories: makes them, frees them, keeps spares, watches free space.
 * Holds the rules about names: a file is created or renamed and its directory synced before its
 * header is written (F1), and a spare is used again only after the directory sync behind its own
 * rename (F8). The tests named after the rules show what is lost without them.
 */
export class SegmentStore {
  readonly options: StoreOptions;
  /** Kept back in every segment, so that acknowledgements and snapshots fit on a full disk. */
  readonly reserveBytes: number;
  readonly #files: FileSystem;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  /** Spares whose names are durable, by directory, the largest last. */
  readonly #spares: Spare[][];
  /** Directories where new segments may go: the first so many. */
  readonly #usable: number;
  readonly #free: number[];
  readonly #total: number[];
  #freeReadAt = -Infinity;
  #next = 0;

  constructor(
    options: StoreOptions,
    runtime: { clock: Clock; random: Random; files: FileSystem },
    log: Log,
  ) {
    this.options = options;
    this.reserveBytes = Math.min(mebibyte, Math.floor(options.segmentBytes / 4));
    this.#files = runtime.files;
    this.#clock = runtime.clock;
    this.#random = runtime.random;
    this.#log = log;
    this.#spares = options.directories.map(() => []);
    this.#usable = options.directories.length - (options.leaving ?? 0);
    this.#free = options.directories.map((_, i) => (i < this.#usable ? Infinity : -Infinity));
    this.#total = options.directories.map(() => 0);
  }

  get files(): FileSystem {
    return this.#files;
  }

  /**
   * Takes over what recovery found as `spare-*` and keeps at most two a directory; none where an
   * earlier format is written, whose readers would trip over what these hold.
   */
  async adoptSpares(): Promise<void> {
    for (const [index, directory] of this.#usableDirectories()) {
      const entries = await this.#files.readDirectory(directory);
      const found = entries.filter(({ name }) => sparePattern.test(name)).map(({ name }) => name);
      if (found.length > 0) await this.#syncDirectory(directory);
      for (const name of found.sort()) {
        const path = join(directory, name);
        const kept = this.#spares[index] as Spare[];
        const wanted = kept.length < sparesKept && this.options.formatVersion === newestFormat;
        try {
          if (wanted) await this.#keepSpare(kept, path);
          else await this.#files.unlink(path);
        } catch (error) {
          this.#sayNotFreed(path, error);
        }
      }
    }
  }

  /** Round robin goes on behind the directory of the last run's newest segment. */
  continueBehind(directory: number): void {
    this.#next = (directory + 1) % this.#usable;
  }

  /**
   * Directories in the order in which the next segment tries them: those with room, those with a
   * spare at least, those that are full.
   */
  async directoryOrder(): Promise<number[]> {
    await this.refreshSpace();
    const count = this.#usable;
    const order = Array.from({ length: count }, (_, i) => (this.#next + i) % count);
    const rank = (index: number): number =>
      this.#leavesReserve(index, 0) ? 0 : (this.#spares[index] as Spare[]).length > 0 ? 1 : 2;
    return order.sort((a, b) => rank(a) - rank(b));
  }

  /**
   * A file for segment `id` in the directory, its name durable (F1). A leftover of that very name,
   * which only recovery allows, is written over. EEXIST otherwise: another process writes here.
   */
  async prepare(directory: number, id: number, overwrite: boolean): Promise<PreparedFile> {
    const root = this.options.directories[directory] as string;
    const path = segmentPath(root, id);
    const handle = await this.#openNew(directory, path, overwrite);
    try {
      await this.#syncDirectory(root);
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#next = (directory + 1) % this.#usable;
    return { directory, path, handle };
  }

  /** Frees a segment that no synced snapshot needs any more (F5 is the caller's to hold). */
  async free(segment: Segment): Promise<void> {
    await closeSegment(segment).catch((error: unknown) => this.#sayNotFreed(segment.path, error));
    await this.discard(segment.directory, segment.path, segment.header);
  }

  /** Lets a file go that nothing needs. One that cannot be stays: the next start tries again. */
  async discard(directory: number, path: string, header?: SegmentHeader): Promise<void> {
    try {
      await this.#discard(directory, path, header);
    } catch (error) {
      if (error instanceof SyncError) throw error;
      this.#sayNotFreed(path, error);
    }
  }

  /** Makes a spare of the file, or removes it. Unlinks need no sync: recovery knows leftovers. */
  async #discard(directory: number, path: string, header?: SegmentHeader): Promise<void> {
    const spares = this.#spares[directory] as Spare[];
    const isLater = header !== undefined && formatOf(header) > this.options.formatVersion;
    if (spares.length >= sparesKept || isLater || directory >= this.#usable) {
      await this.#files.unlink(path);
      return;
    }
    const root = this.options.directories[directory] as string;
    const spare = join(root, `spare-${this.#random.bytes(8).toString("hex")}.seg`);
    await this.#files.rename(path, spare);
    await this.#syncDirectory(root);
    await this.#keepSpare(spares, spare);
  }

  /**
   * Bytes puts may not touch in a directory: what the operator said, or what acks and the next
   * starts may need. A spare counts by its size: it may be of a segment that was hardly written.
   */
  reservedBytes(directory: number): number {
    const spareBytes = this.#spares[directory]?.at(-1)?.bytes ?? 0;
    const needed = this.reserveBytes + Math.max(0, this.options.segmentBytes - spareBytes);
    const { minimumRequiredSpaceBytes: bytes, minimumRequiredSpacePercent: percent } = this.options;
    const share = Math.floor((this.#total[directory] as number) * (percent / 100));
    return Math.max(bytes, share, needed);
  }

  /** Free bytes of the roomiest directory, as last seen, less what was written since. */
  get availableBytes(): number {
    return Math.max(...this.#free);
  }

  /** Whether a put of so many bytes leaves the reserve untouched in some directory. */
  async hasRoom(bytes: number): Promise<boolean> {
    const fits = (): boolean => this.#free.some((_, index) => this.#leavesReserve(index, bytes));
    if (this.#clock.monotonic() - this.#freeReadAt < spaceAgeMs && fits()) return true;
    await this.refreshSpace();
    return fits();
  }

  /** Whether a put of so many bytes eats into this directory's reserve, and not into another's. */
  belongsElsewhere(directory: number, bytes: number): boolean {
    if (this.#leavesReserve(directory, bytes)) return false;
    return this.#free.some((_, index) => this.#leavesReserve(index, bytes));
  }

  noteWritten(directory: number, bytes: number): void {
    this.#free[directory] = (this.#free[directory] as number) - bytes;
  }

  async refreshSpace(): Promise<void> {
    for (const [index, directory] of this.#usableDirectories()) {
      try {
        this.#free[index] = await this.#files.freeBytes(directory);
        if (this.options.minimumRequiredSpacePercent > 0) {
          this.#total[index] = await this.#files.totalBytes(directory);
        }
      } catch (error) {
        this.#free[index] = 0;
        this.#log.error(`the free space of ${directory} cannot be read`, { error: String(error) });
      }
    }
    this.#freeReadAt = this.#clock.monotonic();
  }

  #usableDirectories(): [number, string][] {
    return [...this.options.directories.slice(0, this.#usable).entries()];
  }

  async #syncDirectory(path: string): Promise<void> {
    try {
      await this.#files.syncDirectory(path);
    } catch (error) {
      throw new SyncError(`fsync of the directory ${path} failed: ${String(error)}`, {
        cause: error,
      });
    }
  }

  #sayNotFreed(path: string, error: unknown): void {
    this.#log.warn(`${path} could not be freed; the next start does it`, { error: String(error) });
  }

  #leavesReserve(directory: number, bytes: number): boolean {
    return (this.#free[directory] as number) - bytes >= this.reservedBytes(directory);
  }

  async #keepSpare(spares: Spare[], path: string): Promise<void> {
    spares.push({ path, bytes: (await this.#files.stat(path)).size });
    spares.sort((a, b) => a.bytes - b.bytes);
  }

  async #openNew(directory: number, path: string, overwrite: boolean): Promise<FileHandle> {
    if (await fileExists(this.#files, path)) {
      if (overwrite) return this.#files.open(path, "write");
      throw foreignSegment(path);
    }
    const spare = this.#spares[directory]?.pop();
    if (spare !== undefined) {
      await this.#files.rename(spare.path, path);
      return this.#files.open(path, "write");
    }
    try {
      return await this.#files.open(path, "create");
    } catch (error) {
      throw systemErrorCode(error) === "EEXIST" ? foreignSegment(path) : error;
    }
  }
}

function foreignSegment(path: string): MillraceError {
  return new MillraceError(
    "CHANNEL_FAILED",
    `${path} exists and this channel did not make it: another process writes into the directory; nothing more is written`,
  );
}
