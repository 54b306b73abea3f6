import { type Clock, sleep } from "./clock.ts";

/**
 * Waits for work that never rejects and was told to end: until it does, or until `graceMs` after
 * the deadline. Says whether it ended.
 */
export async function settledBy(
  work: Promise<unknown>,
  deadline: AbortSignal,
  clock: Clock,
  graceMs: number,
): Promise<boolean> {
  const ended = new AbortController();
  const settled = work.then(() => {
    ended.abort();
    return true;
  });
  const late = untilAborted(deadline, ended.signal).then(async () => {
    await sleep(clock, graceMs, ended.signal);
    return false;
  });
  return Promise.race([settled, late]);
}

/** Resolves when either signal aborts. */
export function untilAborted(signal: AbortSignal, other: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      other.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
    other.addEventListener("abort", done);
    if (signal.aborted || other.aborted) done();
  });
}
