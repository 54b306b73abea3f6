import { MillraceError } from "@millrace/core";
import { isAscii, isUtf8 } from "node:buffer";
import type { OutputCharset } from "./options.ts";

export type DecodeErrorPolicy = "FAIL" | "REPLACE" | "IGNORE";

/** How the bytes of a file become text. */
export interface InputCharset {
  readonly name: string;
  /** Bytes of the smallest character: 2 in UTF-16, else 1. A line feed is one such character. */
  readonly unitBytes: 1 | 2;
  readonly bigEndian: boolean;
  /** Whether valid bytes are UTF-8 as they are. */
  readonly isUtf8Subset: boolean;
  isValid(bytes: Buffer): boolean;
  /** The text; undefined when the bytes are not valid and the policy is FAIL. */
  decode(bytes: Buffer, policy: DecodeErrorPolicy): string | undefined;
  /**
   * Where the first `limit` UTF-16 code units of `bytes[from, to)` end, on a character boundary, at
   * least one character on; `to` and fewer units when there are not that many.
   */
  advance(bytes: Buffer, from: number, to: number, limit: number): Advanced;
}
export interface Advanced {
  readonly end: number;
  readonly full: boolean;
}

const asciiNames = /^(us-?ascii|ascii|ascii7|iso646-us|ansi_x3\.4-19(68|86)|cp367)$/i;
const latin1Names = /^(iso[-_]?8859[-_]1|latin-?1|l1|cp819|ibm819)$/i;
const multiByte = /^(gbk|gb18030|big5|euc-jp|iso-2022-jp|shift_jis|euc-kr)$/;
const replacement = "\ufffd";

/**
 * The charset of that name. `firstBytes` are the first two of the file: "UTF-16" without an
 * endianness is told by its byte order mark, and is big endian without one, as in Java.
 */
export function findInputCharset(name: string, firstBytes: Buffer): InputCharset {
  if (asciiNames.test(name)) return usAscii;
  if (latin1Names.test(name)) return latin1;
  if (/^utf-?16$/i.test(name)) {
    const little = firstBytes[0] === 0xff && firstBytes[1] === 0xfe;
    return utf16(little ? "utf-16le" : "utf-16be");
  }
  const { encoding } = makeDecoder(name, false);
  if (encoding === "windows-1252") return windows1252;
  if (encoding === "utf-8") return utf8;
  if (encoding === "utf-16le" || encoding === "utf-16be") return utf16(encoding);
  return otherCharset(encoding);
}

/** Whether the file's name for its charset leaves the endianness to a byte order mark. */
export function hasByteOrderMark(name: string, firstBytes: Buffer): boolean {
  if (!/^utf-?16$/i.test(name) || firstBytes.length < 2) return false;
  const mark = firstBytes.readUInt16BE(0);
  return mark === 0xfeff || mark === 0xfffe;
}

function makeDecoder(name: string, fatal: boolean): InstanceType<typeof TextDecoder> {
  try {
    return new TextDecoder(name, { fatal, ignoreBOM: true });
  } catch (cause) {
    throw new MillraceError("CONFIG_INVALID", `inputCharset "${name}" is not known`, { cause });
  }
}

const utf8Replacing = new TextDecoder("utf-8", { ignoreBOM: true });

const utf8: InputCharset = {
  name: "UTF-8",
  unitBytes: 1,
  bigEndian: false,
  isUtf8Subset: true,
  isValid: isUtf8,
  decode(bytes, policy) {
    if (isUtf8(bytes)) return bytes.toString("utf8");
    if (policy === "FAIL") return undefined;
    if (policy === "REPLACE") return utf8Replacing.decode(bytes);
    // A U+FFFD in the text itself is kept: its first byte always begins a new sequence.
    const parts: string[] = [];
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(replacementBytes, from);
      const part = bytes.subarray(from, at < 0 ? bytes.length : at);
      parts.push(utf8Replacing.decode(part).replaceAll(replacement, ""));
      if (at < 0) return parts.join(replacement);
      from = at + replacementBytes.length;
    }
  },
  advance(bytes, from, to, limit) {
    let units = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at] as number;
      if ((byte & 0xc0) === 0x80) continue;
      const width = byte >= 0xf0 ? 2 : 1;
      if (units >= limit || (units + width > limit && units > 0)) return { end: at, full: true };
      units += width;
    }
    return { end: to, full: units >= limit };
  },
};
const replacementBytes = Buffer.from(replacement);

