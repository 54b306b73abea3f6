import type { Event } from "@millrace/core";
import { type Deck, event } from "./harness/deck.ts";

/** What two programs could disagree on, one kind of event each. */
export function awkwardEvents(bodyBytesMax: number): Event[] {
  return [
    event(""),
    event("one header", { k: "v" }),
    event("", { empty: "", "": "empty name" }),
    event("ünïcödé 水車 🌊", { größe: "naïve", 水: "車輪", "🌊": "\u{1F30A}\u{10FFFF}" }),
    event("control \0\n\r\t\u007f", { "a\nb\t": "\0\u0001", "=": "x=y;z", " lead": " trail " }),
    {
      headers: new Map([
        ["__proto__", "polluted"],
        ["constructor", "c"],
        ["toString", "t"],
        ["hasOwnProperty", "h"],
      ]),
      body: Buffer.from("names that objects have"),
    },
    { headers: manyHeaders(5_000), body: Buffer.from("thousands of headers") },
    { headers: new Map([["long", "x".repeat(100_000)]]), body: Buffer.from("one long header") },
    event(Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 0xff))),
    event(Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0x80]), { not: "UTF-8" }),
    // Around the sizes at which Java's and our buffers end.
    ...[8_191, 8_192, 8_193, 65_535, 65_536, 1 << 20].map((bytes) => event(pattern(bytes))),
    event(pattern(bodyBytesMax), { size: String(bodyBytesMax) }),
  ];
}

/** Numbered small events, each with headers, in batches of those sizes. */
export function numberedDeck(batchSizes: readonly number[]): Deck {
  let number = 0;
  return batchSizes.map((size) =>
    Array.from({ length: size }, () => {
      number++;
      return event(`event ${number} ${"x".repeat(number % 200)}`, {
        number: String(number),
        host: `host-${number % 7}`,
      });
    }),
  );
}

function manyHeaders(count: number): Map<string, string> {
  return new Map(Array.from({ length: count }, (_, i) => [`header-${i}`, `value ${i}`]));
}

/** Bytes that neither repeat nor compress to nothing. */
function pattern(bytes: number): Buffer {
  const body = Buffer.allocUnsafe(bytes);
  let state = bytes + 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    body[i] = state >>> 24;
  }
  return body;
}
