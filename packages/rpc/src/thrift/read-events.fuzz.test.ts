/** Hostile bytes into the Thrift scanner, in both protocols; SEEDS=100000 for a long run. */
import { EventBatch, MillraceError, type Random } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeReply, encodeException, encodeStatus } from "./call.ts";
import { encodeCall } from "./encode-call.ts";
import { FrameDecoder } from "./frame.ts";
import type { ThriftProtocol } from "./protocol.ts";
import { readMessage } from "./test-library.test.ts";

const rounds = Number(process.env["SEEDS"] ?? 1500);
const protocols: readonly ThriftProtocol[] = ["compact", "binary"];

/** Reads a request; says whether it was one. What is stored is well formed, and no larger than came. */
function readHostile(protocol: ThriftProtocol, message: Buffer): boolean {
  const request = readMessage(protocol, message);
  if (request.kind !== "call") {
    // A cause would be a mistake of ours that was wrapped.
    assert.equal(request.error?.code, "CALL_MALFORMED", request.error?.stack);
    assert.equal(request.error.cause, undefined);
    return false;
  }
  const { batch } = request;
  const bytes = Buffer.concat(batch.gather());
  assert.ok(bytes.length <= message.length + (message.length >>> 6));
  assert.ok(batch.heldBytes <= (message.length * 65) / 64);
  const again = EventBatch.scan(bytes, 0, bytes.length, batch.length);
  for (const [index, { headers, body }] of [...again].entries()) {
    assert.deepEqual([...headers], [...batch.at(index).headers]);
    assert.ok(body.length <= message.length);
    // A name that stood twice would be more bytes than its event decoded and encoded again.
    const text = [...headers].flat().every((part) => !part.includes("\ufffd"));
    const encoded = EventBatch.fromEvents([{ headers, body }]);
    if (text) assert.equal(encoded.byteLength, again.bytesAt(index).length);
  }
  return true;
}

function validCall(random: Random, protocol: ThriftProtocol): Buffer {
  const text = (): string => random.bytes(random.integer(12)).toString("latin1");
  const some = <T>(max: number, make: () => T): T[] =>
    Array.from({ length: random.integer(max + 1) }, make);
  const event = () => ({
    headers: new Map(some(4, (): [string, string] => [text(), text()])),
    body: random.bytes(random.integer(3) === 0 ? random.integer(300) : random.integer(5)),
  });
  const isOne = random.integer(4) === 0;
  const batch = EventBatch.fromEvents(isOne ? [event()] : some(20, event));
  const name = isOne ? "append" : "appendBatch";
  return encodeCall(protocol, random.integer(1 << 30), name, batch).subarray(4);
}

/** Numbers that break naive readers, in either protocol. */
const evil = [
  "00000000",
  "7fffffff",
  "80000000",
  "ffffffff",
  "0fffffff",
  "ffffffff07",
  "ffffffff0f",
  "ffffffffffffffffff01",
  "8080808000",
  "fc",
  "fcffffffff07",
  "00",
].map((hex) => Buffer.from(hex, "hex"));

function damage(random: Random, bytes: Buffer): Buffer {
  const at = random.integer(bytes.length + 1);
  switch (random.integer(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] as number) ^ (1 << random.integer(8));
      return flipped;
    }
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(4))]);
    case 3: {
      const from = random.integer(bytes.length + 1);
      const piece = bytes.subarray(from, from + random.integer(40));
      return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    }
    default: {
      const number = evil[random.integer(evil.length)] as Buffer;
      const skipped = random.integer(6);
      return Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at + skipped)]);
    }
  }
}

