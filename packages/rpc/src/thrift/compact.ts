/**
 * Thrift's compact protocol, as far as Flume's messages need it:
 *
 *   message = 82 (type << 5 | 1) sequence:varint name:string struct
 *   struct  = field* 00
 *   field   = (idDelta << 4 | type) value           idDelta 1 to 15
 *           | type id:zigzag value                  any other id: 0 of a result
 *   string  = length:varint byte{length}
 *   list    = (count << 4 | type) value{count}      count under 15
 *           | (f0 | type) count:varint value{count}
 *   map     = 00                                    empty
 *           | count:varint (keyType << 4 | valueType) (key value){count}
 *   i16, i32, i64 = zigzag varint;  double = byte{8};  bool as a field = in the type, 1 true or 2
 *   false; in a container = byte
 *
 * varint is unsigned, 7 bits a byte, low bits first.
 */
import { nameBytesMax, types } from "./protocol.ts";
import { malformed, type MessageHead, readText, type ThriftReader } from "./reader.ts";
import type { ThriftWriter } from "./writer.ts";

const protocolId = 0x82;
const version = 1;
const elementStruct = 12;
const elementString = 8;

/** By compact's number of a type: the same in `types`, or -1. Booleans are told apart by where they stand. */
const commonTypes: readonly number[] = [
  types.stop,
  types.bool,
  types.bool,
  types.byte,
  types.i16,
  types.i32,
  types.i64,
  types.double,
  types.string,
  types.list,
  types.set,
  types.map,
  types.struct,
  types.uuid,
  -1,
  -1,
];

export class CompactReader implements ThriftReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  fieldId = 0;
  fieldType = 0;
  count = 0;
  keyType = 0;
  elementType = 0;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
    this.end = bytes.length;
  }

  readHead(): MessageHead {
    const first = this.#byte();
    if (first !== protocolId) {
      const hint = first === 0x80 || first === 0 ? "; it looks like the binary protocol" : "";
      throw malformed(`not the compact protocol${hint}`, 0);
    }
    const second = this.#byte();
    if ((second & 0x1f) !== version) {
      throw malformed(`version ${second & 0x1f} of the compact protocol`, 1);
    }
    const sequence = this.readVarint() | 0;
    return { name: readText(this, "message name", nameBytesMax), type: second >>> 5, sequence };
  }

  enterStruct(): number {
    const outer = this.fieldId;
    this.fieldId = 0;
    return outer;
  }

  leaveStruct(outer: number): void {
    this.fieldId = outer;
  }

  nextField(): boolean {
    const start = this.at;
    const head = this.#byte();
    if (head === 0) return false;
    const delta = head >>> 4;
    const type = head & 0x0f;
    this.fieldId = delta === 0 ? this.#zigzag() : this.fieldId + delta;
    if (type === 1 || type === 2) this.fieldType = types.inline;
    else this.fieldType = commonTypes[type] as number;
    if (this.fieldType <= 0 || this.fieldId < -0x8000 || this.fieldId > 0x7fff) {
      throw malformed(`no field of Thrift (type ${type}, id ${this.fieldId})`, start);
    }
    return true;
  }

  readList(): void {
    const start = this.at;
    const head = this.#byte();
    this.count = head >>> 4;
    if (this.count === 15) this.count = this.readVarint();
    this.elementType = commonTypes[head & 0x0f] as number;
    // Every element has a byte at least.
    if (this.count > this.end - this.at || (this.count > 0 && this.elementType <= 0)) {
      throw malformed(`a list of ${this.count} that cannot be there`, start);
    }
  }

  readMap(): void {
    const start = this.at;
    this.count = this.readVarint();
    if (this.count === 0) return;
    const kinds = this.#byte();
    this.keyType = commonTypes[kinds >>> 4] as number;
    this.elementType = commonTypes[kinds & 0x0f] as number;
    if (this.count > (this.end - this.at) / 2 || this.keyType <= 0 || this.elementType <= 0) {
      throw malformed(`a map of ${this.count} that cannot be there`, start);
    }
  }

  readLength(): number {
    const start = this.at;
    const length = this.readVarint();
    if (length > this.end - this.at) {
      throw malformed(`a length of ${length} with ${this.end - this.at} bytes left`, start);
    }
    return length;
  }

  readI32(): number {
    const value = this.#zigzag();
    if (value !== (value | 0)) throw malformed(`${value} for an i32`, this.at);
    return value;
  }

  readI64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    throw malformed("a number over 10 bytes", this.at);
  }

  skipScalar(type: number): void {
    switch (type) {
      case types.inline:
        return;
      case types.bool:
      case types.byte:
        this.#byte();
        return;
      case types.i16:
      case types.i32:
      case types.i64:
        this.readI64();
        return;
      case types.double:
        this.#skip(8);
        return;
      case types.uuid:
        this.#skip(16);
        return;
      default:
        throw malformed(`type ${type}`, this.at);
    }
  }

  /** An unsigned number of at most 32 bits. */
  readVarint(): number {
    const { bytes, end } = this;
    let at = this.at;
    if (at < end) {
      const first = bytes[at] as number;
      if (first < 0x80) {
        this.at = at + 1;
        return first;
      }
    }
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 5; i++) {
      if (at >= end) throw malformed("a number is cut off", this.at);
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        this.at = at;
        return value;
      }
      scale *= 128;
    }
    throw malformed("a number over 32 bits", this.at);
  }

  #zigzag(): number {
    const value = this.readVarint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #byte(): number {
    if (this.at >= this.end) throw malformed("the message is cut off", this.at);
    return this.bytes[this.at++] as number;
  }

  #skip(count: number): void {
    if (count > this.end - this.at) throw malformed("the message is cut off", this.at);
    this.at += count;
  }
}

