import type { FileHandle } from "@millrace/core";

/** A stretch of a file in memory, moved along as it is asked for. */
export class FileWindow {
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #stretch: number;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;

  /** Reads at least `stretch` bytes at a time. */
  constructor(handle: FileHandle, size: number, stretch: number) {
    this.#handle = handle;
    this.size = size;
    this.#stretch = stretch;
  }

  /** Whether these bytes are in memory. */
  has(at: number, length: number): boolean {
    return this.available(at) >= length;
  }

  /** How many bytes from `at` on are in memory. */
  available(at: number): number {
    return at < this.#start ? 0 : Math.max(0, this.#start + this.#bytes.length - at);
  }

  /** Bytes that are in memory; good until the next `load`. */
  view(at: number, length: number): Buffer {
    return this.#bytes.subarray(at - this.#start, at - this.#start + length);
  }

  /** Reads from `at` on; afterwards as much of `length` is in memory as the file has. */
  async load(at: number, length: number): Promise<void> {
    const wanted = Math.max(0, Math.min(Math.max(length, this.#stretch), this.size - at));
    // A view of the old bytes may still be in use.
    const bytes = Buffer.allocUnsafe(wanted);
    let have = 0;
    while (have < wanted) {
      const read = await this.#handle.read(bytes, have, wanted - have, at + have);
      if (read === 0) break;
      have += read;
    }
    this.#bytes = bytes.subarray(0, have);
    this.#start = at;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
