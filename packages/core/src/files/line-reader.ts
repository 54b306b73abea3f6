import type { FileHandle } from "../runtime/file-system.ts";
import { headBytesMax, readFully } from "./file-identity.ts";

const chunkBytes = 256 * 1024;
const newline = 10;
const carriageReturn = 13;
const noBytes = Buffer.alloc(0);

/** What the reader has to know of a file: whether it still is the one whose lines were read before. */
export interface ReadableFile {
  /** Its first bytes, as many as were seen, up to `headBytesMax`. */
  head: Buffer;
  /** Counts the times that the file began anew. */
  readonly generation: number;
  /** Whether these are the first bytes of the content that was followed so far. */
  beginsAs(head: Buffer): boolean;
}

/** Where lines go, in the file's order. The bytes are lent: they change with the next call. */
export interface LineTaker {
  /** No more lines are wanted now. */
  readonly isFull: boolean;
  /**
   * A line that begins at `at`, without its end; of one that is too long, a part (`isCut`). What
   * comes next begins at `next`.
   */
  take(line: Buffer, at: number, isCut: boolean, next: number): void;
}

/**
 * Cuts whole lines out of files. One buffer serves all files: it grows for a long line, up to
 * `maxLineBytes`, and is given back at the next file.
 */
export class LineReader {
  readonly #maxLineBytes: number;
  readonly #endsWithCrLf: boolean;
  #buffer = Buffer.allocUnsafeSlow(chunkBytes);
  readonly #scratch = Buffer.allocUnsafeSlow(headBytesMax);
  /** What the buffer holds: bytes of this file from `#start` on. */
  #file: ReadableFile | undefined;
  #generation = 0;
  #start = 0;
  #chunk: Buffer = noBytes;

  /**
   * A longer line is given in parts of `maxLineBytes`. `lineEnd`: whether a carriage return before the
   * line feed is the line's end, too, or its last byte.
   */
  constructor(maxLineBytes: number, lineEnd: "CR LF or LF" | "LF" = "CR LF or LF") {
    this.#maxLineBytes = maxLineBytes;
    this.#endsWithCrLf = lineEnd !== "LF";
  }

  /**
   * Gives the taker the lines from `from` on, until it is full, reading no further than `upTo`;
   * with `isFinal`, bytes behind the last line end count as a line. Returns where the next line
   * begins: `from` when there is no whole one. `replaced`: the file does not begin any more as it
   * did. Throws the system's error; then the taker may have got lines already.
   */
  async read(
    file: ReadableFile,
    handle: Pick<FileHandle, "read">,
    range: { readonly from: number; readonly upTo: number; readonly isFinal: boolean },
    taker: LineTaker,
  ): Promise<number | "replaced"> {
    const { from, upTo, isFinal } = range;
    let at = from;
    for (;;) {
      if (!this.#holds(file, at)) {
        if (at >= upTo) break;
        if (!(await this.#load(file, handle, at, upTo))) return "replaced";
      }
      at = this.#cutLines(taker, at);
      if (taker.isFull) break;
      const chunkEnd = this.#start + this.#chunk.length;
      // A chunk that is not full ends where the file does, or did when `upTo` was taken.
      if (chunkEnd >= upTo || this.#chunk.length < this.#buffer.length) break;
      if (at === this.#start) this.#grow();
      this.#chunk = noBytes;
    }
    const rest = this.#holds(file, at) ? this.#chunk.subarray(at - this.#start) : undefined;
    if (isFinal && rest !== undefined && !taker.isFull) {
      taker.take(rest, at, false, at + rest.length);
      at += rest.length;
    }
    return at;
  }

  /** Forgets what it holds, and gives a grown buffer back. */
  clear(): void {
    this.#file = undefined;
    this.#chunk = noBytes;
    if (this.#buffer.length > chunkBytes) this.#buffer = Buffer.allocUnsafeSlow(chunkBytes);
  }

  /** Whether the buffer has a byte of the file at this offset. */
  #holds(file: ReadableFile, at: number): boolean {
    const isSame = this.#file === file && this.#generation === file.generation;
    return isSame && at >= this.#start && at < this.#start + this.#chunk.length;
  }

  /**
   * Fills the buffer from `at` on, then looks at the file's first bytes: if they are still what
   * they were, then what was read before is of the same content. False when they are not.
   */
  async #load(
    file: ReadableFile,
    handle: Pick<FileHandle, "read">,
    at: number,
    upTo: number,
  ): Promise<boolean> {
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
    const wanted = Math.min(this.#buffer.length * 2, this.#maxLineBytes + 1);
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(wanted, this.#buffer.length));
  }

  /** Gives the chunk's lines from `at` on until the taker is full; returns where the next begins. */
  #cutLines(taker: LineTaker, at: number): number {
    const chunk = this.#chunk;
    let from = at - this.#start;
    while (!taker.isFull) {
      const found = chunk.indexOf(newline, from);
      const end = found < 0 ? chunk.length : found;
      if (end - from > this.#maxLineBytes) {
        const cutAt = from + this.#maxLineBytes;
        taker.take(chunk.subarray(from, cutAt), this.#start + from, true, this.#start + cutAt);
        from = cutAt;
        continue;
      }
      if (found < 0) break;
      const isCrLf = this.#endsWithCrLf && found > from && chunk[found - 1] === carriageReturn;
      const line = chunk.subarray(from, isCrLf ? found - 1 : found);
      taker.take(line, this.#start + from, false, this.#start + found + 1);
      from = found + 1;
    }
    return this.#start + from;
  }
}
