import type { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";

/**
 * Counts the bytes of the slabs that a channel keeps alive: each slab once and whole, however many
 * runs of however many batches lie in it.
 */
export class SlabLedger {
  readonly #uses = new Map<Buffer, number>();
  /**
   * The newest slab stands beside the map: a channel that is emptied as fast as it is filled never
   * touches the map, whose rehashing would cost more than all the rest of a put and take.
   */
  #newest: Buffer | undefined;
  #newestUses = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  retain(batch: EventBatch): void {
    for (const { slab } of batch.runs) this.retainSlab(slab);
  }

  release(batch: EventBatch): void {
    for (const { slab } of batch.runs) this.releaseSlab(slab);
  }

  retainSlab(slab: Buffer): void {
    if (slab === this.#newest) {
      this.#newestUses++;
      return;
    }
    const uses = this.#uses.get(slab);
    if (uses !== undefined) {
      this.#uses.set(slab, uses + 1);
      return;
    }
    if (this.#newest !== undefined) this.#uses.set(this.#newest, this.#newestUses);
    this.#newest = slab;
    this.#newestUses = 1;
    this.#bytes += slab.length;
  }

  releaseSlab(slab: Buffer): void {
    const uses = this.#usesOf(slab);
    if (uses === 1) {
      this.#bytes -= slab.length;
      if (slab === this.#newest) this.#newest = undefined;
      else this.#uses.delete(slab);
    } else if (slab === this.#newest) {
      this.#newestUses--;
    } else {
      this.#uses.set(slab, uses - 1);
    }
  }

  /** Whether every slab of the batch would be freed if the batch were let go of. */
  holdsAlone(batch: EventBatch): boolean {
    const own = new Map<Buffer, number>();
    for (const { slab } of batch.runs) own.set(slab, (own.get(slab) ?? 0) + 1);
    return [...own].every(([slab, uses]) => this.#usesOf(slab) === uses);
  }

  clear(): void {
    this.#uses.clear();
    this.#newest = undefined;
    this.#bytes = 0;
  }

  #usesOf(slab: Buffer): number {
    const uses = slab === this.#newest ? this.#newestUses : this.#uses.get(slab);
    assert(uses !== undefined, "a slab is released as often as it was retained");
    return uses;
  }
}
