/** Hostile bytes into the readers of Scribe and of Flume 0.9; SEEDS=100000 for a long run. */
import { EventBatch, MillraceError, type Random } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { joinBuffers, readOgCall } from "./avro-og-call.ts";
import { ogJavaHash, ogProtocolText } from "./avro-og-protocol.ts";
import { MessageDecoder } from "./message-decoder.ts";
import { ogHeaders } from "./og-event.ts";
import { scribeService } from "./scribe-service.ts";
import { libraryOgAppend, libraryOgCall } from "./test-og.test.ts";
import { readOgMessage } from "./thrift-og-message.ts";

const rounds = Number(process.env["SEEDS"] ?? 1500);

const evil = [
  "00000000",
  "7fffffff",
  "80000000",
  "ffffffff",
  "ffffffffffffffffff01",
  "8080808000",
  "0b0b",
  "00",
].map((hex) => Buffer.from(hex, "hex"));

function damage(random: Random, bytes: Buffer): Buffer {
  const at = random.integer(bytes.length + 1);
  switch (random.integer(5)) {
    case 0:
      return bytes.subarray(0, at);
    case 1: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] as number) ^ (1 << random.integer(8));
      return flipped;
    }
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(4))]);
    default: {
      const number = evil[random.integer(evil.length)] as Buffer;
      return Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at + random.integer(6))]);
    }
  }
}

/** The value, or undefined where the bytes are refused as they should be. */
function valueOrRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof MillraceError, String(error));
    assert.match(error.code, /^(CALL_MALFORMED|FRAME_MALFORMED|FRAME_TOO_LARGE)$/, error.stack);
    return undefined;
  }
}

function text(random: Random): string {
  return random.bytes(random.integer(10)).toString("latin1");
}

function some<T>(random: Random, max: number, make: () => T): T[] {
  return Array.from({ length: random.integer(max + 1) }, make);
}

function scribeLog(random: Random): Buffer {
  const field = (id: number, value: Buffer): Buffer => {
    const head = Buffer.from([11, 0, id, 0, 0, 0, 0]);
    head.writeInt32BE(value.length, 3);
    return Buffer.concat([head, value]);
  };
  const entries = some(random, 6, () =>
    Buffer.concat([
      ...some(random, 1, () => field(1, Buffer.from(text(random)))),
      field(2, random.bytes(random.integer(40))),
      Buffer.from([0]),
    ]),
  );
  const list = Buffer.from([15, 0, 1, 12, 0, 0, 0, entries.length]);
  const head = Buffer.from("80010001" + "00000003" + "4c6f67" + "00000001", "hex");
  return Buffer.concat([head, list, ...entries, Buffer.from([0])]);
}

function ogThrift(random: Random): Buffer {
  if (random.integer(10) === 0) return libraryOgCall("close", random.integer(100));
  return libraryOgAppend({
    timestamp: BigInt(random.integer(1 << 30)),
    priority: random.integer(7),
    body: random.bytes(random.integer(60)),
    nanos: -1n,
    host: text(random),
    fields: some(random, 4, () => [text(random), random.bytes(random.integer(9))] as const),
  });
}

function ogAvro(random: Random): Buffer {
  const string = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length * 2]), bytes]);
  const isKnown = random.integer(4) > 0;
  const protocol = Buffer.from(ogProtocolText);
  const call = Buffer.concat([
    isKnown ? ogJavaHash : random.bytes(16),
    isKnown
      ? Buffer.from([0])
      : Buffer.concat([
          Buffer.from([2, ((protocol.length * 2) & 0x7f) | 0x80, (protocol.length * 2) >>> 7]),
          protocol,
        ]),
    ogJavaHash,
    Buffer.from([2, 0, 0]),
    string(Buffer.from("append")),
    Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, random.integer(6) * 2]),
    string(random.bytes(random.integer(50))),
    Buffer.from([1]),
    string(Buffer.from(text(random))),
    Buffer.from([2]),
    string(Buffer.from("name")),
    string(random.bytes(random.integer(9))),
    Buffer.from([0]),
  ]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(call.length);
  return Buffer.concat([length, call, Buffer.alloc(4)]);
}

