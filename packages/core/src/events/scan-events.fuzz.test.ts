import assert from "node:assert/strict";
import { test } from "node:test";
import { createSeededRandom, encodeWireArray, encodeWireEvent, wireLong } from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import type { Random } from "../runtime/random.ts";
import { decodeEvent } from "./avro-event.ts";
import { EventBatch } from "./event-batch.ts";

const rounds = Number(process.env["SEEDS"] ?? 4000);

/** The value, or undefined where the bytes are refused as they should be: by EVENT_MALFORMED. */
function valueOrMalformed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MillraceError && error.code === "EVENT_MALFORMED") return undefined;
    throw error;
  }
}

/** Reads the bytes in every way; says whether any made sense. What does, reads the same again. */
function readHostile(bytes: Buffer, count: number): boolean {
  const scanned = valueOrMalformed(() => EventBatch.scan(bytes, 0, bytes.length, count));
  const array = valueOrMalformed(() => EventBatch.scanArray(bytes, 0, bytes.length));
  const event = valueOrMalformed(() => decodeEvent(bytes, 0, bytes.length));
  for (const batch of [scanned, array]) if (batch !== undefined) checkConsistent(batch);
  if (event !== undefined) assert.ok(event.body.length <= bytes.length);
  return scanned !== undefined || array !== undefined || event !== undefined;
}

function checkConsistent(batch: EventBatch): void {
  const decoded = [...batch];
  const bytes = Buffer.concat(batch.gather());
  const again = EventBatch.scan(bytes, 0, bytes.length, batch.length);
  const encoded = EventBatch.fromEvents(decoded);
  assert.equal(encoded.length, batch.length);
  for (const other of [again, encoded]) {
    assert.deepEqual(
      Array.from(other, ({ headers, body }) => [[...headers], body.toString("hex")]),
      decoded.map(({ headers, body }) => [[...headers], body.toString("hex")]),
    );
  }
}

/** An array of a few events in one of Avro's forms. */
function validArray(random: Random): Buffer {
  const text = (): string => random.bytes(random.integer(12)).toString("latin1");
  const some = <T>(max: number, make: () => T): T[] =>
    Array.from({ length: random.integer(max + 1) }, make);
  const negative = (): boolean => random.integer(2) === 0;
  return encodeWireArray(
    some(3, () => ({
      negative: negative(),
      events: some(4, () =>
        encodeWireEvent({
          blocks: some(2, () => ({
            negative: negative(),
            headers: some(3, (): [string, string] => [text(), text()]),
          })),
          body: random.bytes(random.integer(100)),
        }),
      ),
    })),
  );
}

/** Numbers that break naive readers. */
const evil = [-1, -2, 63, 64, -64, 2 ** 30, 2 ** 31, 2 ** 32, -(2 ** 31), 2 ** 34 - 1]
  .map((value) => wireLong(value))
  .concat([2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)].map((value) => wireLong(value)))
  .concat(Buffer.alloc(10, 0xff), Buffer.from([0x80, 0x00]), Buffer.from([0x80, 0x80, 0, 0]));

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
      const skipped = random.integer(3);
      return Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at + skipped)]);
    }
  }
}

void test("an undamaged array reads, in whatever form it was written", () => {
  const random = createSeededRandom(1);
  for (let round = 0; round < 300; round++) {
    const bytes = validArray(random);
    checkConsistent(EventBatch.scanArray(bytes, 0, bytes.length));
  }
});

void test("damaged arrays are a value that reads the same again, or EVENT_MALFORMED", () => {
  const random = createSeededRandom(2);
  let values = 0;
  for (let round = 0; round < rounds; round++) {
    let bytes = validArray(random);
    for (let i = random.integer(3); i >= 0; i--) bytes = damage(random, bytes);
    if (readHostile(bytes, random.integer(8))) values++;
  }
  assert.ok(values > rounds / 100 && values < rounds, `${values} of ${rounds} made sense`);
});

void test("random bytes are a value that reads the same again, or EVENT_MALFORMED", () => {
  const random = createSeededRandom(3);
  let values = 0;
  for (let round = 0; round < rounds; round++) {
    const bytes = random.bytes(random.integer(40));
    // Small numbers are what makes random bytes plausible.
    if (round % 2 === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) % 7;
    if (readHostile(bytes, random.integer(5))) values++;
  }
  assert.ok(values > 0 && values < rounds, `${values} of ${rounds} made sense`);
});

void test("a count is never believed: what is allocated follows the bytes", () => {
  for (const count of [2 ** 30, 2 ** 33, -(2 ** 33)]) {
    const bytes = Buffer.concat([wireLong(count), Buffer.alloc(64)]);
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => EventBatch.scanArray(bytes, 0, bytes.length), /cannot fit in \d+ bytes/);
    assert.throws(() => EventBatch.scan(bytes, 0, bytes.length, count), /cannot fit in \d+ bytes/);
    assert.throws(() => EventBatch.scan(bytes, 0, bytes.length, NaN), /cannot fit/);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  }
});

void test("an array of many tiny blocks costs a few times its bytes, not a run for each", () => {
  const blocks = 50_000;
  const bytes = Buffer.concat([
    ...Array.from({ length: blocks }, () => Buffer.from("020000", "hex")),
    Buffer.from([0]),
  ]);
  const batch = EventBatch.scanArray(bytes, 0, bytes.length);
  assert.equal(batch.length, blocks);
  assert.equal(batch.runs.length, 1);
  assert.equal(batch.byteLength, blocks * 2);
});

void test("a header block's size is checked against its own event, not the bytes behind it", () => {
  // The block says 6 bytes where 2 follow; the 4 too many would lie in the second event.
  const bytes = Buffer.from("010c0000000000000000", "hex");
  assert.throws(() => EventBatch.scan(bytes, 0, bytes.length, 3), /block of another size/);
});

void test("an array block's size must be right too", () => {
  const right = Buffer.from("030800000000" + "00", "hex");
  assert.equal(EventBatch.scanArray(right, 0, right.length).length, 2);
  for (const size of ["06", "0a", "7e"]) {
    const wrong = Buffer.from(`03${size}00000000` + "00", "hex");
    assert.equal(
      valueOrMalformed(() => EventBatch.scanArray(wrong, 0, wrong.length)),
      undefined,
      size,
    );
  }
});

void test("bytes behind the last event, or missing before it, are EVENT_MALFORMED", () => {
  const bytes = Buffer.from("00000000", "hex");
  EventBatch.scan(bytes, 0, 4, 2);
  assert.throws(() => EventBatch.scan(bytes, 0, 4, 1), /2 bytes behind the last event/);
  assert.throws(() => EventBatch.scan(bytes, 0, 3, 2), /2 events cannot fit in 3 bytes/);
  assert.throws(() => EventBatch.scanArray(bytes, 0, 4), /3 bytes behind the last event/);
  assert.equal(EventBatch.scanArray(bytes, 0, 1), EventBatch.empty);
  assert.throws(() => EventBatch.scanArray(bytes, 0, 0), /number cut off at byte 0/);
});
