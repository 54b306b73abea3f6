import { MessageEnd } from "./message-end.ts";

const noBytes = Buffer.alloc(0);
const bufferBytesFirst = 4096;

/**
 * Cuts the chunks of a socket into Thrift messages that have no frames. A message is a view, for
 * reading before the decoder is given or asked anything again. Buffers grow as bytes arrive.
 */
export class MessageDecoder {
  readonly #bytesMax: number;
  #bytes: Buffer = noBytes;
  /** Whether nobody else has `#bytes`, so that more may be written behind what is there. */
  #owned = false;
  #start = 0;
  #end = 0;
  #messageEnd: MessageEnd;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#messageEnd = new MessageEnd(bytesMax);
  }

  /** Whether part of a message, or more, is there. */
  get partial(): boolean {
    return this.#end > this.#start;
  }

  push(chunk: Buffer): void {
    const left = this.#end - this.#start;
    if (left === 0) {
      this.#bytes = chunk;
      this.#owned = false;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    this.#reserve(left + chunk.length);
    this.#end += chunk.copy(this.#bytes, this.#end);
  }

  /**
   * The next message that is there whole. Throws FRAME_MALFORMED or FRAME_TOO_LARGE: nothing behind
   * it means anything, and it is not to be asked again.
   */
  next(): Buffer | undefined {
    if (this.#end === this.#start) return undefined;
    const length = this.#messageEnd.find(this.#bytes, this.#start, this.#end);
    if (length === undefined) return undefined;
    const message = this.#bytes.subarray(this.#start, this.#start + length);
    this.#start += length;
    this.#messageEnd = new MessageEnd(this.#bytesMax);
    return message;
  }

  /** Makes room for `needed` bytes from `#start` on. */
  #reserve(needed: number): void {
    if (this.#owned && this.#start + needed <= this.#bytes.length) return;
    const left = this.#end - this.#start;
    const grown = Buffer.allocUnsafe(Math.max(needed, bufferBytesFirst, left * 2));
    this.#bytes.copy(grown, 0, this.#start, this.#end);
    this.#bytes = grown;
    this.#owned = true;
    this.#start = 0;
    this.#end = left;
  }
}