/** Every byte is a character. */
function advanceBytes(_bytes: Buffer, from: number, to: number, limit: number): Advanced {
  return to - from < limit ? { end: to, full: false } : { end: from + limit, full: true };
}

const usAscii: InputCharset = {
  name: "US-ASCII",
  unitBytes: 1,
  bigEndian: false,
  isUtf8Subset: true,
  isValid: isAscii,
  decode(bytes, policy) {
    const text = bytes.toString("latin1");
    if (isAscii(bytes)) return text;
    if (policy === "FAIL") return undefined;
    return text.replace(/[\x80-\xff]/g, policy === "REPLACE" ? replacement : "");
  },
  advance: advanceBytes,
};

const latin1: InputCharset = {
  name: "ISO-8859-1",
  unitBytes: 1,
  bigEndian: false,
  isUtf8Subset: false,
  isValid: () => true,
  decode: (bytes) => bytes.toString("latin1"),
  advance: advanceBytes,
};

/** 80 to 9F; the rest is ISO-8859-1. Node 20 decodes this charset as if all of it were. */
const windows1252High = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

const windows1252: InputCharset = {
  ...latin1,
  name: "windows-1252",
  decode: (bytes) =>
    bytes
      .toString("latin1")
      .replace(/[\x80-\x9f]/g, (char) => windows1252High.charAt(char.charCodeAt(0) - 0x80)),
};

function utf16(name: "utf-16le" | "utf-16be"): InputCharset {
  const bigEndian = name === "utf-16be";
  return {
    ...otherCharset(name),
    unitBytes: 2,
    bigEndian,
    advance(bytes, from, to, limit) {
      if ((to - from) / 2 < limit) return { end: to, full: false };
      let end = from + limit * 2;
      const last = bigEndian ? bytes.readUInt16BE(end - 2) : bytes.readUInt16LE(end - 2);
      const isHighSurrogate = (last & 0xfc00) === 0xd800;
      if (isHighSurrogate) end = limit > 1 ? end - 2 : Math.min(end + 2, to);
      return { end, full: true };
    },
  };
}

function otherCharset(encoding: string): InputCharset {
  const failing = makeDecoder(encoding, true);
  const replacing = makeDecoder(encoding, false);
  const decode = (bytes: Buffer, policy: DecodeErrorPolicy): string | undefined => {
    try {
      return failing.decode(bytes);
    } catch {
      if (policy === "FAIL") return undefined;
      const text = replacing.decode(bytes);
      return policy === "REPLACE" ? text : text.replaceAll(replacement, "");
    }
  };
  return {
    name: encoding,
    unitBytes: 1,
    bigEndian: false,
    isUtf8Subset: false,
    isValid: (bytes) => decode(bytes, "FAIL") !== undefined,
    decode,
    advance: multiByte.test(encoding) ? advanceDecoding : advanceBytes,
  };

  /** Only lines that may be too long come here: each byte is decoded on its own, and counted. */
  function advanceDecoding(bytes: Buffer, from: number, to: number, limit: number): Advanced {
    const decoder = makeDecoder(encoding, false);
    let units = 0;
    for (let at = from; at < to; at++) {
      units += decoder.decode(bytes.subarray(at, at + 1), { stream: true }).length;
      if (units >= limit) return { end: at + 1, full: true };
    }
    return { end: to, full: false };
  }
}

/** The bytes of a body; what the charset cannot write becomes "?". */
export function encodeBody(text: string, charset: OutputCharset): Buffer {
  switch (charset) {
    case "UTF-8":
    case "UTF8":
      return Buffer.from(text, "utf8");
    case "US-ASCII":
    case "ASCII":
      return Buffer.from(text.replace(/[^\0-\x7f]/gu, "?"), "latin1");
    case "ISO-8859-1":
    case "latin1":
      return Buffer.from(text.replace(/[^\0-\xff]/gu, "?"), "latin1");
    case "UTF-16LE":
      return Buffer.from(text, "utf16le");
    case "UTF-16BE":
      return Buffer.from(text, "utf16le").swap16();
    case "UTF-16":
      // Java's encoder opens every body that is not empty with a byte order mark.
      return text === "" ? Buffer.alloc(0) : Buffer.from(`\ufeff${text}`, "utf16le").swap16();
  }
}
