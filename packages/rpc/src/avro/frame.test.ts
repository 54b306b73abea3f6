import { MillraceError } from "@millrace/core";
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeMessage, FrameDecoder, type Message } from "./frame.ts";

const limit = 1024 * 1024;

function int32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => bytes.writeInt32BE(value, i * 4));
  return bytes;
}

function decodeAll(decoder: FrameDecoder, chunks: readonly Buffer[]): Message[] {
  const messages: Message[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      messages.push(message);
    }
  }
  return messages;
}

/** The bytes in chunks cut at the given places, taken round and round. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

const messagesOfBuffers = fc.array(
  fc.record({
    serial: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    buffers: fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.integer({ min: 0, max: 9000 }).map((size) => new Uint8Array(size).fill(size & 0xff)),
      ),
      { minLength: 1, maxLength: 12 },
    ),
  }),
  { minLength: 1, maxLength: 6 },
);

test("messages come out whole however buffers and chunks are cut, empty ones too", () => {
  const runs = Number(process.env["SEEDS"] ?? 300);
  let seen = 0;
  fc.assert(
    fc.property(
      messagesOfBuffers,
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 8 }),
      (messages, sizes) => {
        const bytes = Buffer.concat(
          messages.map(({ serial, buffers }) => encodeMessage(serial, buffers)),
        );
        const decoder = new FrameDecoder(limit);
        const decoded = decodeAll(decoder, cut(bytes, sizes));
        assert.deepEqual(
          decoded,
          messages.map(({ serial, buffers }) => ({ serial, bytes: Buffer.concat(buffers) })),
        );
        assert.equal(decoder.partial, false);
        seen += decoded.length;
      },
    ),
    { numRuns: runs },
  );
  assert.ok(seen >= runs);
});

test("random bytes in random cuts give messages or one lasting error, never a hang", () => {
  let failed = 0;
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(0, 0, 0, 0, 1, 255), fc.nat(255)), { maxLength: 400 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      (values, sizes) => {
        const decoder = new FrameDecoder(200);
        try {
          decodeAll(decoder, cut(Buffer.from(values), sizes));
        } catch (error) {
          failed++;
          assert.ok(error instanceof MillraceError && error.code.startsWith("FRAME_"), `${error}`);
          decoder.push(int32(1, 1, 0));
          assert.throws(() => decoder.next(), error);
        }
      },
    ),
    { numRuns: Number(process.env["SEEDS"] ?? 1000) },
  );
  assert.ok(failed > 100, `only ${failed} of the inputs were broken`);
});

test("a message that arrives one byte at a time comes out whole", () => {
  const bytes = encodeMessage(7, [Buffer.alloc(300, 1), Buffer.alloc(0), Buffer.alloc(20, 2)]);
  const decoded = decodeAll(new FrameDecoder(limit), cut(bytes, [1]));
  assert.deepEqual(decoded, [
    { serial: 7, bytes: Buffer.concat([Buffer.alloc(300, 1), Buffer.alloc(20, 2)]) },
  ]);
});

test("chunks that wait while nobody asks are read in order", () => {
  const decoder = new FrameDecoder(limit);
  for (const chunk of cut(Buffer.concat([1, 2, 3].map((n) => encodeMessage(n, [int32(n)]))), [5])) {
    decoder.push(chunk);
  }
  assert.deepEqual(
    [decoder.next(), decoder.next(), decoder.next(), decoder.next()].map((m) => m?.serial),
    [1, 2, 3, undefined],
  );
});

test("the slab has the message's size, or nearly: from its lengths, or from the message before", () => {
  const decoder = new FrameDecoder(limit);
  const java = (size: number): Buffer[] => {
    const buffers = cut(Buffer.alloc(size, 3), [8192]);
    return cut(encodeMessage(1, buffers), [65_536]);
  };
  for (const size of [100, 300_000, 301_000, 299_000, 40, 500_000]) {
    const [message] = decodeAll(decoder, java(size));
    assert.equal(message?.bytes.length, size);
    const held = message.bytes.buffer.byteLength;
    // Small ones lie in Node's shared pool.
    if (size > 8192) assert.ok(held <= size + size / 32, `${held} bytes held for ${size}`);
  }
});

test("a length alone makes no memory", () => {
  const decoder = new FrameDecoder(1024 * 1024 * 1024);
  const before = process.memoryUsage().arrayBuffers;
  decoder.push(Buffer.concat([int32(1, 1, 1024 * 1024 * 1024), Buffer.alloc(100)]));
  assert.equal(decoder.next(), undefined);
  assert.ok(decoder.partial);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
});

test("a message of 60,000 tiny buffers comes out whole", () => {
  const empty = Array.from({ length: 60_000 }, (_, i) => Buffer.alloc(i % 2));
  const bytes = encodeMessage(1, empty);
  let copied = 0;
  const decoder = new FrameDecoder(32 * 1024 * 1024);
  for (const chunk of cut(bytes, [1460])) {
    decoder.push(chunk);
    copied += decoder.next()?.bytes.length ?? 0;
  }
  assert.equal(copied, 30_000);
});

const broken = [
  { name: "no buffers", bytes: int32(1, 0), code: "FRAME_MALFORMED", says: /0 buffers/ },
  { name: "a negative count", bytes: int32(1, -1), code: "FRAME_MALFORMED", says: /-1 buffers/ },
  {
    name: "a huge count",
    bytes: int32(1, 0x7fff_ffff),
    code: "FRAME_MALFORMED",
    says: /2147483647 buffers/,
  },
  {
    name: "a negative length",
    bytes: int32(1, 2, -5),
    code: "FRAME_MALFORMED",
    says: /buffer of -5 bytes/,
  },
  {
    name: "a length over the limit",
    bytes: int32(1, 1, limit + 1),
    code: "FRAME_TOO_LARGE",
    says: /at least 1048577 bytes; maxFrameBytes is 1048576/,
  },
  {
    name: "lengths that add up to more than the limit",
    bytes: Buffer.concat([int32(1, 2, 10), Buffer.alloc(10), int32(limit - 9)]),
    code: "FRAME_TOO_LARGE",
    says: /at least 1048577 bytes/,
  },
  {
    name: "a TLS ClientHello",
    bytes: Buffer.from("16030102000100 01fc0303".replaceAll(" ", ""), "hex"),
    code: "FRAME_MALFORMED",
    says: /begins a TLS handshake/,
  },
  {
    name: "an HTTP request",
    bytes: Buffer.from("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
    code: "FRAME_MALFORMED",
    says: /speaks HTTP/,
  },
  {
    name: "Flume's deflate stream",
    bytes: Buffer.from("789c62606060626060d06118", "hex"),
    code: "FRAME_MALFORMED",
    says: /deflate stream/,
  },
];
for (const { name, bytes, code, says } of broken) {
  test(`${name} is ${code}, and stays so`, () => {
    for (const sizes of [[bytes.length], [1]]) {
      const decoder = new FrameDecoder(limit);
      assert.throws(() => decodeAll(decoder, cut(bytes, sizes)), { code, message: says });
      assert.throws(() => decoder.next(), { code });
    }
  });
}
