import { EventBatch, type PutTransaction, type Ranges, type TakeTransaction } from "@millrace/core";
import assert from "node:assert/strict";
import { joinPieces } from "./queue/event-queue.ts";
import { cutPiece, type Piece } from "./queue/piece.ts";

/** Room for a batch, and the way to store it. Ends once. */
export class DurablePut implements PutTransaction {
  readonly #store: () => Promise<void>;
  readonly #release: () => void;
  #ended = false;

  constructor(store: () => Promise<void>, release: () => void) {
    this.#store = store;
    this.#release = release;
  }

  async commit(): Promise<void> {
    this.#end();
    await this.#store();
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#release();
  }

  #end(): void {
    assert(!this.#ended, "a put transaction ends once");
    this.#ended = true;
  }
}

/** Lent events, and what becomes of them. Ends once. */
export class DurableTake implements TakeTransaction {
  readonly batch: EventBatch;
  readonly #settle: (settled: Ranges) => void;
  #ended = false;

  constructor(pieces: readonly Piece[], settle: (settled: Ranges) => void) {
    this.batch = pieces.length === 0 ? EventBatch.empty : joinPieces(pieces);
    this.#settle = settle;
  }

  async commit(settled: Ranges = [{ from: 0, to: this.batch.length }]): Promise<void> {
    this.#end();
    this.#settle(settled);
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#settle([]);
  }

  #end(): void {
    assert(!this.#ended, "a take transaction ends once");
    this.#ended = true;
  }
}

/** The piece, whose first event is position `base` of its batch, cut at the ranges' ends. */
export function* splitPiece(
  piece: Piece,
  base: number,
  settled: Ranges,
): Generator<{ part: Piece; isSettled: boolean }> {
  let rest: Piece | undefined = piece;
  let at = base;
  const end = base + piece.batch.length;
  const cut = (to: number): Piece => {
    const whole = rest as Piece;
    const count = to - at;
    at = to;
    if (count === whole.batch.length) {
      rest = undefined;
      return whole;
    }
    const { front, rest: left } = cutPiece(whole, count);
    rest = left;
    return front;
  };
  for (const range of settled) {
    const from = Math.max(range.from, at);
    const to = Math.min(range.to, end);
    if (from >= to) continue;
    if (from > at) yield { part: cut(from), isSettled: false };
    yield { part: cut(to), isSettled: true };
  }
  if (at < end) yield { part: cut(end), isSettled: false };
}
