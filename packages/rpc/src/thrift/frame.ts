/**
 * Thrift's framed transport, the same in both directions:
 *
 *   frame = int32be length | message{length}
 */
import { MillraceError } from "@millrace/core";

const noBytes = Buffer.alloc(0);
const bufferBytesFirst = 64 * 1024;

/**
 * Puts frames together from the chunks of a socket. A frame that lies whole in a chunk is a view
 * of it; another is copied together, into a buffer that grows as bytes arrive, never by a number
 * alone. Work is linear in bytes. What `next` returns is for reading at once: it is nobody's slab.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  #waiting: Buffer[] = [];
  #chunk: Buffer = noBytes;
  #at = 0;
  /** The length that is cut by a chunk's end, and how many bytes of it there are. */
  #length = 0;
  #lengthBytes = 0;
  #frame: Buffer = noBytes;
  #used = 0;
  #inFrame = false;
  #previousBytes = 0;
  #frameCount = 0;
  #failure: MillraceError | undefined;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Whether part of a frame has arrived. */
  get partial(): boolean {
    return this.#inFrame || this.#lengthBytes > 0 || this.#at < this.#chunk.length;
  }

  /** Takes a chunk. The decoder reads it until `next` finds no whole frame. */
  push(chunk: Buffer): void {
    if (this.#at === this.#chunk.length && this.#waiting.length === 0) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#waiting.push(chunk);
    }
  }

  /**
   * The message of the next frame that is there whole. Throws FRAME_MALFORMED or FRAME_TOO_LARGE,
   * and the same again when asked again: nothing behind a broken frame means anything.
   */
  next(): Buffer | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#inFrame && !this.#readLength()) return undefined;
    return this.#readFrame();
  }

  /** Reads the length; false when its bytes are not all there. */
  #readLength(): boolean {
    if (this.#lengthBytes === 0) this.#length = 0;
    while (this.#lengthBytes < 4) {
      if (!this.#hasBytes()) return false;
      this.#length = (this.#length << 8) | (this.#chunk[this.#at++] as number);
      this.#lengthBytes++;
    }
    this.#lengthBytes = 0;
    this.#assertLength();
    this.#inFrame = true;
    this.#used = 0;
    return true;
  }

  #assertLength(): void {
    const length = this.#length;
    if (length > 0 && length <= this.#maxFrameBytes) return;
    const guess = this.#frameCount === 0 ? guessPeer(length >>> 0) : "";
    const tooLarge = length > 0 && guess === "";
    this.#failure = new MillraceError(
      tooLarge ? "FRAME_TOO_LARGE" : "FRAME_MALFORMED",
      `a frame of ${length} bytes${guess}; maxFrameBytes is ${this.#maxFrameBytes}`,
      { context: { bytes: length, maxFrameBytes: this.#maxFrameBytes } },
    );
    this.#chunk = noBytes;
    this.#at = 0;
    this.#waiting = [];
    throw this.#failure;
  }

  #readFrame(): Buffer | undefined {
    const length = this.#length;
    if (this.#used === 0 && this.#hasBytes() && this.#chunk.length - this.#at >= length) {
      const whole = this.#chunk.subarray(this.#at, this.#at + length);
      this.#at += length;
      return this.#finish(whole);
    }
    while (this.#used < length) {
      if (!this.#hasBytes()) return undefined;
      const count = Math.min(length - this.#used, this.#chunk.length - this.#at);
      this.#reserve(this.#used + count);
      this.#chunk.copy(this.#frame, this.#used, this.#at, this.#at + count);
      this.#at += count;
      this.#used += count;
    }
    return this.#finish(this.#frame.subarray(0, length));
  }

  #reserve(needed: number): void {
    if (needed <= this.#frame.length) return;
    // A frame like the one before fits at once.
    const size = Math.max(needed, this.#previousBytes, bufferBytesFirst, this.#frame.length * 2);
    const grown = Buffer.allocUnsafeSlow(Math.min(size, this.#length));
    this.#frame.copy(grown, 0, 0, this.#used);
    this.#frame = grown;
  }

  #finish(message: Buffer): Buffer {
    this.#previousBytes = message.length;
    this.#inFrame = false;
    this.#used = 0;
    this.#frame = noBytes;
    this.#frameCount++;
    return message;
  }

  /** Whether a byte is left, moving to the next waiting chunk where this one is read. */
  #hasBytes(): boolean {
    while (this.#at === this.#chunk.length) {
      const next = this.#waiting.shift();
      this.#chunk = next ?? noBytes;
      this.#at = 0;
      if (next === undefined) return false;
    }
    return true;
  }
}

/** What a connection's first bytes look like instead, for the one who has to correct it. */
function guessPeer(opening: number): string {
  if (opening >>> 16 === 0x1503) return " (the peer answers with a TLS alert: it has ssl = true)";
  if (opening >>> 16 === 0x8001 || opening >>> 24 === 0x82) {
    return " (the peer speaks Thrift without frames)";
  }
  const letters = Buffer.from(opening.toString(16).padStart(8, "0"), "hex").toString("latin1");
  return /^(GET |POST|PUT |HEAD|HTTP|OPTI|CONN)$/.test(letters) ? " (the peer speaks HTTP)" : "";
}
