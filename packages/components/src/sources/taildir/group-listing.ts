import { type FileStat, pathIn, type Runtime, systemErrorCode } from "@millrace/core";
import type { FileGroup } from "./options.ts";

export interface FoundFile {
  readonly group: FileGroup;
  readonly path: string;
  readonly stat: FileStat;
}

export interface GroupListing {
  readonly group: FileGroup;
  /**
   * The group's files as they are now, by modification time, links followed. What has vanished
   * meanwhile is left out, and what cannot be looked at is told to `onUnreadable`. Throws the
   * system's error when the directory cannot be listed.
   */
  list(onUnreadable: (path: string, error: unknown) => void): Promise<FoundFile[]>;
}

/** Names may still come without the modification time changing: clocks of disks tick coarsely. */
const settledMs = 2000;
const statsAtOnce = 64;

export function createGroupListing(
  { clock, files }: Runtime,
  group: FileGroup,
  isCached: boolean,
): GroupListing {
  let names: readonly string[] = [];
  let cachedModifiedMs: number | undefined;

  async function refreshNames(): Promise<void> {
    const { modifiedMs } = await files.stat(group.directory);
    if (isCached && modifiedMs === cachedModifiedMs) return;
    const listedAtMs = clock.now();
    const entries = await files.readDirectory(group.directory);
    names = entries
      .filter(({ name, isDirectory }) => !isDirectory && group.pattern.test(name))
      .map(({ name }) => name);
    cachedModifiedMs = listedAtMs - modifiedMs > settledMs ? modifiedMs : undefined;
  }

  return {
    group,
    async list(onUnreadable) {
      await refreshNames();
      const found: FoundFile[] = [];
      const look = async (name: string): Promise<void> => {
        const path = pathIn(group.directory, name);
        try {
          const stat = await files.stat(path);
          if (stat.isFile) found.push({ group, path, stat });
        } catch (error) {
          if (systemErrorCode(error) !== "ENOENT") onUnreadable(path, error);
        }
      };
      for (let from = 0; from < names.length; from += statsAtOnce) {
        await Promise.all(names.slice(from, from + statsAtOnce).map(look));
      }
      return found.sort(
        (a, b) => a.stat.modifiedMs - b.stat.modifiedMs || (a.path < b.path ? -1 : 1),
      );
    },
  };
}
