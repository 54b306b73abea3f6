/** Time, and waiting for it. Tests run on a fake one that moves only when told. */
export interface Clock {
  /** Milliseconds since 1970, as events and file names carry it; may jump. */
  now(): number;
  /** Milliseconds on a clock that never jumps; only differences mean something. */
  monotonic(): number;
  /** Calls `fire` once after `ms`. The timer does not keep the process alive. */
  setTimer(ms: number, fire: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Resolves after `ms`, or at once when `signal` aborts. Abort is not an error: look at the signal. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.setTimer(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, fire) {
    const timer = setTimeout(fire, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
