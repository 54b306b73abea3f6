import type { EventBatch } from "@millrace/core";
import type { GatherSlab } from "./gather-slab.ts";

/**
 * Events that stand next to each other in the queue. `sequence` is the place of the first one in
 * the order of the commits; a piece that returns finds its place again by it.
 *
 *   head -> [3..7 returned] -> [8..107] -> [108..110 in a gather slab] <- tail
 */
export interface QueuedPiece {
  sequence: number;
  batch: EventBatch;
  /** When the first of its events was committed, on the monotonic clock. */
  readonly putMs: number;
  /** The slab of small puts in which the piece may still grow, and its first event there. */
  gathered?: { readonly slab: GatherSlab; from: number } | undefined;
  next?: QueuedPiece | undefined;
}

/** Small puts are not added to a piece older than this, so that the age of the oldest stays true. */
const growsForMs = 1000;

/** The events that may be taken, in order. It holds pieces, never single events. */
export class EventQueue {
  #head: QueuedPiece | undefined;
  #tail: QueuedPiece | undefined;
  #nextSequence = 0;

  get head(): QueuedPiece | undefined {
    return this.#head;
  }

  /** Adds a batch at the end. */
  push(batch: EventBatch, putMs: number, gathered?: QueuedPiece["gathered"]): void {
    this.#append({ sequence: this.#nextSequence, batch, putMs, gathered });
    this.#nextSequence += batch.length;
  }

  /**
   * Adds the events of a gather slab from `from` on: to the last piece where that one grows in the
   * same slab, for then it ends where they begin. Says whether it did.
   */
  pushGathered(slab: GatherSlab, from: number, nowMs: number): boolean {
    const tail = this.#tail;
    const gathered = tail?.gathered;
    if (tail !== undefined && gathered?.slab === slab && nowMs - tail.putMs < growsForMs) {
      tail.batch = slab.batchFrom(gathered.from);
      this.#nextSequence += slab.count - from;
      return true;
    }
    this.push(slab.batchFrom(from), nowMs, { slab, from });
    return false;
  }

  /** Removes the first piece. Whoever still holds it must not hold all that came behind it. */
  shift(): void {
    const first = this.#head;
    if (first === undefined) return;
    this.#head = first.next;
    first.next = undefined;
    if (this.#head === undefined) this.#tail = undefined;
  }

  /** Cuts the first `count` events off the head, which has more; the rest stays. */
  cut(head: QueuedPiece, count: number): QueuedPiece {
    const { sequence, batch, putMs } = head;
    head.sequence += count;
    head.batch = batch.slice(count);
    if (head.gathered !== undefined) head.gathered.from += count;
    return { sequence, batch: batch.slice(0, count), putMs };
  }

  /** Puts a piece back to its own place. What returns is older than nearly everything here. */
  insert(piece: QueuedPiece): void {
    let before: QueuedPiece | undefined;
    let after = this.#head;
    while (after !== undefined && after.sequence < piece.sequence) {
      before = after;
      after = after.next;
    }
    piece.gathered = undefined;
    piece.next = after;
    if (before === undefined) this.#head = piece;
    else before.next = piece;
    if (after === undefined) this.#tail = piece;
  }

  clear(): void {
    this.#head = undefined;
    this.#tail = undefined;
  }

  #append(piece: QueuedPiece): void {
    if (this.#tail === undefined) this.#head = piece;
    else this.#tail.next = piece;
    this.#tail = piece;
  }
}
