import { EventBatch } from "@millrace/core";

/** Puts below this many bytes are copied together: alone, each would cost an object and a slab. */
export const smallPutBytes = 16 * 1024;
export const gatherSlabBytes = 64 * 1024;

/** The part of a small put that has its place in one slab. */
export interface Gathered {
  readonly slab: GatherSlab;
  readonly batch: EventBatch;
  readonly bytes: number;
}

/**
 * One slab that small puts are copied into, behind one another. Bytes are promised when a put
 * begins and written when it commits, so events lie in the order of the commits. What is written is
 * never written again: the slab may be in a sink's hands.
 */
export class GatherSlab {
  readonly slab = Buffer.allocUnsafeSlow(gatherSlabBytes);
  #offsets = new Uint32Array(128);
  #count = 0;
  #promisedBytes = 0;

  /** Events written so far. */
  get count(): number {
    return this.#count;
  }

  /** How many of the batch's events, from its first on, there is room for. */
  countFitting({ runs, length }: EventBatch, bytes: number): number {
    let left = this.slab.length - this.#filled - this.#promisedBytes;
    if (bytes <= left) return length;
    let count = 0;
    for (const { offsets, from, to } of runs) {
      for (let i = from; i < to; i++) {
        left -= (offsets[i + 1] as number) - (offsets[i] as number);
        if (left < 0) return count;
        count++;
      }
    }
    return count;
  }

  promise(bytes: number): void {
    this.#promisedBytes += bytes;
  }

  takeBack(bytes: number): void {
    this.#promisedBytes -= bytes;
  }

  /** Copies the batch, whose bytes were promised, behind what is there. */
  append(batch: EventBatch, bytes: number): void {
    this.#promisedBytes -= bytes;
    this.#growTo(this.#count + batch.length + 1);
    let at = this.#filled;
    for (const { slab, offsets, from, to } of batch.runs) {
      const start = offsets[from] as number;
      const shift = at - start;
      for (let i = from + 1; i <= to; i++) {
        this.#offsets[++this.#count] = (offsets[i] as number) + shift;
      }
      at += slab.copy(this.slab, at, start, offsets[to]);
    }
  }

  /** Events from `from` to the last one written, in one run. */
  batchFrom(from: number): EventBatch {
    return EventBatch.fromSlab(this.slab, this.#offsets.subarray(from, this.#count + 1));
  }

  get #filled(): number {
    return this.#offsets[this.#count] as number;
  }

  /** Batches made before go on with the old offsets, which say the same. */
  #growTo(length: number): void {
    if (length <= this.#offsets.length) return;
    const grown = new Uint32Array(Math.max(length, this.#offsets.length * 2));
    grown.set(this.#offsets);
    this.#offsets = grown;
  }
}
