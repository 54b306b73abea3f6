import type { EventBatch } from "@millrace/core";
import type { DirectPut } from "./transactions.ts";

/**
 * Events of one put that stand next to each other. `sequence` is the place of the first one in the
 * order of the commits; a piece that a take returns finds its place again by it.
 */
export interface Piece {
  readonly put: DirectPut;
  sequence: number;
  batch: EventBatch;
  bytes: number;
  next?: Piece | undefined;
}

/**
 * What may be taken, in order:
 *
 *   head -> [put 7, events 0..99 returned] -> [put 7, events 200..299] -> [put 8, whole] <- tail
 */
export class Offers {
  #head: Piece | undefined;
  #tail: Piece | undefined;
  #nextSequence = 0;

  get head(): Piece | undefined {
    return this.#head;
  }

  push(put: DirectPut): void {
    const { batch, bytes } = put;
    const piece = { put, sequence: this.#nextSequence, batch, bytes };
    this.#nextSequence += batch.length;
    if (this.#tail === undefined) this.#head = piece;
    else this.#tail.next = piece;
    this.#tail = piece;
  }

  /** Removes the first piece, which then holds nothing of what came behind it. */
  shift(): void {
    const first = this.#head;
    if (first === undefined) return;
    this.#head = first.next;
    first.next = undefined;
    if (this.#head === undefined) this.#tail = undefined;
  }

  /** Cuts the first `count` events off the head, which has more; the rest stays. */
  cut(head: Piece, count: number): Piece {
    const { put, sequence, batch } = head;
    const first = batch.slice(0, count);
    const bytes = first.byteLength;
    head.sequence += count;
    head.batch = batch.slice(count);
    head.bytes -= bytes;
    return { put, sequence, batch: first, bytes };
  }

  /** Puts a piece back to its own place. What returns is older than nearly everything here. */
  insert(piece: Piece): void {
    let before: Piece | undefined;
    let after = this.#head;
    while (after !== undefined && after.sequence < piece.sequence) {
      before = after;
      after = after.next;
    }
    piece.next = after;
    if (before === undefined) this.#head = piece;
    else before.next = piece;
    if (after === undefined) this.#tail = piece;
  }

  /**
   * Removes the pieces of a put, which stand together, and returns them. A put that is given up is
   * among the oldest: the walk is short.
   */
  remove(put: DirectPut): Piece[] {
    let before: Piece | undefined;
    let piece = this.#head;
    while (piece !== undefined && piece.put !== put) {
      before = piece;
      piece = piece.next;
    }
    const removed: Piece[] = [];
    for (; piece?.put === put; piece = piece.next) removed.push(piece);
    if (removed.length === 0) return removed;
    if (before === undefined) this.#head = piece;
    else before.next = piece;
    if (piece === undefined) this.#tail = before;
    for (const one of removed) one.next = undefined;
    return removed;
  }

  clear(): void {
    this.#head = undefined;
    this.#tail = undefined;
  }
}
