import { type DirectoryLocks, MillraceError, socketLocks, systemErrorCode } from "@millrace/core";

const looks = 3;

/** Whether another process has one of the directories open. */
export async function isInUse(
  paths: readonly string[],
  locks: DirectoryLocks = socketLocks,
): Promise<boolean> {
  for (const path of paths) {
    if ((await locks.isHeld?.(path).catch(() => false)) === true) return true;
  }
  return false;
}

/**
 * Looks, and looks again while an agent works beside it: a segment that it freed in between is no
 * damage. What is still there at the last look is told.
 */
export async function refreshed<T>(
  paths: readonly string[],
  locks: DirectoryLocks | undefined,
  look: (inUse: boolean) => Promise<{ value: T; isSteady: boolean }>,
): Promise<T> {
  for (let left = looks; ; left--) {
    const inUse = await isInUse(paths, locks);
    try {
      const { value, isSteady } = await look(inUse);
      if (isSteady || !inUse || left <= 1) return value;
    } catch (error) {
      if (!inUse || left <= 1 || !mayPass(error)) throw error;
    }
  }
}

function mayPass(error: unknown): boolean {
  if (error instanceof MillraceError) return error.code === "CHANNEL_CORRUPT";
  return systemErrorCode(error) === "ENOENT";
}