/** Each reads a message in its own way; says whether it was one. */
const readers: readonly {
  name: string;
  valid: (random: Random) => Buffer;
  read: (bytes: Buffer) => boolean;
}[] = [
  {
    name: "Scribe",
    valid: scribeLog,
    read(bytes) {
      const request = scribeService.read({ bytes, start: 0 });
      if (request.kind !== "call") {
        assert.equal(request.error?.code, "CALL_MALFORMED", request.error?.stack);
        assert.equal(request.error.cause, undefined);
        return false;
      }
      const { batch } = request;
      const stored = Buffer.concat(batch.gather());
      assert.equal(EventBatch.scan(stored, 0, stored.length, batch.length).length, batch.length);
      return true;
    },
  },
  {
    name: "Flume 0.9's Thrift",
    valid: ogThrift,
    read(bytes) {
      // The end that is found first is the end that is read.
      const decoder = new MessageDecoder(1 << 20);
      decoder.push(bytes);
      const message = valueOrRefused(() => decoder.next());
      if (message === undefined) return false;
      const read = valueOrRefused(() => readOgMessage(message));
      if (read?.kind === "append")
        EventBatch.fromEvents([{ headers: ogHeaders(read.event), body: read.event.body }]);
      return read !== undefined;
    },
  },
  {
    name: "Flume 0.9's Avro",
    valid: ogAvro,
    read(bytes) {
      const call = valueOrRefused(() => readOgCall(joinBuffers(bytes)));
      if (call?.kind === "append") {
        assert.ok(call.event.body.length <= bytes.length);
        EventBatch.fromEvents([{ headers: ogHeaders(call.event), body: call.event.body }]);
      }
      return call !== undefined;
    },
  },
];

for (const { name, valid, read } of readers) {
  test(`${name}: damaged and random bytes are a message or refused, and never anything else`, () => {
    const random = createSeededRandom(9);
    let messages = 0;
    for (let round = 0; round < rounds; round++) {
      let bytes = valid(random);
      if (round % 10 === 0) assert.ok(read(bytes), bytes.toString("hex"));
      for (let i = random.integer(3); i >= 0; i--) bytes = damage(random, bytes);
      if (read(bytes)) messages++;
      const noise = random.bytes(random.integer(60));
      if (round % 2 === 0)
        for (let i = 0; i < noise.length; i++) noise[i] = (noise[i] as number) % 16;
      read(
        round % 3 === 0
          ? noise
          : Buffer.concat([valid(random).subarray(0, 4 + random.integer(30)), noise]),
      );
    }
    assert.ok(messages > rounds / 100 && messages < rounds, `${messages} of ${rounds}`);
  });

  test(`${name}: a message cut at any of its bytes is refused, or waited for`, () => {
    const random = createSeededRandom(10);
    let cuts = 0;
    for (let i = 0; i < 20; i++) {
      const bytes = valid(random);
      for (let at = 0; at < bytes.length; at++, cuts++)
        assert.equal(read(bytes.subarray(0, at)), false);
    }
    assert.ok(cuts > 500, `${cuts} cuts`);
  });
}

test("messages without frames are the same in chunks of any size", () => {
  const random = createSeededRandom(11);
  let messages = 0;
  for (let round = 0; round < 60; round++) {
    const sent = some(random, 30, () => ogThrift(random));
    const stream = Buffer.concat(sent);
    const decoder = new MessageDecoder(1 << 20);
    const received: Buffer[] = [];
    for (let at = 0; at < stream.length;) {
      const size = 1 + random.integer(random.integer(3) === 0 ? 3 : 400);
      decoder.push(stream.subarray(at, at + size));
      at += size;
      if (random.integer(4) === 0 && at < stream.length) continue;
      for (let m = decoder.next(); m !== undefined; m = decoder.next())
        received.push(Buffer.from(m));
    }
    assert.deepEqual(received, sent);
    assert.equal(decoder.partial, false);
    messages += sent.length;
  }
  assert.ok(messages > 500, `${messages} messages`);
});

test("a length alone reserves nothing, and a message that only goes on is stopped at the limit", () => {
  const before = process.memoryUsage().arrayBuffers;
  const decoder = new MessageDecoder(1 << 20);
  decoder.push(Buffer.from("8001000400000006617070656e64000000010c00010b0003000fffff", "hex"));
  assert.throws(() => decoder.next(), { code: "FRAME_TOO_LARGE" });
  const endless = new MessageDecoder(1 << 20);
  const opening = Buffer.from("8001000400000006617070656e64000000010c0001", "hex");
  endless.push(opening);
  // A field of one byte, again and again.
  const chunk = Buffer.alloc(40_000, Buffer.from("03000901", "hex"));
  assert.throws(
    () => {
      for (let i = 0; i < 100; i++) {
        assert.equal(endless.next(), undefined);
        endless.push(chunk);
      }
    },
    { code: "FRAME_TOO_LARGE" },
  );
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024);
});
