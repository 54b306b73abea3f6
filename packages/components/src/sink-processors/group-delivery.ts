import {
  countRanges,
  DeliveryError,
  type EventBatch,
  type MillraceError,
  RemainingEvents,
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
 * taken or refused for good.
 */
export class GroupDelivery {
  readonly #remaining: RemainingEvents;
  readonly #giveUp: AbortSignal;

  constructor(batch: EventBatch, giveUp: AbortSignal) {
    this.#remaining = new RemainingEvents(batch);
    this.#giveUp = giveUp;
  }

  get batch(): EventBatch {
    return this.#remaining.batch;
  }

  get restLength(): number {
    return this.#remaining.left.length;
  }

  async offerTo(sink: Sink): Promise<Offered> {
    try {
      await sink.deliver(this.#remaining.left, this.#giveUp);
    } catch (thrown) {
      return this.#offeredInVain(toMillraceError(thrown));
    }
    this.#remaining.note();
    return { outcome: "delivered" };
  }

  /** Throws when events of the batch can never be delivered; the others are. */
  finish(): void {
    const count = countRanges(this.#remaining.rejected);
    if (count === 0) return;
    throw this.lift("EVENT_REJECTED", `${count} events of a batch can never be delivered`);
  }

  /** The error for the whole group: with every position that any member settled or rejected. */
  lift(...error: Parameters<RemainingEvents["failureOf"]>): DeliveryError {
    return this.#remaining.failureOf(...error);
  }

  #offeredInVain(error: MillraceError): Offered {
    this.#remaining.note(error);
    if (this.restLength === 0) return { outcome: "delivered" };
    if (this.#giveUp.aborted) return { outcome: "given up", error };
    return { outcome: isRefusal(error) ? "rejected" : "failed", error };
  }
}

/** Whether the events are at fault, and not the member. */
function isRefusal(error: MillraceError): boolean {
  if (error.code === "EVENT_REJECTED") return true;
  return error instanceof DeliveryError && error.rejected.length > 0 && error.answer === "reject";
}
