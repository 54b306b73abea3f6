import type { QueuedPiece } from "./event-queue.ts";

/** What is lent to a sink, as a link of the list of all that is. */
export interface OpenTake {
  readonly pieces: readonly QueuedPiece[];
  before: OpenTake | undefined;
  after: OpenTake | undefined;
}

/** The takes that have not ended, oldest first. Adding and removing touch the neighbours only. */
export class OpenTakes {
  #first: OpenTake | undefined;
  #last: OpenTake | undefined;

  add(take: OpenTake): void {
    take.before = this.#last;
    if (this.#last === undefined) this.#first = take;
    else this.#last.after = take;
    this.#last = take;
  }

  remove(take: OpenTake): void {
    if (take.before === undefined) this.#first = take.after;
    else take.before.after = take.after;
    if (take.after === undefined) this.#last = take.before;
    else take.after.before = take.before;
    take.before = undefined;
    take.after = undefined;
  }

  /** When the oldest event that is lent was committed; undefined when none is. */
  oldestPutMs(): number | undefined {
    let oldest: number | undefined;
    for (let take = this.#first; take !== undefined; take = take.after) {
      const putMs = take.pieces[0]?.putMs;
      if (putMs !== undefined && (oldest === undefined || putMs < oldest)) oldest = putMs;
    }
    return oldest;
  }

  clear(): void {
    this.#first = undefined;
    this.#last = undefined;
  }
}
