/** A set of small whole numbers, one bit each; grows as it is filled. */
export interface BitSet {
  readonly count: number;
  has(value: number): boolean;
  /** Whether the value is new. */
  add(value: number): boolean;
}

export function createBitSet(): BitSet {
  let words = new Uint32Array(64);
  let count = 0;
  return {
    get count() {
      return count;
    },
    has: (value) => (((words[value >>> 5] ?? 0) >>> (value & 31)) & 1) === 1,
    add(value) {
      const at = value >>> 5;
      if (at >= words.length) {
        const grown = new Uint32Array(Math.max(at + 1, words.length * 2));
        grown.set(words);
        words = grown;
      }
      const bit = 1 << (value & 31);
      const word = words[at] as number;
      if ((word & bit) !== 0) return false;
      words[at] = word | bit;
      count++;
      return true;
    },
  };
}
