import type { Clock } from "@millrace/core";
import type { PodInfo } from "./pod-info.ts";

interface Wait {
  readonly look: () => PodInfo | undefined;
  readonly end: (found: PodInfo | undefined) => void;
}

/** Those who wait for a pod to become known, each for a bounded time. */
export class PodWaits {
  readonly #clock: Clock;
  readonly #waits = new Set<Wait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#waits.size;
  }

  /** What `look` finds, now or after a change; undefined after `waitMs` or when `signal` aborts. */
  find(
    look: () => PodInfo | undefined,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<PodInfo | undefined> {
    const known = look();
    if (known !== undefined || waitMs <= 0 || signal?.aborted === true) {
      return Promise.resolve(known);
    }
    return new Promise((resolve) => {
      const aborted = (): void => wait.end(undefined);
      const wait: Wait = {
        look,
        end: (found) => {
          this.#waits.delete(wait);
          timer.cancel();
          signal?.removeEventListener("abort", aborted);
          resolve(found);
        },
      };
      const timer = this.#clock.setTimer(waitMs, aborted);
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waits.add(wait);
    });
  }

  /** Something changed: those whose pod is known now have it. */
  changed(): void {
    for (const wait of [...this.#waits]) {
      const found = wait.look();
      if (found !== undefined) wait.end(found);
    }
  }

  /** Nothing will change any more. */
  close(): void {
    for (const wait of [...this.#waits]) wait.end(undefined);
  }
}
