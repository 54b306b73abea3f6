import type { Clock } from "@millrace/core";

export interface FakeClock extends Clock {
  /**
   * Moves time forward, firing timers in order, and lets every promise that became ready run
   * before and between them.
   */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly timerCount: number;
}

/** A clock that stands still until it is told to move. */
export function createFakeClock(startMs = 1_700_000_000_000): FakeClock {
  let elapsed = 0;
  let timers: { at: number; order: number; fire: () => void }[] = [];
  let order = 0;
  return {
    now: () => startMs + elapsed,
    monotonic: () => elapsed,
    setTimer(ms, fire) {
      const timer = { at: elapsed + Math.max(0, ms), order: order++, fire };
      timers.push(timer);
      return {
        cancel() {
          timers = timers.filter((other) => other !== timer);
        },
      };
    },
    async advance(ms) {
      const until = elapsed + ms;
      await settle();
      for (;;) {
        timers.sort((a, b) => a.at - b.at || a.order - b.order);
        const next = timers[0];
        if (next === undefined || next.at > until) break;
        timers.shift();
        elapsed = Math.max(elapsed, next.at);
        next.fire();
        await settle();
      }
      elapsed = until;
    },
    get timerCount() {
      return timers.length;
    },
  };
}

/** Runs what is ready: microtasks, and a few turns of the event loop for I/O that has completed. */
export async function settle(turns = 5): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}
