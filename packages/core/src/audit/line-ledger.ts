/**
 * The lines of one file in the order they were written: where each begins, where the last one
 * ends, and a checksum of its bytes. Twelve bytes of memory a line, whatever the line's length.
 */
export interface LineLedger {
  readonly count: number;
  /** Where the next line begins: right behind the last one with its line end. */
  readonly endOffset: number;
  /** Lines follow each other without gaps: a line begins where the one before it ended. */
  append(endOffset: number, checksum: number): number;
  startOf(index: number): number;
  checksumOf(index: number): number;
  /** The line that begins exactly there, or -1. */
  indexAt(startOffset: number): number;
  /** How many lines lie whole before the offset. */
  countThrough(offset: number): number;
}

export function createLineLedger(startOffset = 0): LineLedger {
  let starts = new Float64Array(1024);
  let checksums = new Uint32Array(1024);
  let count = 0;
  let end = startOffset;

  function grow(): void {
    const moreStarts = new Float64Array(starts.length * 2);
    moreStarts.set(starts);
    starts = moreStarts;
    const moreChecksums = new Uint32Array(checksums.length * 2);
    moreChecksums.set(checksums);
    checksums = moreChecksums;
  }

  /** How many lines begin before the offset. */
  function startsBefore(offset: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] as number) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    get count() {
      return count;
    },
    get endOffset() {
      return end;
    },
    append(endOffset, checksum) {
      if (count === starts.length) grow();
      starts[count] = end;
      checksums[count] = checksum;
      end = endOffset;
      return count++;
    },
    startOf: (index) => starts[index] ?? end,
    checksumOf: (index) => checksums[index] ?? 0,
    indexAt(offset) {
      const index = startsBefore(offset);
      return index < count && starts[index] === offset ? index : -1;
    },
    countThrough(offset) {
      if (offset >= end) return count;
      return Math.max(0, startsBefore(offset + 1) - 1);
    },
  };
}
