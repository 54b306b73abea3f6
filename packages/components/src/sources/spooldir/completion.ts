import { fileExists, type FileSystem, MillraceError, systemErrorCode } from "@millrace/core";
import { dirname } from "node:path";
import type { SpooldirOptions } from "./options.ts";
import type { SpoolFile } from "./spool-listing.ts";

/** What becomes of a file all of which is committed: renamed, marked in the tracker directory, or deleted. */
export interface Completion {
  /** Learns which files are marked already. */
  load(): Promise<void>;
  /** Whether the file is marked as finished without being renamed or deleted. */
  isDone(relative: string): boolean;
  /** Throws TARGET_EXISTS when the name the finished file would get is taken. */
  assertTargetFree(file: SpoolFile): Promise<void>;
  /** Finishes the file. Throws TARGET_EXISTS, or the system's error; then nothing has changed. */
  finish(file: SpoolFile): Promise<void>;
  /** Makes `finish` outlive a power cut. */
  sync(file: SpoolFile): Promise<void>;
}

export function createCompletion(
  files: FileSystem,
  options: SpooldirOptions,
  trackerDir: string,
): Completion {
  const isMarking = options.trackingPolicy === "tracker_dir";
  const chosen = isMarking
    ? marking(files, options.fileSuffix, trackerDir)
    : renaming(files, options.fileSuffix);
  return options.deletePolicy === "immediate" ? { ...chosen, ...deleting(files) } : chosen;
}

function deleting(files: FileSystem): Omit<Completion, "load" | "isDone"> {
  return {
    assertTargetFree: () => Promise.resolve(),
    finish: (file) => files.unlink(file.path),
    sync: (file) => files.syncDirectory(dirname(file.path)),
  };
}

function renaming(files: FileSystem, suffix: string): Completion {
  const assertTargetFree = async (file: SpoolFile): Promise<void> => {
    const target = file.path + suffix;
    if (await fileExists(files, target)) throw targetExists(file, target);
  };
  return {
    load: () => Promise.resolve(),
    isDone: () => false,
    assertTargetFree,
    async finish(file) {
      await assertTargetFree(file);
      await files.rename(file.path, file.path + suffix);
    },
    sync: (file) => files.syncDirectory(dirname(file.path)),
  };
}

function marking(files: FileSystem, suffix: string, trackerDir: string): Completion {
  const done = new Set<string>();
  const markOf = (file: SpoolFile): string => `${trackerDir}/${file.relative}${suffix}`;

  async function loadMarks(directory: string): Promise<void> {
    for (const entry of await files.readDirectory(`${trackerDir}/${directory}`)) {
      if (entry.isDirectory) await loadMarks(`${directory}${entry.name}/`);
      else if (entry.name.endsWith(suffix))
        done.add(directory + entry.name.slice(0, entry.name.length - suffix.length));
    }
  }

  return {
    async load() {
      done.clear();
      await loadMarks("");
    },
    isDone: (relative) => done.has(relative),
    async assertTargetFree(file) {
      if (await fileExists(files, markOf(file))) throw targetExists(file, markOf(file));
    },
    async finish(file) {
      const mark = markOf(file);
      await files.makeDirectory(dirname(mark));
      try {
        const handle = await files.open(mark, "create");
        done.add(file.relative);
        await handle.close().catch(() => {});
      } catch (error) {
        throw systemErrorCode(error) === "EEXIST" ? targetExists(file, mark) : error;
      }
    },
    sync: (file) => files.syncDirectory(dirname(markOf(file))),
  };
}

function targetExists(file: SpoolFile, target: string): MillraceError {
  return new MillraceError(
    "TARGET_EXISTS",
    `${file.path} would be finished as ${target}, which exists; remove or rename one of the two`,
    { context: { path: file.path, target } },
  );
}
