/**
 * As much of protocol buffers as Java Flume's files need, read in place:
 *
 *   message   = field*
 *   field     = key value               key = varint: number << 3 | wire
 *   value     = varint (wire 0) | 8 bytes (1) | varint length, bytes (2) | 4 bytes (5)
 *   delimited = varint length, message
 *
 * Lengths are at most five bytes long and must fit into what is there; groups (wire 3, 4) are not
 * read. What breaks these rules is a `false` or -1, never an error: the caller knows the file.
 */
export const varintWire = 0;
export const fixed64Wire = 1;
export const bytesWire = 2;
export const fixed32Wire = 5;

const none = new Uint8Array(0);

/** A walk over the fields of one message. One is reused for many messages. */
export class FieldWalk {
  /** Of the field that `next` has just found. Its content is `[start, end)`. */
  field = 0;
  wire = 0;
  start = 0;
  end = 0;
  /** Whether a field was cut off or none of the four kinds. */
  malformed = false;
  #bytes: Uint8Array = none;
  #at = 0;
  #limit = 0;

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#limit = end;
    this.malformed = false;
  }

  /** Moves to the next field; false behind the last one, and where `malformed`. */
  next(): boolean {
    if (this.#at >= this.#limit || this.malformed) return false;
    const key = this.#varint();
    this.field = key >>> 3;
    this.wire = key & 7;
    if (key <= 0 || this.field === 0 || !this.#span()) {
      this.malformed = true;
      return false;
    }
    this.#at = this.end;
    return true;
  }

  #span(): boolean {
    let length = this.wire === fixed64Wire ? 8 : this.wire === fixed32Wire ? 4 : -1;
    if (this.wire === bytesWire) length = this.#varint();
    this.start = this.#at;
    if (this.wire === varintWire) {
      let at = this.#at;
      while (at < this.#limit && (this.#bytes[at] as number) >= 0x80) at++;
      length = at - this.#at < 10 ? at + 1 - this.#at : -1;
    }
    this.end = this.start + length;
    return length >= 0 && this.end <= this.#limit;
  }

  #varint(): number {
    const value = readVarint(this.#bytes, this.#at, this.#limit);
    this.#at += varintBytes(value);
    return value;
  }
}

/** An unsigned number of at most 31 bits; -1 where it is cut off, longer or not in its shortest form. */
export function readVarint(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    if (at + i >= end) return -1;
    const byte = bytes[at + i] as number;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value < 2 ** 31 && (byte > 0 || i === 0) ? value : -1;
  }
  return -1;
}

/** How long such a number is in its file. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

/** A fixed 64-bit number, which the writer counts up from the clock; -1 where it is none of ours. */
export function readOrderNumber(bytes: Buffer, at: number): number {
  const high = bytes.readInt32LE(at + 4);
  if (high < 0 || high > 0x1fffff) return -1;
  return high * 2 ** 32 + bytes.readUInt32LE(at);
}
