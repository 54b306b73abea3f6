import type { Clock, Timer } from "../runtime/clock.ts";

interface Waiter<Asked, Got> {
  readonly asked: Asked;
  settle(outcome: () => Got): void;
}

/**
 * Who waits for room or for events, first come, first served: `Asked` is what each asks for, `Got`
 * what it is served with. Each has a timer and listens to its signal only while it stands here:
 * whoever is served at once never enters.
 */
export class WaitingLine<Asked, Got> {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter<Asked, Got>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  /**
   * Waits until `serve` or `end` settles it. When the time is over or the signal aborts it has left
   * the line, and is settled with what `giveUp` returns or throws.
   */
  wait(asked: Asked, ms: number, signal: AbortSignal | undefined, giveUp: () => Got): Promise<Got> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const onGiveUp = (): void => waiter.settle(giveUp);
      const waiter: Waiter<Asked, Got> = {
        asked,
        settle: (outcome) => {
          this.#waiters.delete(waiter);
          timer?.cancel();
          signal?.removeEventListener("abort", onGiveUp);
          try {
            resolve(outcome());
          } catch (error) {
            reject(error as Error);
          }
        },
      };
      this.#waiters.add(waiter);
      if (ms === 0 || signal?.aborted === true) return onGiveUp();
      timer = this.#clock.setTimer(ms, onGiveUp);
      signal?.addEventListener("abort", onGiveUp, { once: true });
    });
  }

  /** Serves from the front, up to the first for whom `attempt` has nothing. */
  serve(attempt: (asked: Asked) => Got | undefined): void {
    for (const waiter of this.#waiters) {
      const got = attempt(waiter.asked);
      if (got === undefined) return;
      waiter.settle(() => got);
    }
  }

  /** Settles everyone with what `outcome` returns or throws. */
  end(outcome: () => Got): void {
    for (const waiter of this.#waiters) waiter.settle(outcome);
  }
}