for (const protocol of protocols) {
  test(`${protocol}: damaged calls are a valid batch or CALL_MALFORMED`, () => {
    const random = createSeededRandom(1);
    let calls = 0;
    for (let round = 0; round < rounds; round++) {
      let bytes = validCall(random, protocol);
      if (round % 20 === 0) assert.ok(readHostile(protocol, bytes));
      for (let i = random.integer(3); i >= 0; i--) bytes = damage(random, bytes);
      if (readHostile(protocol, bytes)) calls++;
    }
    assert.ok(calls > rounds / 100 && calls < rounds, `${calls} of ${rounds} were calls`);
  });

  test(`${protocol}: a call cut at any of its bytes is CALL_MALFORMED`, () => {
    const random = createSeededRandom(2);
    let cuts = 0;
    for (let i = 0; i < 20; i++) {
      const bytes = validCall(random, protocol);
      for (let at = 0; at < bytes.length; at++, cuts++) {
        assert.equal(readHostile(protocol, bytes.subarray(0, at)), false);
      }
    }
    assert.ok(cuts > 1000, `${cuts} cuts`);
  });

  test(`${protocol}: random bytes behind a head are a valid batch or CALL_MALFORMED`, () => {
    const random = createSeededRandom(3);
    const head = encodeCall(protocol, 1, "appendBatch", EventBatch.empty);
    const headBytes = protocol === "compact" ? 14 : 23;
    let calls = 0;
    for (let round = 0; round < rounds; round++) {
      const bytes = random.bytes(random.integer(40));
      // Small numbers are what makes random bytes plausible.
      if (round % 2 === 0)
        for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) % 13;
      const whole =
        round % 5 === 0 ? bytes : Buffer.concat([head.subarray(4, 4 + headBytes), bytes]);
      if (readHostile(protocol, whole)) calls++;
    }
    assert.ok(calls < rounds / 2, `${calls} of ${rounds} were calls`);
  });

  test(`${protocol}: damaged replies are a reply or CALL_MALFORMED`, () => {
    const random = createSeededRandom(4);
    const head = { name: "appendBatch", type: 1, sequence: 5 };
    let replies = 0;
    for (let round = 0; round < rounds; round++) {
      const frame =
        round % 2 === 0
          ? encodeStatus(protocol, head, "FAILED")
          : encodeException(protocol, head, 6, "Internal error processing appendBatch");
      let bytes: Buffer = frame.subarray(4);
      for (let i = random.integer(2); i >= 0; i--) bytes = damage(random, bytes);
      try {
        decodeReply(protocol, bytes);
        replies++;
      } catch (error) {
        assert.ok(error instanceof MillraceError && error.code === "CALL_MALFORMED", String(error));
      }
    }
    assert.ok(replies > 0 && replies < rounds, `${replies} of ${rounds} were replies`);
  });
}

test("a count is never believed: what is allocated follows the bytes", () => {
  const filler = Buffer.alloc(1000);
  const compact = Buffer.from("82210106617070656e641c", "hex");
  const binary = Buffer.from("8001000100000006617070656e64000000010c0001", "hex");
  for (const [protocol, head, number] of [
    ["compact", compact, "1bffffffff0f88"],
    ["compact", Buffer.from("8221010b617070656e644261746368", "hex"), "19fcffffffff07"],
    ["binary", binary, "0d00010b0b7fffffff"],
    ["binary", binary, "0f00090c7fffffff"],
  ] as const) {
    const message = Buffer.concat([head, Buffer.from(number, "hex"), filler]);
    const before = process.memoryUsage().arrayBuffers;
    assert.equal(readHostile(protocol, message), false);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  }
});

test("frames in chunks of any size are the same frames, whole and in order", () => {
  const random = createSeededRandom(5);
  let frames = 0;
  for (let round = 0; round < 100; round++) {
    const sent = Array.from({ length: 1 + random.integer(20) }, () =>
      random.bytes(1 + random.integer(random.integer(10) === 0 ? 200_000 : 300)),
    );
    const stream = Buffer.concat(
      sent.flatMap((message) => {
        const length = Buffer.alloc(4);
        length.writeInt32BE(message.length);
        return [length, message];
      }),
    );
    const decoder = new FrameDecoder(200_000);
    const received: Buffer[] = [];
    for (let at = 0; at < stream.length;) {
      const size = 1 + random.integer(random.integer(3) === 0 ? 7 : 70_000);
      decoder.push(stream.subarray(at, at + size));
      at += size;
      // The decoder is not asked after every chunk.
      if (random.integer(4) === 0 && at < stream.length) continue;
      for (let m = decoder.next(); m !== undefined; m = decoder.next())
        received.push(m.bytes.subarray(m.start));
    }
    assert.equal(received.length, sent.length);
    for (const [i, message] of sent.entries()) assert.ok(message.equals(received[i] as Buffer));
    assert.equal(decoder.partial, false);
    frames += received.length;
  }
  assert.ok(frames > 500, `${frames} frames`);
});

test("a broken frame fails every time the decoder is asked, and holds nothing", () => {
  const decoder = new FrameDecoder(1000);
  decoder.push(Buffer.from("0000000161" + "fffffff0" + "00".repeat(100), "hex"));
  assert.equal(decoder.next()?.bytes.toString(), "a");
  for (let i = 0; i < 3; i++) assert.throws(() => decoder.next(), { code: "FRAME_MALFORMED" });
});

test("a length alone reserves nothing: the buffer grows as bytes arrive", () => {
  const before = process.memoryUsage().arrayBuffers;
  const decoders = Array.from({ length: 200 }, () => {
    const decoder = new FrameDecoder(0x7fff_ffff);
    decoder.push(Buffer.from("7ffffff000", "hex"));
    assert.equal(decoder.next(), undefined);
    return decoder;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 200 * 100_000, `${grown} bytes for ${decoders.length} bytes`);
});
