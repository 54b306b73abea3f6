import {
  DeliveryError,
  type EventBatch,
  invertRanges,
  joinRanges,
  liftRanges,
  type MillraceError,
  type Ranges,
} from "@millrace/core";

/** A batch on its way to hosts: what they took of it is left out of what the next is offered. */
export class RemainingEvents {
  readonly #batch: EventBatch;
  #settled: Ranges = [];
  #rejected: Ranges = [];

  constructor(batch: EventBatch) {
    this.#batch = batch;
  }

  get left(): EventBatch {
    return this.#settled.length === 0 ? this.#batch : this.#batch.select(this.#open());
  }

  /** Keeps in mind what was taken and refused by whom `left` was offered to, where its error says so. */
  note(error: MillraceError): void {
    if (!(error instanceof DeliveryError)) return;
    const open = this.#open();
    this.#rejected = joinRanges(this.#rejected, liftRanges(error.rejected, open));
    this.#settled = joinRanges(this.#settled, liftRanges(error.settled, open));
  }

  /** The same for positions `from` on of the batch, which were offered by themselves. */
  noteFrom(from: number, length: number, error?: MillraceError): void {
    const part = [{ from, to: from + length }];
    if (error === undefined) this.#settled = joinRanges(this.#settled, part);
    if (!(error instanceof DeliveryError)) return;
    this.#rejected = joinRanges(this.#rejected, liftRanges(error.rejected, part));
    this.#settled = joinRanges(this.#settled, liftRanges(error.settled, part));
  }

  /** The error as the owner of the batch is to see it: with all that was taken on the way. */
  failure(error: MillraceError): MillraceError {
    if (this.#settled.length + this.#rejected.length === 0) return error;
    const retryAfterMs = error instanceof DeliveryError ? error.retryAfterMs : undefined;
    return new DeliveryError(error.code, error.message, {
      cause: error,
      settled: this.#settled,
      rejected: this.#rejected,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  #open(): Ranges {
    return invertRanges(this.#settled, this.#batch.length);
  }
}
