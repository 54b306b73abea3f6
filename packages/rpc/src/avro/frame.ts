/**
 * Netty framing of Avro RPC, the same in both directions:
 *
 *   message = int32be serial | int32be bufferCount | buffer{bufferCount}
 *   buffer  = int32be length | byte{length}
 *
 * What a message carries is its buffers one after another; where they are cut means nothing, and a
 * buffer may be empty (a Java server begins every reply but its first with one). A Java client cuts
 * at 8,192 bytes. The reply repeats the serial of its request.
 *
 * A bufferCount of 0 is an error: no peer sends one, and Java's own decoder takes what follows it
 * for a buffer.
 */
import { MillraceError } from "@millrace/core";

/** What arrived whole. `bytes` is a slab of its own that nobody else writes to. */
export interface Message {
  readonly serial: number;
  readonly bytes: Buffer;
}

const noBytes = Buffer.alloc(0);
const slabBytesFirst = 64 * 1024;
/** Of a slab at most one part in this many is left unused; else the message is copied out of it. */
const unusedShare = 32;

/**
 * Puts messages together from the chunks of a socket. Each byte is copied once, into a slab sized
 * by what is known: the whole message when the chunk shows all its lengths, else the message
 * before. Slabs grow as bytes arrive, never by a number alone. Work is linear in bytes.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  readonly #bufferCountMax: number;
  #waiting: Buffer[] = [];
  #chunk: Buffer = noBytes;
  #at = 0;
  /** A number that is cut by a chunk's end, and how many bytes of it there are. */
  #word = 0;
  #wordBytes = 0;
  #state: "serial" | "count" | "length" | "body" = "serial";
  #serial = 0;
  #opening = 0;
  #messageCount = 0;
  #buffersLeft = 0;
  #bufferLeft = 0;
  #slab: Buffer = noBytes;
  #used = 0;
  #previousBytes = 0;
  #failure: MillraceError | undefined;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
    // Java's buffers have 8,192 bytes; a peer whose buffers have under 512 is not one of Flume's.
    this.#bufferCountMax = Math.max(1024, Math.floor(maxFrameBytes / 512));
  }

  /** Whether part of a message has arrived. */
  get partial(): boolean {
    return this.#state !== "serial" || this.#wordBytes > 0 || this.#at < this.#chunk.length;
  }

  /** The serial of the message that is arriving, for an answer to one that is too large. */
  get serial(): number {
    return this.#serial;
  }

  /** Takes a chunk. The decoder reads it until `next` finds no whole message. */
  push(chunk: Buffer): void {
    if (this.#at === this.#chunk.length && this.#waiting.length === 0) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#waiting.push(chunk);
    }
  }

  /**
   * The next message that is there whole. Throws FRAME_MALFORMED or FRAME_TOO_LARGE, and the same
   * again when asked again: nothing behind a broken frame means anything.
   */
  next(): Message | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#next();
    } catch (error) {
      this.#failure = error as MillraceError;
      this.#slab = noBytes;
      this.#chunk = noBytes;
      this.#at = 0;
      this.#waiting = [];
      throw error;
    }
  }

  #next(): Message | undefined {
    for (;;) {
      switch (this.#state) {
        case "serial":
          if (!this.#readWord()) return undefined;
          this.#serial = this.#word;
          if (this.#messageCount === 0) this.#opening = this.#word;
          this.#state = "count";
          break;
        case "count":
          if (!this.#readWord()) return undefined;
          this.#begin(this.#word);
          break;
        case "length":
          if (!this.#readWord()) return undefined;
          this.#beginBuffer(this.#word);
          break;
        case "body":
          if (!this.#copyBody()) return undefined;
          if (this.#buffersLeft === 0) return this.#finish();
          this.#state = "length";
      }
    }
  }

  #begin(count: number): void {
    if (count <= 0 || count > this.#bufferCountMax) {
      throw this.#malformed(`a message of ${count} buffers; 1 to ${this.#bufferCountMax} can be`);
    }
    this.#buffersLeft = count;
    this.#used = 0;
    this.#slab = noBytes;
    this.#state = "length";
    const whole = this.#wholeBytes();
    if (whole !== undefined && whole <= this.#maxFrameBytes) {
      // Small ones share pages as Node pools them: most are copied on by the channel anyway.
      this.#slab = Buffer.allocUnsafe(whole);
    }
  }

  #beginBuffer(length: number): void {
    if (length < 0) throw this.#malformed(`a buffer of ${length} bytes`);
    const bytes = this.#used + length;
    if (bytes > this.#maxFrameBytes) {
      const guess = this.#guess();
      throw new MillraceError(
        guess === "" ? "FRAME_TOO_LARGE" : "FRAME_MALFORMED",
        `a message of at least ${bytes} bytes${guess}; maxFrameBytes is ${this.#maxFrameBytes}`,
        { context: { bytes, maxFrameBytes: this.#maxFrameBytes } },
      );
    }
    this.#bufferLeft = length;
    this.#buffersLeft--;
    this.#state = "body";
  }

  /** The size of the message that begins here when all its lengths are in this chunk. */
  #wholeBytes(): number | undefined {
    let at = this.#at;
    let bytes = 0;
    for (let i = 0; i < this.#buffersLeft; i++) {
      if (at + 4 > this.#chunk.length) return undefined;
      const length = this.#chunk.readInt32BE(at);
      if (length < 0) return undefined;
      bytes += length;
      at += 4 + length;
    }
    return at <= this.#chunk.length ? bytes : undefined;
  }

  /** Copies what there is of the buffer under way; true when it is there whole. */
  #copyBody(): boolean {
    while (this.#bufferLeft > 0) {
      if (!this.#hasBytes()) return false;
      const count = Math.min(this.#bufferLeft, this.#chunk.length - this.#at);
      this.#reserve(this.#used + count);
      this.#chunk.copy(this.#slab, this.#used, this.#at, this.#at + count);
      this.#at += count;
      this.#used += count;
      this.#bufferLeft -= count;
    }
    return true;
  }

  #reserve(needed: number): void {
    if (needed <= this.#slab.length) return;
    // A message like the one before fits, with room for small differences.
    const expected = this.#previousBytes + (this.#previousBytes >>> 6);
    let size = Math.max(needed, expected, slabBytesFirst, this.#slab.length * 2);
    // In the last buffer the size of the message is known; it is believed as far as bytes came.
    const whole = this.#used + this.#bufferLeft;
    if (this.#buffersLeft === 0) size = Math.min(size, whole);
    size = Math.min(size, this.#maxFrameBytes);
    const grown = Buffer.allocUnsafeSlow(size);
    this.#slab.copy(grown, 0, 0, this.#used);
    this.#slab = grown;
  }

  #finish(): Message {
    const used = this.#used;
    let bytes = this.#slab;
    if (bytes.length - used > used / unusedShare) bytes = Buffer.from(bytes.subarray(0, used));
    else if (used < bytes.length) bytes = bytes.subarray(0, used);
    this.#previousBytes = used;
    this.#slab = noBytes;
    this.#messageCount++;
    this.#state = "serial";
    return { serial: this.#serial, bytes };
  }

  /** Reads an int32be into `#word`; false when its bytes are not all there. */
  #readWord(): boolean {
    if (this.#wordBytes === 0 && this.#chunk.length - this.#at >= 4) {
      this.#word = this.#chunk.readInt32BE(this.#at);
      this.#at += 4;
      return true;
    }
    if (this.#wordBytes === 0) this.#word = 0;
    while (this.#wordBytes < 4) {
      if (!this.#hasBytes()) return false;
      this.#word = (this.#word << 8) | (this.#chunk[this.#at++] as number);
      this.#wordBytes++;
    }
    this.#wordBytes = 0;
    return true;
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

  #malformed(what: string): MillraceError {
    return new MillraceError("FRAME_MALFORMED", `${what}${this.#guess()}`, {
      context: { messagesBefore: this.#messageCount },
    });
  }

  /** What the first bytes of the connection look like instead, for the one who has to correct it. */
  #guess(): string {
    if (this.#messageCount > 0) return "";
    const opening = this.#opening >>> 0;
    if (opening >>> 16 === 0x1603) return " (the peer begins a TLS handshake)";
    if (opening >>> 24 === 0x78 && (opening >>> 16) % 31 === 0) {
      return " (the peer sends a deflate stream)";
    }
    const letters = Buffer.from(opening.toString(16).padStart(8, "0"), "hex").toString("latin1");
    return /^(GET |POST|PUT |HEAD|HTTP|OPTI|CONN)$/.test(letters) ? " (the peer speaks HTTP)" : "";
  }
}

/** A message of small buffers in one piece, for replies. */
export function encodeMessage(serial: number, buffers: readonly Uint8Array[]): Buffer {
  let size = 8;
  for (const buffer of buffers) size += 4 + buffer.length;
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeInt32BE(serial, 0);
  bytes.writeInt32BE(buffers.length, 4);
  let at = 8;
  for (const buffer of buffers) {
    bytes.writeInt32BE(buffer.length, at);
    bytes.set(buffer, at + 4);
    at += 4 + buffer.length;
  }
  return bytes;
}
