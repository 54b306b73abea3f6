import { EventBatch } from "@millrace/core";

/** Puts below this are copied together: alone they would cost 2.3 times their bytes. */
export const smallPutBytes = 16 * 1024;
const slabBytes = 64 * 1024;
const eventsFirst = 256;

/**
 * A slab that small puts are copied into one behind another, so that neighbours become one piece.
 * Never pooled: when it is full the next is new, and the old one lives as long as its events.
 */
export class SmallSlab {
  #slab: Buffer = Buffer.alloc(0);
  #offsets = new Uint32Array(1);
  #count = 0;
  #used = 0;

  /** Index of the next event in the current slab. */
  get count(): number {
    return this.#count;
  }

  /** Copies the batch in; returns whether it went into the same slab as the one before. */
  add(batch: EventBatch): boolean {
    const bytes = batch.byteLength;
    const same = this.#used + bytes <= this.#slab.length;
    if (!same) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#offsets = new Uint32Array(eventsFirst + 1);
      this.#count = 0;
      this.#used = 0;
    }
    this.#reserve(batch.length);
    for (const run of batch.runs) {
      const start = run.offsets[run.from] as number;
      const end = run.offsets[run.to] as number;
      const shift = this.#used - start;
      for (let i = run.from; i < run.to; i++) {
        this.#offsets[this.#count++] = (run.offsets[i] as number) + shift;
      }
      this.#used += run.slab.copy(this.#slab, this.#used, start, end);
    }
    this.#offsets[this.#count] = this.#used;
    return same;
  }

  /** The events from index `from` on. */
  eventsFrom(from: number, origin: { run: string; sequence: number }): EventBatch {
    return EventBatch.fromSlab(this.#slab, this.#offsets.subarray(from, this.#count + 1), origin);
  }

  #reserve(events: number): void {
    const needed = this.#count + events + 1;
    if (needed <= this.#offsets.length) return;
    // Batches that were handed out keep the old array.
    const grown = new Uint32Array(Math.max(needed, this.#offsets.length * 2));
    grown.set(this.#offsets);
    this.#offsets = grown;
  }
}
