import {
  countRanges,
  DeliveryError,
  type EventBatch,
  invertRanges,
  joinRanges,
  liftRanges,
  type MillraceError,
  type Ranges,
  type Sink,
  toMillraceError,
} from "@millrace/core";

/** What came of offering a batch to a member. */
export type Offered =
  /** The member has the rest; nothing is left to deliver. */
  | { readonly outcome: "delivered" }
  /** The member works; the batch, or the agent, is why this goes no further. */
  | { readonly outcome: "rejected" | "given up"; readonly error: MillraceError }
  /** The member could not take all of it. */
  | { readonly outcome: "failed"; readonly error: MillraceError };

/**
 * One batch on its way through a group: each member is offered only what no member before it has
 * taken or refused for good. Positions are those of the whole batch.
 */
export class GroupDelivery {
  readonly batch: EventBatch;
  readonly #giveUp: AbortSignal;
  #settled: Ranges = [];
  #rejected: Ranges = [];
  #rest: EventBatch;

  constructor(batch: EventBatch, giveUp: AbortSignal) {
    this.batch = batch;
    this.#rest = batch;
    this.#giveUp = giveUp;
  }

  get restLength(): number {
    return this.#rest.length;
  }

  async offerTo(sink: Sink): Promise<Offered> {
    try {
      await sink.deliver(this.#rest, this.#giveUp);
    } catch (thrown) {
      return this.#offeredInVain(toMillraceError(thrown));
    }
    this.#settled = invertRanges(this.#rejected, this.batch.length);
    return { outcome: "delivered" };
  }

  /** Throws when events of the batch can never be delivered; the others are. */
  finish(): void {
    if (this.#rejected.length === 0) return;
    const count = countRanges(this.#rejected);
    throw this.lift("EVENT_REJECTED", `${count} events of a batch can never be delivered`);
  }

  /** The error for the whole group: with every position that any member settled or rejected. */
  lift(
    code: MillraceError["code"],
    message: string,
    detail: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ): DeliveryError {
    return new DeliveryError(code, message, {
      ...detail,
      settled: this.#settled,
      rejected: this.#rejected,
    });
  }

  #offeredInVain(error: MillraceError): Offered {
    let refused = error.code === "EVENT_REJECTED";
    if (error instanceof DeliveryError) {
      const done = joinRanges(this.#settled, this.#rejected);
      const offered = invertRanges(done, this.batch.length);
      this.#settled = joinRanges(this.#settled, liftRanges(error.settled, offered));
      this.#rejected = joinRanges(this.#rejected, liftRanges(error.rejected, offered));
      if (error.rejected.length > 0 && error.answer === "reject") refused = true;
      const left = invertRanges(joinRanges(this.#settled, this.#rejected), this.batch.length);
      this.#rest = this.batch.select(left);
    }
    if (this.#rest.length === 0) return { outcome: "delivered" };
    if (this.#giveUp.aborted) return { outcome: "given up", error };
    return { outcome: refused ? "rejected" : "failed", error };
  }
}
