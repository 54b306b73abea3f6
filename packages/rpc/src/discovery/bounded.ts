import { type Clock, MillraceError, sleep } from "@millrace/core";

/**
 * The work's result, or DISCOVERY_FAILED after `ms` or when `giveUp` aborts; the work is then told
 * by `abandon` and what becomes of it is nobody's business.
 */
export async function bounded<T>(
  work: Promise<T>,
  what: string,
  { clock, ms, giveUp, abandon }: BoundedOptions,
): Promise<T> {
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  giveUp.addEventListener("abort", stop, { once: true });
  if (giveUp.aborted) stop();
  let settled = false;
  const done = work.finally(() => {
    settled = true;
    stop();
  });
  // Whether or not anyone waits for it any more, it is no unhandled rejection.
  done.catch(() => {});
  await sleep(clock, ms, ended.signal);
  giveUp.removeEventListener("abort", stop);
  if (settled) return done;
  abandon?.();
  const why = giveUp.aborted ? "was given up" : `took over ${ms / 1000} s`;
  throw new MillraceError("DISCOVERY_FAILED", `${what} ${why}`);
}

export interface BoundedOptions {
  readonly clock: Clock;
  readonly ms: number;
  readonly giveUp: AbortSignal;
  readonly abandon?: () => void;
}
