import { DeliveryError, type MillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "./event-batch.ts";
import { invertRanges, joinRanges, liftRanges, type Ranges } from "./ranges.ts";

/**
 * A batch on its way to those who may take it, one after another or in parts: what nobody has taken,
 * nor refused for good, is left. Positions are those of the whole batch.
 */
export class RemainingEvents {
  readonly batch: EventBatch;
  #settled: Ranges = [];
  #rejected: Ranges = [];
  #left: EventBatch | undefined;

  constructor(batch: EventBatch) {
    this.batch = batch;
    this.#left = batch;
  }

  get left(): EventBatch {
    this.#left ??= this.batch.select(this.#open());
    return this.#left;
  }

  get rejected(): Ranges {
    return this.#rejected;
  }

  /** What became of `left` with one who was offered it: all was taken, or what the error says. */
  note(error?: MillraceError): void {
    this.#note(this.#open(), error);
  }

  /** The same for so many events from position `from` on, which were offered by themselves. */
  notePart(from: number, length: number, error?: MillraceError): void {
    this.#note([{ from, to: from + length }], error);
  }

  /** The error as the owner of the batch is to see it: with all that was taken on the way. */
  failure(error: MillraceError): MillraceError {
    if (this.#settled.length + this.#rejected.length === 0) return error;
    const retryAfterMs = error instanceof DeliveryError ? error.retryAfterMs : undefined;
    return this.failureOf(error.code, error.message, {
      cause: error,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  /** An error of one's own with all that was taken on the way. */
  failureOf(
    code: MillraceError["code"],
    message: string,
    detail: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ): DeliveryError {
    const positions = { settled: this.#settled, rejected: this.#rejected };
    return new DeliveryError(code, message, { ...detail, ...positions });
  }

  #note(offered: Ranges, error: MillraceError | undefined): void {
    if (error === undefined) this.#settled = joinRanges(this.#settled, offered);
    else if (error instanceof DeliveryError) {
      this.#settled = joinRanges(this.#settled, liftRanges(error.settled, offered));
      this.#rejected = joinRanges(this.#rejected, liftRanges(error.rejected, offered));
    } else return;
    this.#left = undefined;
  }

  #open(): Ranges {
    return invertRanges(joinRanges(this.#settled, this.#rejected), this.batch.length);
  }
}
