import type { Clock, Timer } from "@millrace/core";

interface Waiter<Asked, Got> {
  readonly asked: Asked;
  settle(outcome: () => Got): void;
}

/** Who waits for room or for events: first come, first served, each no longer than keep-alive. */
export class WaitingLine<Asked, Got> {
  readonly #clock: Clock;
  readonly #keepAliveMs: number;
  readonly #giveUp: (asked: Asked) => Got;
  readonly #waiters = new Set<Waiter<Asked, Got>>();

  /** `giveUp` says what becomes of one whose time is over or whose signal aborts; it may throw. */
  constructor(clock: Clock, keepAliveMs: number, giveUp: (asked: Asked) => Got) {
    this.#clock = clock;
    this.#keepAliveMs = keepAliveMs;
    this.#giveUp = giveUp;
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  wait(asked: Asked, signal: AbortSignal | undefined): Promise<Got> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const waiter: Waiter<Asked, Got> = {
        asked,
        settle: (outcome) => {
          this.#waiters.delete(waiter);
          timer?.cancel();
          signal?.removeEventListener("abort", late);
          try {
            resolve(outcome());
          } catch (error) {
            reject(error as Error);
          }
        },
      };
      const late = (): void => {
        waiter.settle(() => this.#giveUp(asked));
        this.onLeft();
      };
      this.#waiters.add(waiter);
      if (this.#keepAliveMs === 0 || signal?.aborted === true) return late();
      timer = this.#clock.setTimer(this.#keepAliveMs, late);
      signal?.addEventListener("abort", late, { once: true });
    });
  }

  /** Called when one has left unserved: who stands behind may fit. */
  onLeft: () => void = () => undefined;

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
