import {
  type Clock,
  fileKey,
  type FileStat,
  type FileSystem,
  pathIn,
  systemErrorCode,
} from "@millrace/core";
import { compareLogNames, type LogName, parseLogName } from "../../rotation/log-name.ts";

export interface FoundLog {
  readonly name: LogName;
  readonly path: string;
  readonly key: string;
  readonly stat: FileStat;
}

/** What a container's directory holds: its logs, oldest first; or why that is not said. */
export type Listing = readonly FoundLog[] | "unchanged" | "gone";

/** Names may still come without the modification time changing: clocks of disks tick coarsely. */
const settledMs = 2000;

/** Lists one directory, and only when its modification time says that names may have changed. */
export class ContainerListing {
  readonly #clock: Clock;
  readonly #files: FileSystem;
  readonly #directory: string;
  #cachedModifiedMs: number | undefined;

  constructor(clock: Clock, files: FileSystem, directory: string) {
    this.#clock = clock;
    this.#files = files;
    this.#directory = directory;
  }

  /** The next look lists it again. */
  forget(): void {
    this.#cachedModifiedMs = undefined;
  }

  /** Throws the system's error when the directory is there and cannot be listed. */
  async list(): Promise<Listing> {
    try {
      const { modifiedMs } = await this.#files.stat(this.#directory);
      if (modifiedMs === this.#cachedModifiedMs) return "unchanged";
      const listedAtMs = this.#clock.now();
      const entries = await this.#files.readDirectory(this.#directory);
      const found: FoundLog[] = [];
      for (const { name } of entries) await this.#look(name, found);
      // What a link leads to may be replaced without its directory changing (Docker's).
      const hasLinks = entries.some(({ isFile, isDirectory }) => !isFile && !isDirectory);
      const isSettled = listedAtMs - modifiedMs > settledMs && !hasLinks;
      this.#cachedModifiedMs = isSettled ? modifiedMs : undefined;
      return withoutCopies(found).sort((a, b) => compareLogNames(a.name, b.name));
    } catch (error) {
      this.forget();
      if (systemErrorCode(error) === "ENOENT") return "gone";
      throw error;
    }
  }

  async #look(fileName: string, found: FoundLog[]): Promise<void> {
    const name = parseLogName(fileName);
    if (name === undefined) return;
    const path = pathIn(this.#directory, fileName);
    try {
      const stat = await this.#files.stat(path);
      if (stat.isFile) found.push({ name, path, key: fileKey(stat), stat });
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
}

/** Between the end of compressing and the removal both forms are there: the plain one counts. */
function withoutCopies(found: readonly FoundLog[]): FoundLog[] {
  return found.filter(
    ({ name }) =>
      !name.isCompressed ||
      !found.some((other) => !other.name.isCompressed && compareLogNames(other.name, name) === 0),
  );
}
