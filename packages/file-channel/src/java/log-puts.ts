const entriesFirst = 256;

/** A transaction that took it was committed. */
export const takenFlag = 1;
/** It has its place in the order of delivery. */
export const placedFlag = 2;
/** A transaction that did not end had taken it. */
export const lentFlag = 4;
/** By the checkpoint, an open transaction had taken it. */
export const openTakeFlag = 8;

/** The puts of one data file, five bytes each: where, and what became of them. */
export class LogPuts {
  #offsets = new Uint32Array(entriesFirst);
  #flags = new Uint8Array(entriesFirst);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Offsets rise. Returns the put's index. */
  add(offset: number): number {
    if (this.#length === this.#offsets.length) {
      const offsets = new Uint32Array(this.#length * 2);
      offsets.set(this.#offsets);
      this.#offsets = offsets;
      const flags = new Uint8Array(this.#length * 2);
      flags.set(this.#flags);
      this.#flags = flags;
    }
    this.#offsets[this.#length] = offset;
    return this.#length++;
  }

  offset(index: number): number {
    return this.#offsets[index] as number;
  }

  mark(index: number, flag: number): void {
    this.#flags[index] = (this.#flags[index] as number) | flag;
  }

  is(index: number, flag: number): boolean {
    return ((this.#flags[index] as number) & flag) !== 0;
  }

  /** The put at that place; -1 for none. */
  find(offset: number): number {
    let low = 0;
    let high = this.#length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const there = this.#offsets[middle] as number;
      if (there === offset) return middle;
      if (there < offset) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}
