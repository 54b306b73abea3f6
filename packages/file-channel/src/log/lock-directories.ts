import {
  type Clock,
  type DirectoryLock,
  type DirectoryLocks,
  type Log,
  MillraceError,
  sleep,
} from "@millrace/core";

const lookEveryMs = 200;

export interface LockWait {
  readonly locks: DirectoryLocks;
  readonly clock: Clock;
  readonly log: Log;
  readonly waitMs: number;
  readonly aborted: AbortSignal;
}

/**
 * Takes the lock of each directory, in one order for all agents. Waits for a predecessor that still
 * drains; throws CHANNEL_LOCKED after `waitMs`, START_ABORTED on abort. All or none are held.
 */
export async function lockDirectories(
  directories: readonly string[],
  wait: LockWait,
): Promise<DirectoryLock[]> {
  const held: DirectoryLock[] = [];
  try {
    for (const directory of [...directories].sort()) held.push(await lockOne(directory, wait));
    return held;
  } catch (error) {
    for (const lock of held) await lock.release();
    throw error;
  }
}

async function lockOne(directory: string, wait: LockWait): Promise<DirectoryLock> {
  const { locks, clock, log, waitMs, aborted } = wait;
  const until = clock.monotonic() + waitMs;
  for (let looks = 0; ; looks++) {
    const lock = await locks.acquire(directory);
    if (lock !== undefined) return lock;
    if (aborted.aborted) {
      throw new MillraceError("START_ABORTED", `gave up waiting for ${directory}`);
    }
    if (clock.monotonic() >= until) {
      throw new MillraceError("CHANNEL_LOCKED", `another channel or agent holds ${directory}`, {
        context: { directory },
      });
    }
    if (looks === 0) log.info(`another agent holds ${directory}; waiting for it to let go`);
    await sleep(clock, lookEveryMs, aborted);
  }
}
