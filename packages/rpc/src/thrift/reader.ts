import { MillraceError } from "@millrace/core";
import { nestingMax, types } from "./protocol.ts";

export interface MessageHead {
  readonly name: string;
  /** One of `messageTypes`. */
  readonly type: number;
  /** What the reply must repeat. */
  readonly sequence: number;
}

/**
 * Reads one whole message in one of the protocols. Every number is compared with the bytes there
 * are before it is believed; whatever does not fit throws CALL_MALFORMED. What a read finds stands
 * in fields of the reader, so that reading makes no objects.
 */
export interface ThriftReader {
  readonly bytes: Buffer;
  /** The next byte to read. */
  at: number;
  readonly end: number;
  /** The field that `nextField` found. */
  readonly fieldId: number;
  readonly fieldType: number;
  /** What `readList` and `readMap` found; the key's type of a map only. */
  readonly count: number;
  readonly keyType: number;
  readonly elementType: number;

  readHead(): MessageHead;
  /** Begins a struct; what it returns is for `leaveStruct`, behind the last field. */
  enterStruct(): number;
  leaveStruct(outer: number): void;
  /** Moves to the next field's value; false behind the last. */
  nextField(): boolean;
  /** Reads the head of a list or a set. */
  readList(): void;
  readMap(): void;
  /** Reads the length of a string or of bytes; its content is there, from `at` on. */
  readLength(): number;
  readI32(): number;
  readI64(): bigint;
  /** Moves over a value that is no container, struct or string. */
  skipScalar(type: number): void;
}

export function malformed(what: string, at: number): MillraceError {
  return new MillraceError("CALL_MALFORMED", `${what} at byte ${at}`, { context: { what, at } });
}

/** The same error, with its position in the message for one in a slab, where it begins at `by`. */
export function shifted(thrown: unknown, by: number): unknown {
  if (!(thrown instanceof MillraceError)) return thrown;
  const { what, at } = thrown.context;
  return typeof what === "string" && typeof at === "number" ? malformed(what, at - by) : thrown;
}

/** Moves over a value of any type that is nested no deeper than `nestingMax`. */
export function skipValue(reader: ThriftReader, type: number, depth = 0): void {
  if (depth > nestingMax) throw malformed(`values nested over ${nestingMax} deep`, reader.at);
  switch (type) {
    case types.string: {
      const length = reader.readLength();
      reader.at += length;
      return;
    }
    case types.struct: {
      const outer = reader.enterStruct();
      while (reader.nextField()) skipValue(reader, reader.fieldType, depth + 1);
      reader.leaveStruct(outer);
      return;
    }
    case types.list:
    case types.set: {
      reader.readList();
      const { count, elementType } = reader;
      for (let i = 0; i < count; i++) skipValue(reader, elementType, depth + 1);
      return;
    }
    case types.map: {
      reader.readMap();
      const { count, keyType, elementType } = reader;
      for (let i = 0; i < count; i++) {
        skipValue(reader, keyType, depth + 1);
        skipValue(reader, elementType, depth + 1);
      }
      return;
    }
    default:
      reader.skipScalar(type);
  }
}

/** Reads a text; the reader is behind it then. */
export function readText(reader: ThriftReader, what: string, bytesMax: number): string {
  const start = reader.at;
  const length = reader.readLength();
  if (length > bytesMax) throw malformed(`a ${what} of ${length} bytes`, start);
  const content = reader.at;
  reader.at = content + length;
  return reader.bytes.toString("utf8", content, reader.at);
}

/** That the message ends where its struct does. */
export function assertAllRead(reader: ThriftReader): void {
  if (reader.at === reader.end) return;
  throw malformed(`${reader.end - reader.at} bytes behind the message's end`, reader.at);
}
