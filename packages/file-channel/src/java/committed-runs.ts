const runsFirst = 256;

/**
 * What put transactions committed: neighbouring puts of one data file, with the write order of the
 * commit. Twenty bytes each.
 */
export class CommittedRuns {
  #orders = new Float64Array(runsFirst);
  /** File, first put, count. */
  #runs = new Uint32Array(runsFirst * 3);
  #length = 0;
  #inOrder = true;

  add(order: number, file: number, first: number, count: number): void {
    if (this.#length === this.#orders.length) {
      const orders = new Float64Array(this.#length * 2);
      orders.set(this.#orders);
      this.#orders = orders;
      const runs = new Uint32Array(this.#length * 6);
      runs.set(this.#runs);
      this.#runs = runs;
    }
    if (this.#length > 0 && order < (this.#orders[this.#length - 1] as number)) {
      this.#inOrder = false;
    }
    this.#orders[this.#length] = order;
    this.#runs.set([file, first, count], this.#length * 3);
    this.#length++;
  }

  /** In the order in which they were committed, over all data files. */
  each(visit: (order: number, file: number, first: number, count: number) => void): void {
    const orders = this.#orders;
    let indices: Uint32Array | undefined;
    if (!this.#inOrder) {
      indices = Uint32Array.from({ length: this.#length }, (_, index) => index);
      indices.sort((a, b) => (orders[a] as number) - (orders[b] as number) || a - b);
    }
    for (let i = 0; i < this.#length; i++) {
      const index = indices?.[i] ?? i;
      const [file, first, count] = this.#runs.subarray(index * 3, index * 3 + 3);
      visit(orders[index] as number, file as number, first as number, count as number);
    }
  }
}
