/**
 * Where the headers of one event lie: four offsets each, of the name's first byte, the byte behind
 * the name, the value's first byte and the byte behind the value. One is reused for many events.
 */
export class HeaderSpans {
  spans = new Int32Array(16 * 4);
  count = 0;

  /** Empties it, with room for `count`. */
  begin(count: number): void {
    this.count = 0;
    const needed = count * 4;
    if (needed > this.spans.length) this.spans = new Int32Array(needed);
  }

  add(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const at = this.count * 4;
    if (at === this.spans.length) {
      const grown = new Int32Array(at * 2);
      grown.set(this.spans);
      this.spans = grown;
    }
    const { spans } = this;
    spans[at] = nameStart;
    spans[at + 1] = nameEnd;
    spans[at + 2] = valueStart;
    spans[at + 3] = valueEnd;
    this.count++;
  }

  /** Of headers with the same name keeps the last only, as java.util.Map.put does. */
  keepLast(bytes: Buffer): void {
    const { count } = this;
    if (count < 2) return;
    if (count > pairwiseMax ? this.#isUniqueByText(bytes) : this.#isUnique(bytes)) return;
    const last = new Map<string, number>();
    for (let i = 0; i < count; i++) last.set(this.#name(bytes, i), i);
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (last.get(this.#name(bytes, i)) !== i) continue;
      this.spans.copyWithin(kept * 4, i * 4, i * 4 + 4);
      kept++;
    }
    this.count = kept;
  }

  #isUnique(bytes: Buffer): boolean {
    const { spans } = this;
    const end = this.count * 4;
    for (let i = 4; i < end; i += 4) {
      const start = spans[i] as number;
      const length = (spans[i + 1] as number) - start;
      for (let j = 0; j < i; j += 4) {
        const other = spans[j] as number;
        if ((spans[j + 1] as number) - other !== length) continue;
        let k = 0;
        while (k < length && bytes[start + k] === bytes[other + k]) k++;
        if (k === length) return false;
      }
    }
    return true;
  }

  #isUniqueByText(bytes: Buffer): boolean {
    const names = new Set<string>();
    for (let i = 0; i < this.count; i++) names.add(this.#name(bytes, i));
    return names.size === this.count;
  }

  /** A name byte for byte: two that are no UTF-8 are told apart. */
  #name(bytes: Buffer, index: number): string {
    const at = index * 4;
    return bytes.toString("latin1", this.spans[at], this.spans[at + 1]);
  }
}

/** Up to this many names each is compared with each: cheaper than making texts of them. */
const pairwiseMax = 16;
