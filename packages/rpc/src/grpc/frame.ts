/**
 * gRPC's framing of messages in the bytes of one HTTP/2 stream, the same in both directions:
 *
 *   message = byte compressed | uint32be length | byte{length}
 *
 * `compressed` is 0 or 1; 1 is refused here, as no compression is offered. How the bytes are cut into DATA
 * frames means nothing.
 */
import { MillraceError } from "@millrace/core";

const prefixBytes = 5;
const noBytes = Buffer.alloc(0);
/** What a message's slab has at first, unless it is known to be smaller or the one before was larger. */
const slabBytesFirst = 64 * 1024;

/**
 * Puts messages together from the chunks of a stream. Each byte is copied once into a slab, which
 * grows as bytes arrive and never by a number alone; a chunk is let go once it is read, so that a
 * peer that sends single bytes costs no more than one that sends whole messages.
 */
export class MessageDecoder {
  readonly #maxBytes: number;
  readonly #waiting: Buffer[] = [];
  #chunk: Buffer = noBytes;
  #at = 0;
  readonly #prefix = Buffer.alloc(prefixBytes);
  #prefixFilled = 0;
  #length = 0;
  #slab: Buffer = noBytes;
  #used = 0;
  #previousBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether part of a message has arrived. */
  get partial(): boolean {
    return this.#prefixFilled > 0 || this.#at < this.#chunk.length || this.#waiting.length > 0;
  }

  /** Takes a chunk. The decoder reads it until `next` finds no whole message. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#at === this.#chunk.length && this.#waiting.length === 0) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#waiting.push(chunk);
    }
  }

  /**
   * The next message that is there whole, a slab of its own. Throws FRAME_MALFORMED or
   * FRAME_TOO_LARGE; nothing behind means anything then.
   */
  next(): Buffer | undefined {
    for (;;) {
      if (this.#prefixFilled === prefixBytes && this.#used === this.#length) return this.#finish();
      if (this.#at === this.#chunk.length) {
        this.#at = 0;
        this.#chunk = this.#waiting.shift() ?? noBytes;
        if (this.#chunk.length === 0) return undefined;
      }
      if (this.#prefixFilled < prefixBytes) this.#readPrefix();
      else this.#readBody();
    }
  }

  #readPrefix(): void {
    this.#prefix[this.#prefixFilled++] = this.#chunk[this.#at++] as number;
    if (this.#prefixFilled < prefixBytes) return;
    if (this.#prefix[0] !== 0) {
      throw new MillraceError(
        "FRAME_MALFORMED",
        `a message begins with ${this.#prefix[0]}; only 0, uncompressed, is understood`,
      );
    }
    this.#length = this.#prefix.readUInt32BE(1);
    if (this.#length > this.#maxBytes) {
      throw new MillraceError(
        "FRAME_TOO_LARGE",
        `a message of ${this.#length} bytes; maxFrameBytes is ${this.#maxBytes}`,
        { context: { bytes: this.#length, maxFrameBytes: this.#maxBytes } },
      );
    }
    const known = Math.max(slabBytesFirst, this.#previousBytes, this.#chunk.length - this.#at);
    this.#slab = Buffer.allocUnsafe(Math.min(this.#length, known));
    this.#used = 0;
  }

  #readBody(): void {
    const taken = Math.min(this.#length - this.#used, this.#chunk.length - this.#at);
    if (this.#used + taken > this.#slab.length) {
      const bytes = Math.max(this.#slab.length * 2, this.#used + taken);
      const grown = Buffer.allocUnsafe(Math.min(this.#length, bytes));
      this.#slab.copy(grown, 0, 0, this.#used);
      this.#slab = grown;
    }
    this.#chunk.copy(this.#slab, this.#used, this.#at, this.#at + taken);
    this.#used += taken;
    this.#at += taken;
  }

  #finish(): Buffer {
    const message = this.#slab;
    this.#previousBytes = this.#length;
    this.#slab = noBytes;
    this.#prefixFilled = 0;
    this.#used = 0;
    this.#length = 0;
    return message;
  }
}

/** A message in its frame. */
export function encodeMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}
