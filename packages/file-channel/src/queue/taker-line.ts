import type { Clock, MillraceError } from "@millrace/core";
import type { Piece } from "./piece.ts";

interface Taker {
  readonly max: number;
  give(pieces: readonly Piece[]): void;
  refuse(error: MillraceError): void;
}

/** Takes that wait for an event, served in the order they came. */
export class TakerLine {
  readonly #clock: Clock;
  readonly #keepAliveMs: number;
  #takers: Taker[] = [];

  constructor(clock: Clock, keepAliveMs: number) {
    this.#clock = clock;
    this.#keepAliveMs = keepAliveMs;
  }

  get isEmpty(): boolean {
    return this.#takers.length === 0;
  }

  /** Resolves with pieces, or with none after keep-alive or on abort. */
  wait(max: number, signal: AbortSignal | undefined): Promise<readonly Piece[]> {
    if (signal?.aborted === true) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        signal?.removeEventListener("abort", nothing);
        this.#takers = this.#takers.filter((other) => other !== taker);
      };
      const taker: Taker = {
        max,
        give(pieces) {
          end();
          resolve(pieces);
        },
        refuse(error) {
          end();
          reject(error);
        },
      };
      const nothing = (): void => taker.give([]);
      const timer = this.#clock.setTimer(this.#keepAliveMs, nothing);
      signal?.addEventListener("abort", nothing, { once: true });
      this.#takers.push(taker);
    });
  }

  /** Serves from the front as long as `take` has something. */
  serve(take: (max: number) => readonly Piece[]): void {
    for (;;) {
      const first = this.#takers[0];
      if (first === undefined) return;
      const pieces = take(first.max);
      if (pieces.length === 0) return;
      first.give(pieces);
    }
  }

  /** Ends every wait: with nothing, or with the error. */
  endAll(error?: MillraceError): void {
    for (const taker of [...this.#takers]) {
      if (error === undefined) taker.give([]);
      else taker.refuse(error);
    }
  }
}