export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

export const compactWriter: ThriftWriter = {
  // Avro's zigzag lengths are never shorter than these.
  eventBytesMore: 4,
  headerBytesMore: 0,

  writeHead(bytes: Buffer, at: number, { name, type, sequence }: MessageHead): number {
    bytes[at++] = protocolId;
    bytes[at++] = (type << 5) | version;
    at = writeVarint(bytes, at, sequence >>> 0);
    at = writeVarint(bytes, at, Buffer.byteLength(name));
    return at + bytes.write(name, at);
  },

  /** Opens the argument: the one event, or the list of them. */
  writeArgument(bytes: Buffer, at: number, count: number | undefined): number {
    if (count === undefined) {
      bytes[at++] = 0x1c;
      return at;
    }
    bytes[at++] = 0x19;
    if (count < 15) {
      bytes[at++] = (count << 4) | elementStruct;
      return at;
    }
    bytes[at++] = 0xf0 | elementStruct;
    return writeVarint(bytes, at, count);
  },

  writeHeaders(bytes: Buffer, at: number, count: number): number {
    bytes[at++] = 0x1b;
    at = writeVarint(bytes, at, count);
    if (count > 0) bytes[at++] = (elementString << 4) | elementString;
    return at;
  },

  writeBody(bytes: Buffer, at: number, length: number): number {
    bytes[at++] = 0x18;
    return writeVarint(bytes, at, length);
  },

  writeLength: writeVarint,

  writeStop(bytes: Buffer, at: number): number {
    bytes[at++] = 0;
    return at;
  },

  writeStatus(bytes: Buffer, at: number, status: number): number {
    bytes[at++] = 0x05;
    bytes[at++] = 0;
    bytes[at++] = status << 1;
    return this.writeStop(bytes, at);
  },

  writeException(bytes: Buffer, at: number, text: string, type: number): number {
    bytes[at++] = 0x18;
    at = writeVarint(bytes, at, Buffer.byteLength(text));
    at += bytes.write(text, at);
    bytes[at++] = 0x15;
    bytes[at++] = type << 1;
    return this.writeStop(bytes, at);
  },
};
