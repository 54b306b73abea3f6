import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeWireEvent, wireLong } from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import {
  decodeEvent,
  eachHeader,
  encodeHeaders,
  longBytes,
  readLong,
  skipEvent,
  stringBytes,
  writeLong,
  writeString,
} from "./avro-event.ts";
import { EventBatch } from "./event-batch.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const isMalformed = (error: unknown): boolean =>
  error instanceof MillraceError && error.code === "EVENT_MALFORMED";

// The parameters of appends that Flume 1.11's own client sent, captured from the wire.
const captured = {
  appendOne: hex("02 02 6b 02 76 00 0a 68656c6c6f"),
  appendBare: hex("00 0a 68656c6c6f"),
  appendBatch: hex("04 00 02 61 02 02 6b 02 76 00 02 62 00"),
};

void test("an event that Java's client sent reads as what it was given", () => {
  const event = decodeEvent(captured.appendOne, 0, captured.appendOne.length);
  assert.deepEqual([...event.headers], [["k", "v"]]);
  assert.equal(event.body.toString(), "hello");
  const bare = decodeEvent(captured.appendBare, 0, captured.appendBare.length);
  assert.deepEqual([...bare.headers], []);
  assert.equal(bare.body.toString(), "hello");
});

void test("a batch that Java's client sent reads as two events, and ours has the same bytes", () => {
  const batch = EventBatch.scanArray(captured.appendBatch, 0, captured.appendBatch.length);
  const headers = new Map([["k", "v"]]);
  assert.deepEqual(
    Array.from(batch, (event) => [[...event.headers], event.body.toString()]),
    [[[], "a"], [[["k", "v"]], "b"]], // prettier-ignore
  );
  const ours = EventBatch.fromEvents([
    { body: Buffer.from("a") },
    { headers, body: Buffer.from("b") },
  ]);
  assert.deepEqual(Buffer.concat(ours.gather()), captured.appendBatch.subarray(1, -1));
});

void test("a number reads back as it was written, at every length", () => {
  for (let bits = 0; bits <= 33; bits++) {
    for (const value of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]) {
      const bytes = Buffer.alloc(10, 0xee);
      const end = writeLong(bytes, 1, value);
      assert.deepEqual(bytes.subarray(1, end), wireLong(value));
      assert.equal(longBytes(value), end - 1, String(value));
      const cursor = { at: 1 };
      assert.equal(readLong(bytes, cursor, bytes.length), value);
      assert.equal(cursor.at, end);
      const negative = wireLong(-value);
      assert.equal(readLong(negative, { at: 0 }, negative.length), value === 0 ? 0 : -value);
    }
  }
});

for (const { name, bytes } of [
  { name: "no byte at all", bytes: hex("") },
  { name: "a number cut off behind its first byte", bytes: hex("80") },
  { name: "a number cut off behind its fourth byte", bytes: hex("ffffffff") },
  { name: "a number of 6 bytes", bytes: hex("ffffffffff01") },
  { name: "a number of 10 bytes, Avro's longest", bytes: wireLong(2n ** 63n - 1n) },
  { name: "a number that never ends", bytes: Buffer.alloc(100, 0xff) },
]) {
  void test(`${name} is EVENT_MALFORMED`, () => {
    assert.throws(() => readLong(bytes, { at: 0 }, bytes.length), isMalformed);
  });
}

void test("nothing behind the end is read, though the bytes go on", () => {
  const whole = captured.appendOne;
  for (let end = 0; end < whole.length; end++) {
    assert.throws(() => skipEvent(whole, { at: 0 }, end), isMalformed, `cut at ${end}`);
    assert.throws(() => decodeEvent(whole, 0, end), isMalformed, `cut at ${end}`);
  }
});

for (const { name, bytes } of [
  { name: "a header count the bytes cannot hold", bytes: [wireLong(2 ** 32), hex("0000")] },
  { name: "a negative header count as large", bytes: [wireLong(-(2 ** 32)), hex("02 00 00")] },
  { name: "a block size over the bytes", bytes: [wireLong(-1), wireLong(99), hex("0000 00 00")] },
  { name: "a block size that says too little", bytes: [hex("01 02 0000 00 00")] },
  { name: "a block size that says too much", bytes: [hex("01 06 0000 00 00")] },
  { name: "a negative block size", bytes: [wireLong(-1), wireLong(-1), hex("0000 00 00")] },
  { name: "a negative name length", bytes: [hex("02"), wireLong(-1), hex("00 00 00")] },
  { name: "a negative value length", bytes: [hex("02 00"), wireLong(-4), hex("00 00 00")] },
  { name: "a negative body length", bytes: [hex("00"), wireLong(-3), hex("00000000")] },
  { name: "a body length over the bytes", bytes: [hex("00"), wireLong(2 ** 33), hex("00")] },
]) {
  void test(`${name} is EVENT_MALFORMED`, () => {
    const event = Buffer.concat(bytes);
    assert.throws(() => skipEvent(event, { at: 0 }, event.length), isMalformed);
    assert.throws(() => decodeEvent(event, 0, event.length), isMalformed);
  });
}

void test("the message says what is wrong and at which byte", () => {
  const bytes = hex("00 00 00 08 6162");
  assert.throws(
    () => skipEvent(bytes, { at: 2 }, bytes.length),
    /body length 4 does not fit in 2 bytes at byte 3/,
  );
});

void test("several blocks, negative counts and names that come twice read as one map", () => {
  const bytes = encodeWireEvent({
    blocks: [
      { headers: [["a", "1"], ["b", "2"]], negative: true }, // prettier-ignore
      { headers: [["a", "3"]], negative: false },
      { headers: [["c", ""]], negative: true },
    ],
    body: Buffer.from("body"),
  });
  const { headers, body } = decodeEvent(bytes, 0, bytes.length);
  assert.deepEqual([...headers], [["a", "3"], ["b", "2"], ["c", ""]]); // prettier-ignore
  assert.equal(body.toString(), "body");
  const cursor = { at: 0 };
  skipEvent(bytes, cursor, bytes.length);
  assert.equal(cursor.at, bytes.length);
  const names: string[] = [];
  const at = { at: 0 };
  eachHeader(bytes, at, bytes.length, (entry, nameStart, nameEnd, valueStart, valueEnd) => {
    assert.ok(entry < nameStart && nameEnd < valueStart && valueStart <= valueEnd);
    names.push(bytes.toString("utf8", nameStart, nameEnd));
  });
  assert.deepEqual(names, ["a", "b", "a", "c"]);
  assert.equal(bytes.toString("utf8", at.at + 1), "body");
});

void test("encoded headers stand before any body", () => {
  const headers = new Map([["größe", "1 m²"], ["", ""]]); // prettier-ignore
  const head = encodeHeaders(headers);
  assert.equal(
    head.length,
    1 + stringBytes("größe") + stringBytes("1 m²") + 2 * stringBytes("") + 1,
  );
  const bytes = Buffer.concat([head, hex("02 78")]);
  assert.deepEqual([...decodeEvent(bytes, 0, bytes.length).headers], [...headers]);
  assert.deepEqual(encodeHeaders(new Map()), hex("00"));
});

void test("a string is its length in bytes and its UTF-8", () => {
  const bytes = Buffer.alloc(stringBytes("日本"));
  assert.equal(writeString(bytes, 0, "日本"), 7);
  assert.deepEqual(bytes, hex("0c e697a5 e69cac"));
});
