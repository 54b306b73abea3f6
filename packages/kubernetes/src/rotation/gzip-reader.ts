import { type FileHandle, headBytesMax, readFully } from "@millrace/core";
import { pipeline, Readable } from "node:stream";
import { createGunzip, type Gunzip } from "node:zlib";

const compressedChunkBytes = 64 * 1024;
/** As much of what was read last is kept: a reader that goes back a little need not begin anew. */
const windowBytes = 512 * 1024;

interface Piece {
  readonly start: number;
  readonly bytes: Buffer;
}

/**
 * Reads a compressed file at offsets of its plain form. Reading on is cheap; going back further than a
 * window reads it from its start again. Throws zlib's error (`Z_DATA_ERROR`, `Z_BUF_ERROR`) where the
 * file is damaged. Does not own the handle.
 */
export class GzipReader {
  readonly #handle: FileHandle;
  #stream: Gunzip | undefined;
  #pieces: AsyncIterator<Buffer> | undefined;
  #window: Piece[] = [];
  /** The plain form's bytes that were read so far. */
  #readTo = 0;
  #head: Buffer = Buffer.alloc(0);

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** As `FileHandle.read`. */
  async read(into: Buffer, offset: number, length: number, position: number): Promise<number> {
    if (position + length <= this.#head.length) {
      return this.#head.copy(into, offset, position, position + length);
    }
    if (position < (this.#window[0]?.start ?? this.#readTo)) this.#rewind();
    while (this.#readTo <= position) if (!(await this.#readOn())) return 0;
    let taken = 0;
    for (const { start, bytes } of this.#window) {
      const from = position + taken - start;
      if (from < 0 || from >= bytes.length) continue;
      taken += bytes.copy(into, offset + taken, from, from + length - taken);
      if (taken === length) break;
    }
    return taken;
  }

  /** Bytes of the plain form, as the file's last four bytes say: modulo 2^32. */
  async plainBytes(): Promise<number> {
    const { size } = await this.#handle.stat();
    const end = await readFully(this.#handle, Buffer.alloc(4), Math.max(0, size - 4), size);
    return end.length === 4 ? end.readUInt32LE() : 0;
  }

  close(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#pieces = undefined;
    this.#window = [];
    this.#readTo = 0;
  }

  #rewind(): void {
    this.close();
  }

  async #readOn(): Promise<boolean> {
    this.#pieces ??= this.#open();
    const next = await this.#pieces.next();
    if (next.done === true) return false;
    const bytes = next.value;
    this.#window.push({ start: this.#readTo, bytes });
    this.#readTo += bytes.length;
    if (this.#head.length < headBytesMax && this.#head.length === this.#readTo - bytes.length) {
      this.#head = Buffer.concat([this.#head, bytes]).subarray(0, headBytesMax);
    }
    for (;;) {
      const second = this.#window[1];
      if (second === undefined || this.#readTo - second.start < windowBytes) return true;
      this.#window.shift();
    }
  }

  #open(): AsyncIterator<Buffer> {
    const stream = createGunzip();
    this.#stream = stream;
    // The iterator throws what the pipeline fails with; nobody else has to hear of it.
    pipeline(Readable.from(compressedBytes(this.#handle)), stream, () => {});
    return (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }
}

async function* compressedBytes(handle: FileHandle): AsyncGenerator<Buffer> {
  for (let at = 0; ;) {
    const chunk = Buffer.allocUnsafe(compressedChunkBytes);
    const read = await handle.read(chunk, 0, chunk.length, at);
    if (read === 0) return;
    at += read;
    yield chunk.subarray(0, read);
  }
}
