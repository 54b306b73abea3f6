/**
 * Finds where a message of Thrift's strict binary protocol ends that has no frame around it. It
 * goes on where it stopped when more bytes have come, so that work is linear however they come.
 */
import { MillraceError } from "@millrace/core";
import { binaryBytesMin } from "../thrift/binary.ts";
import { nameBytesMax, nestingMax, types } from "../thrift/protocol.ts";

/** Something whose end is not found yet. */
type Open =
  | { readonly kind: "head" | "struct" | "string" | "list" | "map" }
  | { readonly kind: "elements"; readonly first: number; readonly second: number; left: number };

const head: Open = { kind: "head" };
const struct: Open = { kind: "struct" };
const strictCall = 0x8001;

export class MessageEnd {
  readonly #bytesMax: number;
  readonly #open: Open[] = [struct, head];
  /** Bytes from the message's start on that are read past, which may be more than there are. */
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * The message's length when all of it is in `bytes[start, end)`, which begins where it began the
   * calls before; undefined when more must come. Throws FRAME_MALFORMED or FRAME_TOO_LARGE.
   */
  find(bytes: Buffer, start: number, end: number): number | undefined {
    const there = end - start;
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (this.#at > this.#bytesMax) throw this.#tooLarge();
      if (this.#at > there || !this.#step(top, bytes, start + this.#at, there - this.#at)) {
        return undefined;
      }
    }
    if (this.#at > this.#bytesMax) throw this.#tooLarge();
    return this.#at <= there ? this.#at : undefined;
  }

  /** Reads past the next number of what is open; false when its bytes are not there. */
  #step(top: Open, bytes: Buffer, at: number, there: number): boolean {
    switch (top.kind) {
      case "head":
        return this.#readHead(bytes, at, there);
      case "struct":
        return this.#readField(bytes, at, there);
      case "string": {
        if (there < 4) return false;
        this.#open.pop();
        this.#at += 4 + this.#count(bytes.readInt32BE(at), 1);
        return true;
      }
      case "list": {
        if (there < 5) return false;
        this.#open.pop();
        const type = bytes[at] as number;
        this.#at += 5;
        this.#openElements(bytes.readInt32BE(at + 1), type, type, 1);
        return true;
      }
      case "map": {
        if (there < 6) return false;
        this.#open.pop();
        this.#at += 6;
        const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
        this.#openElements(bytes.readInt32BE(at + 2), first, second, 2);
        return true;
      }
      case "elements": {
        if (top.left === 0) {
          this.#open.pop();
          return true;
        }
        const type = top.left % 2 === 0 ? top.first : top.second;
        top.left--;
        this.#openValue(type);
        return true;
      }
    }
  }

  #readHead(bytes: Buffer, at: number, there: number): boolean {
    if (there < 4) return false;
    if (bytes.readUInt16BE(at) !== strictCall) throw this.#malformed(guess(bytes.readInt32BE(at)));
    if (there < 8) return false;
    const nameBytes = bytes.readInt32BE(at + 4);
    if (nameBytes < 0 || nameBytes > nameBytesMax) {
      throw this.#malformed(`a message name of ${nameBytes} bytes`);
    }
    this.#open.pop();
    this.#at += 8 + nameBytes + 4;
    return true;
  }

  #readField(bytes: Buffer, at: number, there: number): boolean {
    if (there < 1) return false;
    const type = bytes[at] as number;
    if (type === types.stop) {
      this.#open.pop();
      this.#at++;
      return true;
    }
    if (there < 3) return false;
    this.#at += 3;
    this.#openValue(type);
    return true;
  }

  #openValue(type: number): void {
    const bytes = binaryBytesMin(type);
    if (bytes === 0) throw this.#malformed(`a value of type ${type}`);
    if (this.#open.length > nestingMax) {
      throw this.#malformed(`values nested over ${nestingMax} deep`);
    }
    switch (type) {
      case types.string:
        this.#open.push({ kind: "string" });
        return;
      case types.struct:
        this.#open.push(struct);
        return;
      case types.list:
      case types.set:
        this.#open.push({ kind: "list" });
        return;
      case types.map:
        this.#open.push({ kind: "map" });
        return;
      default:
        this.#at += bytes;
    }
  }

  /** `left` counts values: of a map's pairs the first when even, the second when odd. */
  #openElements(count: number, first: number, second: number, each: number): void {
    const bytes = binaryBytesMin(first) + (each === 2 ? binaryBytesMin(second) : 0);
    const left = this.#count(count, Math.max(1, bytes)) * each;
    this.#open.push({ kind: "elements", first, second, left });
  }

  /** A count of what has `bytes` each, which the largest message could hold. */
  #count(count: number, bytes: number): number {
    if (count < 0) throw this.#malformed(`a length of ${count}`);
    if (count * bytes > this.#bytesMax - this.#at) throw this.#tooLarge();
    return count;
  }

  #tooLarge(): MillraceError {
    const message = `a message that goes on behind byte ${this.#at}; maxFrameBytes is ${this.#bytesMax}`;
    return new MillraceError("FRAME_TOO_LARGE", message);
  }

  #malformed(what: string): MillraceError {
    return new MillraceError("FRAME_MALFORMED", `${what} at byte ${this.#at} of a message`);
  }
}

/** What a message's first bytes look like instead. */
function guess(opening: number): string {
  if (opening > 0) return "not the strict binary protocol; frames are not for this source";
  if (opening >>> 24 === 0x82) return "the compact protocol";
  return "not the strict binary protocol";
}
