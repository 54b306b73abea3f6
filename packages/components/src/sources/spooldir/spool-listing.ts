import {
  type DirectoryEntry,
  type FileStat,
  type FileSystem,
  type Random,
  systemErrorCode,
} from "@millrace/core";
import type { SpooldirOptions } from "./options.ts";

export interface SpoolFile {
  /** The spool directory as configured, and the name below it: what Flume's File.getPath() gives. */
  readonly path: string;
  /** Below the spool directory. */
  readonly relative: string;
  readonly name: string;
  readonly stat: FileStat;
}

export interface Listing {
  readonly files: SpoolFile[];
  /** Files and directories inside that could not be looked at. */
  readonly unreadable: { readonly path: string; readonly error: unknown }[];
}

type ListingOptions = Pick<
  SpooldirOptions,
  "spoolDir" | "fileSuffix" | "includePattern" | "ignorePattern" | "isRecursive"
>;

/**
 * The files that are to be read, in no order. Hidden ones, those with the suffix and those `isDone`
 * names are left out. Throws the system's error when the spool directory itself cannot be listed.
 */
export async function listSpoolFiles(
  system: FileSystem,
  options: ListingOptions,
  isDone: (relative: string) => boolean,
): Promise<Listing> {
  const listing: Listing = { files: [], unreadable: [] };
  const directories = [""];
  for (;;) {
    const directory = directories.pop();
    if (directory === undefined) return listing;
    const path = directory === "" ? options.spoolDir : `${options.spoolDir}/${directory}`;
    let entries: DirectoryEntry[];
    try {
      entries = await system.readDirectory(path);
    } catch (error) {
      if (directory === "") throw error;
      if (systemErrorCode(error) !== "ENOENT") listing.unreadable.push({ path, error });
      continue;
    }
    const names: string[] = [];
    for (const { name, isDirectory } of entries) {
      if (name.startsWith(".") || options.ignorePattern.test(name)) continue;
      const relative = directory === "" ? name : `${directory}/${name}`;
      if (isDirectory) {
        if (options.isRecursive) directories.push(relative);
      } else if (
        !name.endsWith(options.fileSuffix) &&
        options.includePattern.test(name) &&
        !isDone(relative)
      ) {
        names.push(relative);
      }
    }
    await statAll(system, options.spoolDir, names, listing);
  }
}

/** Adds the regular files, also those behind symbolic links; what has vanished meanwhile is left out. */
async function statAll(
  system: FileSystem,
  spoolDir: string,
  relatives: readonly string[],
  listing: Listing,
): Promise<void> {
  const atOnce = 64;
  for (let from = 0; from < relatives.length; from += atOnce) {
    const some = relatives.slice(from, from + atOnce).map(async (relative) => {
      const path = `${spoolDir}/${relative}`;
      try {
        const stat = await system.stat(path);
        const name = relative.slice(relative.lastIndexOf("/") + 1);
        if (stat.isFile) listing.files.push({ path, relative, name, stat });
      } catch (error) {
        if (systemErrorCode(error) !== "ENOENT") listing.unreadable.push({ path, error });
      }
    });
    await Promise.all(some);
  }
}

/** Puts the next file first. Equal times go by name, smaller first, in either order. */
export function orderSpoolFiles(
  files: SpoolFile[],
  order: SpooldirOptions["consumeOrder"],
  random: Random,
): void {
  if (order === "random") {
    for (let i = files.length - 1; i > 0; i--) {
      const other = random.integer(i + 1);
      const file = files[i] as SpoolFile;
      files[i] = files[other] as SpoolFile;
      files[other] = file;
    }
    return;
  }
  const sign = order === "oldest" ? 1 : -1;
  files.sort((a, b) => {
    const byTime = sign * (a.stat.modifiedMs - b.stat.modifiedMs);
    return byTime !== 0 ? byTime : a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
  });
}
