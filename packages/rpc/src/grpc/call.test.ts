import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EventBatch } from "@millrace/core";
import { createSeededRandom, numberedBatch } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAck, decodeDelivery, encodeAck, encodeDelivery } from "./call.ts";
import { AckSchema, BatchSchema, OriginSchema } from "./generated/millrace/v1/event_service_pb.ts";

const slabOf = (batch: EventBatch): Buffer => Buffer.concat(batch.gather());
const ids = [1, 2, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 45, Number.MAX_SAFE_INTEGER];

test("what we write the library reads", () => {
  for (const id of ids) {
    const batch = EventBatch.join([numberedBatch(1, 40), numberedBatch(7, 300).slice(3, 200)]);
    const read = fromBinary(BatchSchema, encodeDelivery({ id, batch }));
    assert.equal(read.id, BigInt(id));
    assert.equal(read.count, batch.length);
    assert.deepEqual(Buffer.from(read.slab), slabOf(batch));
    assert.equal(read.origin, undefined);
    assert.equal(read.settledBelow, 0n);
    assert.deepEqual(read.$unknown, undefined);
    assert.equal(fromBinary(AckSchema, encodeAck(id)).id, BigInt(id));
  }
  const empty = fromBinary(BatchSchema, encodeDelivery({ id: 1, batch: EventBatch.empty }));
  assert.deepEqual([empty.count, empty.slab.length], [0, 0]);
});

test("what the library writes we read, with the fields that are kept for later", () => {
  for (const id of ids) {
    const batch = numberedBatch(1, 17);
    const written = toBinary(
      BatchSchema,
      create(BatchSchema, {
        id: BigInt(id),
        count: batch.length,
        slab: slabOf(batch),
        origin: create(OriginSchema, { run: "r", sequence: 2n ** 64n - 1n }),
        settledBelow: 2n ** 63n,
      }),
    );
    const read = decodeDelivery(Buffer.from(written));
    assert.equal(read.id, id);
    assert.equal(read.batch.length, 17);
    assert.deepEqual(slabOf(read.batch), slabOf(batch));
    assert.equal(read.batch.origin, undefined);
    const ack = Buffer.from(toBinary(AckSchema, create(AckSchema, { id: BigInt(id) })));
    assert.equal(decodeAck(ack), id);
  }
  assert.deepEqual(decodeDelivery(Buffer.alloc(0)), { id: 0, batch: EventBatch.empty });
});

test("a field that comes twice counts by its last, and unknown ones are read past", () => {
  const first = encodeDelivery({ id: 1, batch: numberedBatch(1, 3) });
  const unknown = Buffer.from("f801ffffffffffffffffff01" + "f9010102030405060708", "hex");
  const fixed = Buffer.from("fd0101020304" + "fa01020000", "hex");
  const last = encodeDelivery({ id: 9, batch: numberedBatch(5, 6) });
  const { id, batch } = decodeDelivery(Buffer.concat([first, unknown, fixed, last]));
  assert.deepEqual([id, batch.length, batch.at(0).body.toString()], [9, 2, "5"]);
});

const cases: readonly { name: string; given: string; code: string; says: RegExp }[] = [
  { name: "a number cut off", given: "18", code: "CALL_MALFORMED", says: /cut off/ },
  { name: "a number without end", given: `18${"ff".repeat(10)}`, code: "CALL_MALFORMED", says: /10 bytes/ },
  { name: "an id over 2^53 - 1", given: "1880808080808080" + "10", code: "CALL_MALFORMED", says: /2\^53/ },
  { name: "a slab longer than the message", given: "0a05ff", code: "CALL_MALFORMED", says: /value of 5 bytes in 1/ },
  { name: "field number 0", given: "0201", code: "CALL_MALFORMED", says: /field 0 with/ },
  { name: "a group", given: "fb01fc01", code: "CALL_MALFORMED", says: /wire type 3/ },
  { name: "an id that is no number", given: "1a00", code: "CALL_MALFORMED", says: /field 3 with wire type 2/ },
  { name: "fixed bytes cut off", given: "390102", code: "CALL_MALFORMED", says: /cut off/ },
  { name: "more events than the slab holds", given: "0a0200001002", code: "EVENT_MALFORMED", says: /2 events/ },
  { name: "fewer events than the slab holds", given: "0a04000000001001", code: "EVENT_MALFORMED", says: /2 bytes behind/ },
  { name: "a slab and no count", given: "0a020000", code: "EVENT_MALFORMED", says: /behind the last/ },
  { name: "a count and no slab", given: "1001", code: "EVENT_MALFORMED", says: /1 events/ },
  { name: "a slab that is no event", given: "0a02ffff1001", code: "EVENT_MALFORMED", says: /byte/ },
]; // prettier-ignore

for (const { name, given, code, says } of cases) {
  test(`${name} is ${code}`, () => {
    assert.throws(() => decodeDelivery(Buffer.from(given, "hex")), { code, message: says });
  });
}

test("random and damaged messages are a batch or an error of ours, and the library's where both read", () => {
  const random = createSeededRandom(Number(process.env["SEED"] ?? 11));
  const rounds = Number(process.env["SEEDS"] ?? 3000);
  const counts = { read: 0, refused: 0, alike: 0, events: 0 };
  const sample = encodeDelivery({ id: 300, batch: numberedBatch(1, 5) });
  for (let round = 0; round < rounds; round++) {
    const bytes = random.integer(4) === 0 ? random.bytes(random.integer(60)) : Buffer.from(sample);
    for (let n = random.integer(4); n > 0 && bytes.length > 0; n--) {
      bytes[random.integer(bytes.length)] = random.integer(256);
    }
    const given = bytes.subarray(0, bytes.length - (random.integer(5) === 0 ? 1 : 0));
    const ours = attempt(() => decodeDelivery(given));
    if (ours instanceof Error) {
      assert.match((ours as { code?: string }).code ?? ours.message, /^(CALL|EVENT)_MALFORMED$/);
      counts.refused++;
      continue;
    }
    counts.read++;
    counts.events += ours.batch.length;
    assert.equal([...ours.batch].length, ours.batch.length);
    // It looks into the origin, which we read past.
    const library = attempt(() => fromBinary(BatchSchema, given));
    if (library instanceof Error) continue;
    counts.alike++;
    assert.equal(BigInt(ours.id), library.id, given.toString("hex"));
    assert.equal(ours.batch.length, library.count, given.toString("hex"));
    assert.deepEqual(slabOf(ours.batch), Buffer.from(library.slab));
  }
  assert.ok(counts.alike > rounds / 20 && counts.refused > rounds / 5, JSON.stringify(counts));
  assert.ok(counts.alike > counts.read * 0.9, JSON.stringify(counts));
  assert.ok(counts.events > rounds / 20, JSON.stringify(counts));
});

function attempt<T>(act: () => T): T | Error {
  try {
    return act();
  } catch (error) {
    return error as Error;
  }
}
