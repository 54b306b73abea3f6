import { type FakeClock, settle } from "../runtime/fake-clock.ts";
import { waitFor, within } from "../wait-for.ts";

/** Whether the promise has not settled after everything that was ready has run. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  await settle();
  return !settled;
}

/**
 * Moves the clock until the promise settles, and gives its outcome: for waits that end by a timer
 * behind some real reading or writing.
 */
export async function advanceUntilSettled<T>(
  what: string,
  clock: FakeClock,
  promise: Promise<T>,
  stepMs = 100,
): Promise<T> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  await waitFor(what, async () => {
    if (!settled) await clock.advance(stepMs);
    return settled;
  });
  return promise;
}

/** A deadline that never comes. */
export const noDeadline: AbortSignal = new AbortController().signal;

/** A deadline that has come. */
export const deadlineOver: AbortSignal = AbortSignal.abort();

export { within };
