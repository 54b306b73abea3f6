/**
 * Thrift's framed transport, the same in both directions:
 *
 *   frame = int32be length | message{length}
 */
import { MillraceError } from "@millrace/core";

const noBytes = Buffer.alloc(0);
const slabBytesFirst = 64 * 1024;

/**
 * A message as it came: `bytes` from `start` on, in a slab of its own. In front of it lie as many
 * bytes as `slackOf` says, so that its events can be written over it (read-events.ts).
 */
export interface FramedMessage {
  readonly bytes: Buffer;
  readonly start: number;
}

/** Room in front of a message of this length. */
export function slackOf(length: number): number {
  return length >>> 6;
}

/**
 * Puts frames together from the chunks of a socket. Each byte is copied once, into a slab that grows
 * as bytes arrive, never by a number alone. Work is linear in bytes.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  #waiting: Buffer[] = [];
  #chunk: Buffer = noBytes;
  #at = 0;
  /** The length that is cut by a chunk's end, and how many bytes of it there are. */
  #length = 0;
  #lengthBytes = 0;
  #slab: Buffer = noBytes;
  /** Where the message begins in the slab, and how much of it is there. */
  #start = 0;
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
   * The next message that is there whole; the caller may write to its slab. Throws FRAME_MALFORMED or FRAME_TOO_LARGE,
   * and the same again when asked again: nothing behind a broken frame means anything.
   */
  next(): FramedMessage | undefined {
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

  #readFrame(): FramedMessage | undefined {
    const length = this.#length;
    while (this.#used < length) {
      if (!this.#hasBytes()) return undefined;
      const count = Math.min(length - this.#used, this.#chunk.length - this.#at);
      this.#reserve(this.#used + count);
      this.#chunk.copy(this.#slab, this.#start + this.#used, this.#at, this.#at + count);
      this.#at += count;
      this.#used += count;
    }
    return this.#finish();
  }

  /** Makes room for `needed` bytes of the message, and the slack that so many need. */
  #reserve(needed: number): void {
    if (needed <= this.#slab.length - this.#start) return;
    // A message like the one before fits at once.
    const size = Math.max(needed, this.#previousBytes, slabBytesFirst, this.#used * 2);
    const room = Math.min(size, this.#length);
    const start = slackOf(room);
    // Small ones share pages as Node pools them: most are copied on by the channel anyway.
    const grown = Buffer.allocUnsafe(start + room);
    this.#slab.copy(grown, start, this.#start, this.#start + this.#used);
    this.#slab = grown;
    this.#start = start;
  }

  #finish(): FramedMessage {
    const message = { bytes: this.#slab, start: this.#start };
    this.#previousBytes = this.#used;
    this.#inFrame = false;
    this.#used = 0;
    this.#slab = noBytes;
    this.#start = 0;
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
