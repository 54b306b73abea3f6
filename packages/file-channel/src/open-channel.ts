import { type ChannelContext, type DirectoryLock, fileExists, socketLocks } from "@millrace/core";
import type { Histogram } from "@millrace/core";
import { readIdentity } from "./log/identity.ts";
import { refuseJavaFlume } from "./log/java-flume.ts";
import { lockDirectories, type LockWait } from "./log/lock-directories.ts";
import { type OpenedLog, openLog } from "./log/open-log.ts";
import type { FileChannelOptions } from "./options.ts";

export interface OpenedChannel extends OpenedLog {
  readonly locks: readonly DirectoryLock[];
}

/** Locks the directories, finds whose they are, and recovers the log. Holds nothing when it throws. */
export async function openChannel(
  options: FileChannelOptions,
  context: ChannelContext,
  syncSeconds: Histogram,
  aborted: AbortSignal,
): Promise<OpenedChannel> {
  const { runtime, log } = context;
  const { files, random, clock, locks = socketLocks } = runtime;
  const wait: LockWait = { locks, clock, log, waitMs: options.lockWaitMs, aborted };
  const existing: string[] = [];
  for (const directory of options.dataDirs) {
    await refuseJavaFlume(files, directory);
    if (await fileExists(files, directory)) existing.push(directory);
  }
  const held = await lockDirectories(existing, wait);
  try {
    const identity = await readIdentity(files, random, options.dataDirs);
    const made = options.dataDirs.filter((directory) => !existing.includes(directory));
    held.push(...(await lockDirectories(made, wait)));
    const opened = await openLog({ runtime, log, syncSeconds }, identity, {
      directories: identity.directories,
      segmentBytes: options.segmentBytes,
      minimumRequiredSpaceBytes: options.minimumRequiredSpaceBytes,
      groupAlign: options.groupAlign,
    });
    return { ...opened, locks: held };
  } catch (error) {
    for (const lock of held) await lock.release();
    throw error;
  }
}
