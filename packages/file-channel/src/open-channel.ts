import {
  type ChannelContext,
  type DirectoryLock,
  fileExists,
  type FileSystem,
  type Histogram,
  MillraceError,
  socketLocks,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import { makeDurableDirectory, readClaim } from "./log/claim.ts";
import { readIdentity } from "./log/identity.ts";
import { refuseJavaFlume } from "./log/java-flume.ts";
import { lockDirectories, type LockWait } from "./log/lock-directories.ts";
import { type OpenedLog, openLog } from "./log/open-log.ts";
import type { FileChannelOptions } from "./options.ts";

export interface OpenedChannel extends OpenedLog {
  readonly locks: readonly DirectoryLock[];
}

/**
 * Locks the directories, finds whose they are, and recovers the log. Throws a MillraceError that
 * says what to correct, and holds nothing then.
 */
export async function openChannel(
  options: FileChannelOptions,
  context: ChannelContext,
  syncSeconds: Histogram,
  aborted: AbortSignal,
  waiting?: LockWait["waiting"],
): Promise<OpenedChannel> {
  try {
    return await lockAndOpen(options, context, syncSeconds, aborted, waiting);
  } catch (error) {
    throw asStartError(error, options.dataDirs);
  }
}

async function lockAndOpen(
  options: FileChannelOptions,
  context: ChannelContext,
  syncSeconds: Histogram,
  aborted: AbortSignal,
  waiting: LockWait["waiting"],
): Promise<OpenedChannel> {
  const { runtime, log } = context;
  if (options.formatVersion < 2 && options.activeKey !== undefined) {
    throw new MillraceError(
      "CONFIG_INVALID",
      "formatVersion = 1 has no encryption; remove formatVersion, or encryption.activeKey",
    );
  }
  const { files, random, clock, locks = socketLocks } = runtime;
  const wait: LockWait = { locks, clock, log, waitMs: options.lockWaitMs, aborted, waiting };
  const existing: string[] = [];
  for (const directory of options.dataDirs) {
    await refuseJavaFlume(files, directory);
    if (await fileExists(files, directory)) existing.push(directory);
  }
  const made = options.dataDirs.filter((directory) => !existing.includes(directory));
  const held = await lockDirectories(existing, wait);
  const leaving: DirectoryLock[] = [];
  try {
    // Whoever makes a channel has its directories before it says whose they are: two that do so at
    // once would each give it a name. Where a channel is, its directories are locked already, and
    // one that is missing may be a disk that is not mounted: nothing is made in its place.
    const isNew = !(await isClaimed(files, existing));
    if (isNew) {
      for (const directory of made) await makeDurableDirectory(files, directory);
      held.push(...(await lockDirectories(made, wait)));
    }
    const identity = await readIdentity(files, random, options.dataDirs);
    if (!isNew) held.push(...(await lockDirectories(made, wait)));
    leaving.push(...(await lockDirectories(identity.leaving, wait)));
    const { keys, activeKey } = options;
    const parts = { runtime, log, syncSeconds, keys, activeKey };
    const opened = await openLog(parts, identity, {
      directories: identity.directories,
      segmentBytes: options.segmentBytes,
      minimumRequiredSpaceBytes: options.minimumRequiredSpaceBytes,
      minimumRequiredSpacePercent: options.minimumRequiredSpacePercent,
      formatVersion: options.formatVersion,
      groupAlign: options.groupAlign,
    });
    return { ...opened, locks: held };
  } catch (error) {
    for (const lock of held) await lock.release();
    throw error;
  } finally {
    for (const lock of leaving) await lock.release();
  }
}

/** Whether any of the directories is a channel's. */
async function isClaimed(files: FileSystem, directories: readonly string[]): Promise<boolean> {
  for (const directory of directories) {
    if ((await readClaim(files, directory)) !== undefined) return true;
  }
  return false;
}

/** What keeps a channel from starting, as an error that says what to correct. */
function asStartError(error: unknown, dataDirs: readonly string[]): MillraceError {
  const permission = ["EACCES", "EPERM", "EROFS"].includes(systemErrorCode(error));
  const where = `the file channel in ${dataDirs.join(", ")}`;
  return toMillraceError(error, permission ? "PERMISSION_DENIED" : "CHANNEL_DIRECTORY", where);
}
