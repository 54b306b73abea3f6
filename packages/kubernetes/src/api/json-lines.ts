/** In place of a line that was longer than the limit and has been passed over. */
export const lineTooLong = Symbol("a line over the limit");

/**
 * Cuts a stream of bytes into lines, wherever the chunks end; the line feed is not part of a line,
 * and empty lines are left out. Keeps at most `lineBytesMax` of a line that has not ended.
 */
export class JsonLines {
  readonly #lineBytesMax: number;
  #parts: Buffer[] = [];
  #held = 0;
  #passingOver = false;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** The lines that this chunk ends, in order. */
  *push(chunk: Buffer): Generator<Buffer | typeof lineTooLong> {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, from);
      this.#hold(chunk.subarray(from, end < 0 ? chunk.length : end));
      if (end < 0) return;
      from = end + 1;
      const passedOver = this.#passingOver;
      const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
      this.#forget();
      this.#passingOver = false;
      if (passedOver) yield lineTooLong;
      else if (line !== undefined && line.length > 0) yield line;
    }
  }

  #hold(part: Buffer): void {
    if (this.#passingOver || part.length === 0) return;
    if (this.#held + part.length > this.#lineBytesMax) {
      this.#forget();
      this.#passingOver = true;
      return;
    }
    this.#parts.push(part);
    this.#held += part.length;
  }

  #forget(): void {
    this.#parts = [];
    this.#held = 0;
  }
}
