import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeMessage, MessageDecoder } from "./frame.ts";

const framed = (...messages: readonly Buffer[]): Buffer =>
  Buffer.concat(messages.map((message) => encodeMessage(message)));

function decodeAll(decoder: MessageDecoder): Buffer[] {
  const messages: Buffer[] = [];
  for (let m = decoder.next(); m !== undefined; m = decoder.next()) messages.push(m);
  return messages;
}

test("a message is a zero, its length, and itself", () => {
  assert.deepEqual(encodeMessage(Buffer.from("hi")), Buffer.from("00000000026869", "hex"));
});

test("messages come out as they went in, however their bytes are cut", () => {
  const random = createSeededRandom(7);
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({ length: 1 + random.integer(6) }, () =>
      random.bytes(random.integer(4) === 0 ? random.integer(300_000) : random.integer(40)),
    );
    const bytes = framed(...sent);
    const decoder = new MessageDecoder(1 << 20);
    const got: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.integer(random.integer(3) === 0 ? 100_000 : 10);
      decoder.push(bytes.subarray(at, at + size));
      at += size;
      if (random.integer(3) > 0) got.push(...decodeAll(decoder));
    }
    got.push(...decodeAll(decoder));
    assert.deepEqual(got, sent);
    assert.equal(decoder.partial, false);
  }
});

test("a decoder knows whether part of a message has arrived", () => {
  const decoder = new MessageDecoder(100);
  assert.equal(decoder.partial, false);
  const bytes = framed(Buffer.from("hello"));
  for (let at = 0; at < bytes.length - 1; at++) {
    decoder.push(bytes.subarray(at, at + 1));
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.partial, true);
  }
  decoder.push(bytes.subarray(-1));
  assert.deepEqual(decoder.next(), Buffer.from("hello"));
  assert.equal(decoder.partial, false);
});

test("a message over the limit is FRAME_TOO_LARGE before a byte of it is kept", () => {
  const decoder = new MessageDecoder(1000);
  decoder.push(framed(Buffer.alloc(1000)));
  assert.equal(decoder.next()?.length, 1000);
  decoder.push(Buffer.from("00000003e9", "hex"));
  assert.throws(() => decoder.next(), { code: "FRAME_TOO_LARGE", message: /1001 .* 1000/ });
});

test("a compressed message is FRAME_MALFORMED", () => {
  const decoder = new MessageDecoder(1000);
  decoder.push(Buffer.from("010000000100", "hex"));
  assert.throws(() => decoder.next(), { code: "FRAME_MALFORMED", message: /uncompressed/ });
});

test("a length alone reserves little: the slab grows with the bytes that come", () => {
  const before = process.memoryUsage().arrayBuffers;
  const decoders = Array.from({ length: 100 }, () => new MessageDecoder(32 << 20));
  for (const decoder of decoders) {
    decoder.push(Buffer.from("0002000000", "hex"));
    assert.equal(decoder.next(), undefined);
  }
  const bytes = process.memoryUsage().arrayBuffers - before;
  assert.ok(bytes < 20 << 20, `${bytes} bytes for 100 announced messages of 32 MiB`);
});

test("single bytes are not kept one by one", () => {
  const decoder = new MessageDecoder(1 << 20);
  const message = Buffer.alloc(200_000, 7);
  const bytes = framed(message);
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < bytes.length - 1; at++) {
    decoder.push(bytes.subarray(at, at + 1));
    assert.equal(decoder.next(), undefined);
  }
  // Kept, they would be over 20 MB of views.
  globalThis.gc?.();
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 100 << 20, `${grown} bytes of heap`);
  decoder.push(bytes.subarray(-1));
  assert.deepEqual(decoder.next(), message);
});
