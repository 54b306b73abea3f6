import type { Clock } from "@millrace/core";

/** How long a pod that was awaited in vain is not awaited again. */
const againMs = 60_000;
const keysMax = 1000;

/**
 * What is worth waiting for. A wait in vain is not repeated with each batch, or reading would fall
 * behind the writing of logs: while the API server is away, one batch waits for it in all; while it
 * is there, one batch waits for each pod that it does not know.
 */
export class Patience {
  readonly #clock: Clock;
  readonly #inVain = new Map<string, number>();
  #isServerAway = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isWorthwhile(key: string, current: boolean): boolean {
    if (current) this.#isServerAway = false;
    else if (this.#isServerAway) return false;
    const untilMs = this.#inVain.get(key);
    return untilMs === undefined || untilMs <= this.#clock.monotonic();
  }

  /** The pod did not become known in time. */
  waitedInVain(key: string, current: boolean): void {
    if (!current) {
      this.#isServerAway = true;
      return;
    }
    this.#inVain.delete(key);
    this.#inVain.set(key, this.#clock.monotonic() + againMs);
    if (this.#inVain.size <= keysMax) return;
    const [oldest] = this.#inVain.keys();
    if (oldest !== undefined) this.#inVain.delete(oldest);
  }
}
