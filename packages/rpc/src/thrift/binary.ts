/**
 * Thrift's binary protocol, as far as Flume's messages need it. Numbers are big-endian:
 *
 *   message = 8001 00 type:byte name:string sequence:int32 struct         strict
 *           | name:string type:byte sequence:int32 struct                 old, without a version
 *   struct  = field* 00
 *   field   = type:byte id:int16 value
 *   string  = length:int32 byte{length}
 *   list    = type:byte count:int32 value{count}
 *   map     = keyType:byte valueType:byte count:int32 (key value){count}
 *   bool, byte = byte;  i16 = int16;  i32 = int32;  i64 = int64;  double = byte{8}
 *
 * Both forms of a message are read, as Java's server reads them; strict is written.
 */
import { nameBytesMax, types } from "./protocol.ts";
import { malformed, type MessageHead, readText, type ThriftReader } from "./reader.ts";
import type { ThriftWriter } from "./writer.ts";

const strictVersion = 0x8001;

/** By type: how many bytes a value has, the fewest for one of many sizes; 0 for what is no type. */
const valueBytesMin: readonly number[] = (() => {
  const bytes = new Array<number>(256).fill(0);
  bytes[types.bool] = 1;
  bytes[types.byte] = 1;
  bytes[types.double] = 8;
  bytes[types.i16] = 2;
  bytes[types.i32] = 4;
  bytes[types.i64] = 8;
  bytes[types.string] = 4;
  bytes[types.struct] = 1;
  bytes[types.map] = 6;
  bytes[types.set] = 5;
  bytes[types.list] = 5;
  bytes[types.uuid] = 16;
  return bytes;
})();

/** The fewest bytes of a value of this type; 0 when there is no such type. */
export function binaryBytesMin(type: number): number {
  return valueBytesMin[type] as number;
}

export class BinaryReader implements ThriftReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  fieldId = 0;
  fieldType = 0;
  count = 0;
  keyType = 0;
  elementType = 0;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  readHead(): MessageHead {
    const start = this.at;
    const first = this.readI32();
    if (first < 0) {
      if (first >>> 16 !== strictVersion) {
        const hint = first >>> 24 === 0x82 ? "; it looks like the compact protocol" : "";
        throw malformed(`not the binary protocol${hint}`, start);
      }
      const name = readText(this, "message name", nameBytesMax);
      return { name, type: first & 0xff, sequence: this.readI32() };
    }
    this.at = start;
    const name = readText(this, "message name", nameBytesMax);
    const type = this.#byte();
    return { name, type, sequence: this.readI32() };
  }

  enterStruct(): number {
    return 0;
  }

  leaveStruct(): void {}

  nextField(): boolean {
    const start = this.at;
    const type = this.#byte();
    if (type === 0) return false;
    if (valueBytesMin[type] === 0) throw malformed(`a field of type ${type}`, start);
    this.#need(2);
    this.fieldType = type;
    this.fieldId = this.bytes.readInt16BE(this.at);
    this.at += 2;
    return true;
  }

  readList(): void {
    const start = this.at;
    this.elementType = this.#byte();
    this.count = this.readI32();
    this.#assertFits(start, valueBytesMin[this.elementType] as number);
  }

  readMap(): void {
    const start = this.at;
    this.keyType = this.#byte();
    this.elementType = this.#byte();
    this.count = this.readI32();
    const keyBytes = valueBytesMin[this.keyType] as number;
    const valueBytes = valueBytesMin[this.elementType] as number;
    this.#assertFits(start, keyBytes === 0 || valueBytes === 0 ? 0 : keyBytes + valueBytes);
  }

  readLength(): number {
    const { bytes, at } = this;
    const left = this.end - at - 4;
    if (left < 0) throw malformed("a length is cut off", at);
    const length =
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number);
    if (length < 0 || length > left) {
      throw malformed(`a length of ${length} with ${left} bytes left`, at);
    }
    this.at = at + 4;
    return length;
  }

  readI32(): number {
    this.#need(4);
    const value = this.bytes.readInt32BE(this.at);
    this.at += 4;
    return value;
  }

  readI64(): bigint {
    this.#need(8);
    const value = this.bytes.readBigInt64BE(this.at);
    this.at += 8;
    return value;
  }

  skipScalar(type: number): void {
    const count = valueBytesMin[type] ?? 0;
    if (count === 0) throw malformed(`type ${type}`, this.at);
    this.#need(count);
    this.at += count;
  }

  /** An empty container may name any type: some peers write 0. */
  #assertFits(start: number, bytesEach: number): void {
    const { count } = this;
    const fits = count > 0 ? bytesEach > 0 && count * bytesEach <= this.end - this.at : count === 0;
    if (!fits) throw malformed(`${count} elements that cannot be there`, start);
  }

  #byte(): number {
    this.#need(1);
    return this.bytes[this.at++] as number;
  }

  #need(count: number): void {
    if (count > this.end - this.at) throw malformed("the message is cut off", this.at);
  }
}

function writeInt32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

function writeText(bytes: Buffer, at: number, text: string): number {
  return writeInt32(bytes, at, Buffer.byteLength(text)) + bytes.write(text, at + 4);
}

function writeField(bytes: Buffer, at: number, type: number, id: number): number {
  bytes[at++] = type;
  bytes[at++] = id >>> 8;
  bytes[at++] = id;
  return at;
}

export const binaryWriter: ThriftWriter = {
  // Two fields' heads, the map's types and count, the body's length and the stop, less Avro's two.
  eventBytesMore: 15,
  headerBytesMore: 6,

  writeHead(bytes: Buffer, at: number, { name, type, sequence }: MessageHead): number {
    at = writeInt32(bytes, at, (strictVersion << 16) | type);
    return writeInt32(bytes, writeText(bytes, at, name), sequence);
  },

  writeArgument(bytes: Buffer, at: number, count: number | undefined): number {
    if (count === undefined) return writeField(bytes, at, types.struct, 1);
    at = writeField(bytes, at, types.list, 1);
    bytes[at++] = types.struct;
    return writeInt32(bytes, at, count);
  },

  writeHeaders(bytes: Buffer, at: number, count: number): number {
    at = writeField(bytes, at, types.map, 1);
    bytes[at++] = types.string;
    bytes[at++] = types.string;
    return writeInt32(bytes, at, count);
  },

  writeLength: writeInt32,

  writeBody(bytes: Buffer, at: number, length: number): number {
    return writeInt32(bytes, writeField(bytes, at, types.string, 2), length);
  },

  writeStop(bytes: Buffer, at: number): number {
    bytes[at++] = 0;
    return at;
  },

  writeStatus(bytes: Buffer, at: number, status: number): number {
    at = writeInt32(bytes, writeField(bytes, at, types.i32, 0), status);
    return this.writeStop(bytes, at);
  },

  writeException(bytes: Buffer, at: number, text: string, type: number): number {
    at = writeText(bytes, writeField(bytes, at, types.string, 1), text);
    at = writeInt32(bytes, writeField(bytes, at, types.i32, 2), type);
    return this.writeStop(bytes, at);
  },
};

/** A message's head in the old form, which has no version. */
export function writeOldHead(bytes: Buffer, at: number, head: MessageHead): number {
  at = writeText(bytes, at, head.name);
  bytes[at++] = head.type;
  return writeInt32(bytes, at, head.sequence);
}
