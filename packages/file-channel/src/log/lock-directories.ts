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
  /** Told why it waits, and `undefined` when it does not any more. */
  readonly waiting?: ((why: MillraceError | undefined) => void) | undefined;
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
  try {
    return await acquire(directory, wait);
  } finally {
    wait.waiting?.(undefined);
  }
}

async function acquire(directory: string, wait: LockWait): Promise<DirectoryLock> {
  const { locks, clock, log, waitMs, aborted } = wait;
  const until = clock.monotonic() + waitMs;
  for (let looks = 0; ; looks++) {
    const lock = await locks.acquire(directory);
    if (lock !== undefined) return lock;
    if (aborted.aborted) {
      throw new MillraceError("START_ABORTED", `gave up waiting for ${directory}`);
    }
    if (clock.monotonic() >= until) throw await lockedError(directory, locks);
    if (looks === 0) {
      const why = await lockedError(directory, locks);
      log.info(`${why.message}; waiting up to ${Math.ceil(waitMs / 1000)} s for it to let go`);
      wait.waiting?.(why);
    }
    await sleep(clock, lookEveryMs, aborted);
  }
}

async function lockedError(directory: string, locks: DirectoryLocks): Promise<MillraceError> {
  const who = await locks.holder?.(directory).catch(() => undefined);
  const holder =
    who === undefined ? "another channel or agent" : `another channel or agent, ${who},`;
  return new MillraceError("CHANNEL_LOCKED", `${holder} holds ${directory}`, {
    context: { directory },
  });
}
