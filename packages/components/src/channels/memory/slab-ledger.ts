import type { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";

/** The memory that a slab keeps alive: a buffer may be a part of it. */
type Memory = ArrayBufferLike;

/** Bytes of the memory that a batch keeps alive, each counted once and whole. */
export function memoryBytesOf(batch: EventBatch): number {
  const { runs } = batch;
  const [only] = runs;
  if (only === undefined) return 0;
  if (runs.length === 1) return only.slab.buffer.byteLength;
  let bytes = 0;
  for (const memory of new Set(runs.map(({ slab }) => slab.buffer))) bytes += memory.byteLength;
  return bytes;
}

/** The batch, or a copy where under half of the memory it keeps alive is its own. */
export function compactMemory(batch: EventBatch): EventBatch {
  return batch.length > 0 && batch.byteLength * 2 < memoryBytesOf(batch) ? batch.copy() : batch;
}

/**
 * Counts the bytes that a channel keeps alive: the memory of each slab once and whole, however many
 * runs of however many batches lie in it.
 */
export class SlabLedger {
  readonly #uses = new Map<Memory, number>();
  /**
   * The newest slab stands beside the map: a channel that is emptied as fast as it is filled never
   * touches the map, whose rehashing would cost more than all the rest of a put and take.
   */
  #newest: Memory | undefined;
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

  retainSlab({ buffer: memory }: Buffer): void {
    if (memory === this.#newest) {
      this.#newestUses++;
      return;
    }
    const uses = this.#uses.get(memory);
    if (uses !== undefined) {
      this.#uses.set(memory, uses + 1);
      return;
    }
    if (this.#newest !== undefined) this.#uses.set(this.#newest, this.#newestUses);
    this.#newest = memory;
    this.#newestUses = 1;
    this.#bytes += memory.byteLength;
  }

  releaseSlab({ buffer: memory }: Buffer): void {
    const uses = this.#usesOf(memory);
    if (uses === 1) {
      this.#bytes -= memory.byteLength;
      if (memory === this.#newest) this.#newest = undefined;
      else this.#uses.delete(memory);
    } else if (memory === this.#newest) {
      this.#newestUses--;
    } else {
      this.#uses.set(memory, uses - 1);
    }
  }

  /** Whether all memory of the batch would be freed if the batch were let go of. */
  holdsAlone(batch: EventBatch): boolean {
    const own = new Map<Memory, number>();
    for (const { slab } of batch.runs) own.set(slab.buffer, (own.get(slab.buffer) ?? 0) + 1);
    return [...own].every(([memory, uses]) => this.#usesOf(memory) === uses);
  }

  clear(): void {
    this.#uses.clear();
    this.#newest = undefined;
    this.#bytes = 0;
  }

  #usesOf(memory: Memory): number {
    const uses = memory === this.#newest ? this.#newestUses : this.#uses.get(memory);
    assert(uses !== undefined, "a slab is released as often as it was retained");
    return uses;
  }
}
