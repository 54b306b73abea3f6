/** Below this Node's own pool serves, above the other nothing is kept. */
const keptBytesMin = 16 * 1024;
const keptBytesMax = 2 * 1024 * 1024;

/**
 * Memory of requests of one connection, used again once it has been written: half a megabyte a batch
 * that comes and goes costs V8 a collection every few dozen batches.
 */
export class SendBuffer {
  #free: Buffer | undefined;
  readonly #lent = new Map<number, Buffer>();

  /** Memory for request `id`, until `written` is called for it. What it holds is of no meaning. */
  lend(id: number, bytes: number): Buffer {
    if (bytes < keptBytesMin || bytes > keptBytesMax) return Buffer.allocUnsafe(bytes);
    let whole = this.#free;
    if (whole === undefined || whole.length < bytes) {
      // A sixteenth more, so that the next batch, a little larger, fits too.
      whole = Buffer.allocUnsafeSlow(bytes + (bytes >>> 4));
    } else {
      this.#free = undefined;
    }
    this.#lent.set(id, whole);
    return whole.subarray(0, bytes);
  }

  /** The request's bytes are written: nobody reads this memory any more. */
  written(id: number): void {
    const whole = this.#lent.get(id);
    if (whole === undefined) return;
    this.#lent.delete(id);
    if (this.#free === undefined || this.#free.length < whole.length) this.#free = whole;
  }
}
