/** Where an event was put, as Java's FlumeEventPointer: the data file's number, and a place in it. */
export interface Pointer {
  readonly file: number;
  readonly offset: number;
}

const pointersFirst = 64;

/** Many pointers, eight bytes each. */
export class PointerList {
  #values = new Uint32Array(pointersFirst * 2);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(file: number, offset: number): void {
    if (this.#length * 2 === this.#values.length) {
      const grown = new Uint32Array(this.#values.length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length * 2] = file;
    this.#values[this.#length * 2 + 1] = offset;
    this.#length++;
  }

  file(index: number): number {
    return this.#values[index * 2] as number;
  }

  offset(index: number): number {
    return this.#values[index * 2 + 1] as number;
  }
}
