import {
  type DeserializedEvent,
  type DeserializerInput,
  type EventDeserializer,
  MillraceError,
} from "@millrace/core";
import { encodeBody, findInputCharset, hasByteOrderMark, type InputCharset } from "./charsets.ts";
import type { LineOptions } from "./options.ts";

const chunkBytes = 256 * 1024;
/** No charset spends more bytes on a UTF-16 code unit. */
const bytesPerUnitMax = 4;
/** A longer line is split whatever maxLineLength says. */
const bytesPerLineMax = 512 * 1024 * 1024;
const noHeaders: ReadonlyMap<string, string> = new Map();

/** Bytes `[from, to)` of the window are a line or a piece of one; the next begins at `next`. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly next: number;
}

/**
 * One event a line. Lines before one that cannot be decoded are returned first; the read after
 * that throws UNDECODABLE, and so does every later one. `onSplit` is called for each piece cut off
 * a line that is too long.
 */
export function createLineDeserializer(
  input: DeserializerInput,
  options: LineOptions,
  onSplit: () => void,
): EventDeserializer {
  return new LineDeserializer(input, options, onSplit);
}

class LineDeserializer implements EventDeserializer {
  readonly #input: DeserializerInput;
  readonly #options: LineOptions;
  readonly #onSplit: () => void;
  readonly #bytesPerLineMax: number;
  #charset: InputCharset | undefined;
  /** Bytes of the file from `#windowStart` on; those before `#at` are done. */
  #window: Buffer = Buffer.alloc(0);
  #windowStart: number;
  #at = 0;
  /** The window is valid in the charset up to here; behind it each line is checked by itself. */
  #validTo = 0;
  #ended = false;

  constructor(input: DeserializerInput, options: LineOptions, onSplit: () => void) {
    this.#input = input;
    this.#options = options;
    this.#onSplit = onSplit;
    this.#windowStart = input.startOffset;
    this.#bytesPerLineMax = Math.min(
      (options.maxLineLength + 1) * bytesPerUnitMax,
      bytesPerLineMax,
    );
    // An unknown charset is refused before anything is read.
    findInputCharset(input.charset, Buffer.alloc(0));
  }

  async read(max: number): Promise<DeserializedEvent[]> {
    const charset = (this.#charset ??= await this.#openCharset());
    const events: DeserializedEvent[] = [];
    while (events.length < max) {
      const span = this.#nextSpan(charset);
      if (span === "end") break;
      if (span === "more") {
        try {
          await this.#fill(charset);
        } catch (error) {
          // Lines already cut are not lost by a read that fails; the next call reads again.
          if (events.length > 0) break;
          throw error;
        }
        continue;
      }
      const body = this.#body(charset, span);
      if (body === undefined) {
        if (events.length > 0) break;
        throw this.#undecodable(charset, span);
      }
      this.#at = span.next;
      events.push({ headers: noHeaders, body, endOffset: this.#windowStart + span.next });
    }
    return events;
  }

  async #openCharset(): Promise<InputCharset> {
    const { charset: name, startOffset } = this.#input;
    const bytes = Buffer.alloc(2);
    const count = await this.#input.read(bytes, 0, 2, 0);
    const more = count === 1 ? await this.#input.read(bytes, 1, 1, 1) : 0;
    const firstBytes = bytes.subarray(0, count + more);
    if (startOffset === 0 && hasByteOrderMark(name, firstBytes)) this.#windowStart = 2;
    return findInputCharset(name, firstBytes);
  }

  #nextSpan(charset: InputCharset): Span | "more" | "end" {
    const from = this.#at;
    const newline = findLineFeed(this.#window, from, charset);
    const { unitBytes } = charset;
    const { maxLineLength } = this.#options;
    // A line of fewer bytes than the limit has fewer characters too: the usual case.
    if (newline >= 0 && newline - from < maxLineLength) {
      return { from, to: newline, next: newline + unitBytes };
    }
    const to = newline >= 0 ? newline : this.#window.length;
    const mayGoOn = newline < 0 && !this.#ended;
    if (mayGoOn && to - from < this.#bytesPerLineMax) return "more";
    if (newline < 0 && to === from) return "end";
    const { end, full } = charset.advance(this.#window, from, to, maxLineLength);
    if (full || mayGoOn) {
      this.#onSplit();
      return { from, to: end, next: end };
    }
    return { from, to, next: newline >= 0 ? newline + unitBytes : to };
  }

  /** Reads on. The new window is a new buffer: bodies already cut are views of the old one. */
  async #fill(charset: InputCharset): Promise<void> {
    const rest = this.#window.subarray(this.#at);
    const grown = Buffer.allocUnsafeSlow(Math.max(chunkBytes, rest.length * 2));
    rest.copy(grown);
    const start = this.#windowStart + this.#at;
    const read = await this.#input.read(
      grown,
      rest.length,
      grown.length - rest.length,
      start + rest.length,
    );
    this.#ended = read === 0;
    this.#window = grown.subarray(0, rest.length + read);
    this.#windowStart = start;
    this.#at = 0;
    const wholeLines = this.#window.lastIndexOf(10) + 1;
    const isValid = charset.isUtf8Subset && charset.isValid(this.#window.subarray(0, wholeLines));
    this.#validTo = isValid ? wholeLines : 0;
  }

  /** The event's body; undefined when the bytes cannot be decoded and the policy is FAIL. */
  #body(charset: InputCharset, span: Span): Buffer | undefined {
    const bytes = this.#window.subarray(span.from, span.to);
    const { outputCharset } = this.#options;
    const passesThrough = charset.isUtf8Subset && /^utf-?8$/i.test(outputCharset);
    if (passesThrough && (span.to <= this.#validTo || charset.isValid(bytes))) return bytes;
    const text = charset.decode(bytes, this.#input.decodeErrorPolicy);
    return text === undefined ? undefined : encodeBody(text, outputCharset);
  }

  #undecodable(charset: InputCharset, span: Span): MillraceError {
    const { path } = this.#input;
    const from = this.#windowStart + span.from;
    const to = this.#windowStart + span.to;
    return new MillraceError(
      "UNDECODABLE",
      `${path}: the line at bytes ${from} to ${to} is not valid ${charset.name}; ` +
        "correct inputCharset, or set decodeErrorPolicy to REPLACE or IGNORE",
      { context: { path, from, to, charset: charset.name } },
    );
  }
}

/** Where the next line feed begins, or -1. */
function findLineFeed(bytes: Buffer, from: number, charset: InputCharset): number {
  if (charset.unitBytes === 1) return bytes.indexOf(10, from);
  const low = charset.bigEndian ? 1 : 0;
  for (let at = from; ; at++) {
    at = bytes.indexOf(10, at);
    if (at < 0) return -1;
    const start = at - low;
    const isAligned = start >= from && (start - from) % 2 === 0;
    if (isAligned && bytes[charset.bigEndian ? start : start + 1] === 0) return start;
  }
}
