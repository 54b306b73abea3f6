import { type Clock, jitter, type MillraceError, type Random } from "@millrace/core";

/**
 * - `up`: it answered OK last, or was never asked.
 * - `penalised`: it failed, and has no turn until its penalty is over.
 * - `due`: its penalty is over; the next batch is its trial.
 * - `trial`: one batch is with it; others stay away until that is answered.
 */
export type HostState = "up" | "penalised" | "due" | "trial";

/** A batch that is with a host, for telling how it ended. */
export interface Offer {
  readonly onTrial: boolean;
  /** What was known of the host then: an outcome says nothing new when more is known since. */
  readonly changes: number;
}

/**
 * - `failed`: no OK came.
 * - `undecided`: given up on this side, or the events were at fault.
 */
export type OfferOutcome = "delivered" | "failed" | "undecided";

const penaltyBaseMs = 1000;
const doublingsMax = 16;

/**
 * What a client knows of one host. A penalty is 2 s after the first failure in a row and doubles
 * with each, give or take a fifth, up to `penaltyMsMax`; none when that is 0. The README has the
 * states as a table; `host-health.test.ts` has a test for each row.
 */
export class HostHealth {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #penaltyMsMax: number;
  #failures = 0;
  #reason: MillraceError | undefined;
  #penaltyEndMs = 0;
  #changes = 0;
  #trials = 0;

  constructor(clock: Clock, random: Random, penaltyMsMax: number) {
    this.#clock = clock;
    this.#random = random;
    this.#penaltyMsMax = penaltyMsMax;
  }

  get state(): HostState {
    if (this.#failures === 0) return "up";
    if (this.#trials > 0) return "trial";
    return this.penaltyMs > 0 ? "penalised" : "due";
  }

  /** Until it has a turn again; 0 when it may have one. */
  get penaltyMs(): number {
    return Math.max(0, this.#penaltyEndMs - this.#clock.monotonic());
  }

  /** Why it failed last, while it is not up. */
  get reason(): MillraceError | undefined {
    return this.#reason;
  }

  /** A batch is handed to it. Every offer is settled once. */
  offer(): Offer {
    const onTrial = this.#failures > 0;
    if (onTrial) this.#trials++;
    return { onTrial, changes: this.#changes };
  }

  /** Says what that changed: it is up again, it has begun to fail, or neither. */
  settle(
    offer: Offer,
    outcome: OfferOutcome,
    error?: MillraceError,
  ): "recovered" | "failing" | undefined {
    if (offer.onTrial) this.#trials--;
    // Of several batches in flight the first to fail has told what the others tell.
    if (offer.changes !== this.#changes) return undefined;
    const wasUp = this.#failures === 0;
    switch (outcome) {
      case "delivered":
        if (wasUp) return undefined;
        this.#changes++;
        this.#failures = 0;
        this.#reason = undefined;
        this.#penaltyEndMs = 0;
        return "recovered";
      case "failed":
        this.#changes++;
        this.#failures++;
        this.#reason = error;
        this.#penaltyEndMs = this.#clock.monotonic() + this.#nextPenaltyMs();
        return wasUp ? "failing" : undefined;
      case "undecided":
        return undefined;
    }
  }

  #nextPenaltyMs(): number {
    const max = this.#penaltyMsMax;
    if (max === 0) return 0;
    const doubled = penaltyBaseMs * 2 ** Math.min(this.#failures, doublingsMax);
    return Math.min(max, jitter(this.#random, Math.min(max, doubled)));
  }
}
