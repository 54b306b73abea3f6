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

/** Node.js makes 1 ms of a longer wait. */
const nodeTimerMsMax = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, fire) {
    if (ms > nodeTimerMsMax) return setLongTimer(ms, fire);
    const timer = setTimeout(fire, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Waits in stretches that Node.js can time: a `keep-alive` of a month is no mistake. */
function setLongTimer(ms: number, fire: () => void): Timer {
  let leftMs = ms;
  let timer: Timer;
  const wait = (): void => {
    const stretchMs = Math.min(leftMs, nodeTimerMsMax);
    leftMs -= stretchMs;
    timer = systemClock.setTimer(stretchMs, leftMs > 0 ? wait : fire);
  };
  wait();
  return { cancel: () => timer.cancel() };
}
