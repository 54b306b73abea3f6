import { type EventBatch, EventBatchBuilder, type FileHandle } from "@millrace/core";
import { headBytesMax, type TailedFile } from "./tailed-file.ts";
import type { TaildirOptions } from "./options.ts";

const chunkBytes = 256 * 1024;
/** A batch of long lines ends here, whatever batchSize says. */
const batchBytesMax = 4 * 1024 * 1024;
const newline = 10;
const carriageReturn = 13;
const noBytes = Buffer.alloc(0);

export interface LineBatch {
  readonly batch: EventBatch;
  /** Where the file's next line begins. */
  readonly end: number;
}

/**
 * Cuts whole lines out of files. One buffer serves all files: it grows for a long line, up to
 * `maxLineBytes`, and is given back at the next file.
 */
export class LineReader {
  readonly #options: TaildirOptions;
  readonly #onCut: () => void;
  #buffer = Buffer.allocUnsafeSlow(chunkBytes);
  readonly #scratch = Buffer.allocUnsafeSlow(headBytesMax);
  /** What the buffer holds: bytes of this file from `#start` on. */
  #file: TailedFile | undefined;
  #generation = 0;
  #start = 0;
  #chunk: Buffer = noBytes;

  /** `onCut` is called for each part cut off a line that is too long. */
  constructor(options: TaildirOptions, onCut: () => void) {
    this.#options = options;
    this.#onCut = onCut;
  }

  /**
   * The next lines behind the file's position, at most a batch, reading no further than `upTo`.
   * `partial`: there is no whole line; with `isFinal` what there is counts as one. `replaced`: the
   * file does not begin any more as it did. Throws the system's error; then nothing was read.
   */
  async read(
    file: TailedFile,
    handle: FileHandle,
    upTo: number,
    isFinal: boolean,
  ): Promise<LineBatch | "partial" | "replaced"> {
    const builder = new EventBatchBuilder();
    let at = file.position;
    for (;;) {
      if (!this.#holds(file, at)) {
        if (at >= upTo) break;
        if (!(await this.#load(file, handle, at, upTo))) return "replaced";
      }
      at = this.#cutLines(file, builder, at);
      if (this.#isFull(builder)) break;
      const chunkEnd = this.#start + this.#chunk.length;
      // A chunk that is not full ends where the file does, or did when `upTo` was taken.
      if (chunkEnd >= upTo || this.#chunk.length < this.#buffer.length) break;
      if (at === this.#start) this.#grow();
      this.#chunk = noBytes;
    }
    const rest = this.#holds(file, at) ? this.#chunk.subarray(at - this.#start) : undefined;
    if (isFinal && rest !== undefined && !this.#isFull(builder)) {
      this.#add(file, builder, at, rest);
      at += rest.length;
    }
    return builder.length === 0 ? "partial" : { batch: builder.build(), end: at };
  }

  /** Forgets what it holds, and gives a grown buffer back. */
  clear(): void {
    this.#file = undefined;
    this.#chunk = noBytes;
    if (this.#buffer.length > chunkBytes) this.#buffer = Buffer.allocUnsafeSlow(chunkBytes);
  }

  #isFull(builder: EventBatchBuilder): boolean {
    return builder.length >= this.#options.batchSize || builder.byteLength >= batchBytesMax;
  }

  /** Whether the buffer has a byte of the file at this offset. */
  #holds(file: TailedFile, at: number): boolean {
    const isSame = this.#file === file && this.#generation === file.generation;
    return isSame && at >= this.#start && at < this.#start + this.#chunk.length;
  }

  /**
   * Fills the buffer from `at` on, then looks at the file's first bytes: if they are still what
   * they were, then what was read before is of the same content. False when they are not.
   */
  async #load(file: TailedFile, handle: FileHandle, at: number, upTo: number): Promise<boolean> {
    if (this.#file !== file) this.clear();
    this.#chunk = noBytes;
    this.#file = file;
    const chunk = await readFully(handle, this.#buffer, at, upTo);
    const head =
      at === 0
        ? chunk.subarray(0, headBytesMax)
        : await readFully(handle, this.#scratch, 0, Math.min(upTo, headBytesMax));
    if (!file.beginsAs(head)) return false;
    if (head.length > file.head.length) file.head = Buffer.from(head);
    this.#generation = file.generation;
    this.#start = at;
    this.#chunk = chunk;
    return true;
  }

  #grow(): void {
    const wanted = Math.min(this.#buffer.length * 2, this.#options.maxLineBytes + 1);
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(wanted, this.#buffer.length));
  }

  /** Adds the chunk's lines from `at` on until the batch is full; returns where the next begins. */
  #cutLines(file: TailedFile, builder: EventBatchBuilder, at: number): number {
    const chunk = this.#chunk;
    const { maxLineBytes } = this.#options;
    let from = at - this.#start;
    while (!this.#isFull(builder)) {
      const found = chunk.indexOf(newline, from);
      const end = found < 0 ? chunk.length : found;
      if (end - from > maxLineBytes) {
        this.#onCut();
        this.#add(file, builder, this.#start + from, chunk.subarray(from, from + maxLineBytes));
        from += maxLineBytes;
        continue;
      }
      if (found < 0) break;
      const isCrLf = found > from && chunk[found - 1] === carriageReturn;
      const body = chunk.subarray(from, isCrLf ? found - 1 : found);
      this.#add(file, builder, this.#start + from, body);
      from = found + 1;
    }
    return this.#start + from;
  }

  #add(file: TailedFile, builder: EventBatchBuilder, at: number, body: Buffer): void {
    const headers = file.headers(this.#options);
    if (!this.#options.hasByteOffsetHeader) builder.add(headers.bytes, body);
    else builder.add(new Map([...headers.map, ["byteoffset", String(at)]]), body);
  }
}

/** Reads from `at` to `upTo`, as much as the buffer takes and the file has. */
async function readFully(
  handle: FileHandle,
  into: Buffer,
  at: number,
  upTo: number,
): Promise<Buffer> {
  const wanted = Math.min(into.length, upTo - at);
  let length = 0;
  while (length < wanted) {
    const read = await handle.read(into, length, wanted - length, at + length);
    if (read === 0) break;
    length += read;
  }
  return into.subarray(0, length);
}
