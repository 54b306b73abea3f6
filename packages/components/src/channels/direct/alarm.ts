import type { Clock, Timer } from "@millrace/core";

/**
 * One timer for a line of deadlines that all lie equally far ahead: the oldest is the next. What is
 * over before its deadline is simply not found when the alarm goes off, so that a deadline that is
 * kept costs nothing.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #goOff: (nowMs: number) => number | undefined;
  #timer: Timer | undefined;

  /**
   * `goOff` does what is due, and says when, on the monotonic clock, the next deadline is: also of
   * those that were set while it ran.
   */
  constructor(clock: Clock, goOff: (nowMs: number) => number | undefined) {
    this.#clock = clock;
    this.#goOff = goOff;
  }

  /** There is a deadline at `atMs`, none earlier than those named before. */
  set(atMs: number): void {
    this.#timer ??= this.#clock.setTimer(Math.max(0, atMs - this.#clock.monotonic()), () => {
      const next = this.#goOff(this.#clock.monotonic());
      this.#timer = undefined;
      if (next !== undefined) this.set(next);
    });
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
