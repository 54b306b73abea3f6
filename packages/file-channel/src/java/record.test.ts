import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { commit, encryptionOf, metaOf, put, rollback, take, testIv } from "./java-world.test.ts";
import { decodeLogMeta } from "./log-meta.ts";
import { LogPuts, takenFlag } from "./log-puts.ts";
import { PointerList } from "./pointer-list.ts";
import { FieldWalk, readVarint } from "./protobuf.ts";
import { createRecordHead, readPut, readRecordHead } from "./record.ts";

const seeds = Number(process.env["SEEDS"] ?? 5_000);
const stamp = { transaction: 1_700_000_000_123, order: 1_700_000_000_456 };

const records = [
  { name: "put", bytes: put(stamp, "body"), want: { type: 1 } },
  { name: "take", bytes: take(stamp, 7, 4711), want: { type: 2, file: 7, offset: 4711 } },
  { name: "rollback", bytes: rollback(stamp), want: { type: 3 } },
  { name: "commit of a put", bytes: commit(stamp, "put"), want: { type: 4, commits: 1 } },
  { name: "commit of a take", bytes: commit(stamp, "take"), want: { type: 4, commits: 2 } },
];
for (const { name, bytes, want } of records) {
  void test(`the head of a ${name} is read, and no part of it is (T761, T764, T765, T766)`, () => {
    const head = createRecordHead();
    assert.ok(readRecordHead(bytes, bytes.length, head));
    const expected = { ...head, ...want, transaction: stamp.transaction, writeOrder: stamp.order };
    assert.deepEqual(head, expected);
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.equal(readRecordHead(bytes.subarray(0, cut), cut, head), false, `${cut} bytes`);
    }
    assert.equal(readRecordHead(bytes, bytes.length + 1, head), false, "a length that lies");
  });
}

void test("a put that is cut off, or of another type, is said to be so", () => {
  const head = createRecordHead();
  const bytes = put(stamp, "body", { k: "v" });
  const read = readPut(bytes, head);
  assert.ok(typeof read !== "string" && read.body.equals(Buffer.from("body")));
  assert.equal(readPut(bytes.subarray(0, -1), head), "the record cannot be read");
  assert.equal(readPut(commit(stamp, "put"), head), "the record is not a put but of type 4");
});

void test("the meta of a data file is read with its encryption (T713)", () => {
  const meta = decodeLogMeta(metaOf(12, { orders: [55, 44], encryption: encryptionOf("key-0") }));
  assert.deepEqual(meta, {
    version: 3,
    file: 12,
    checkpoints: [55, 44],
    encryption: { cipherProvider: "AESCTRNOPADDING", keyAlias: "key-0", parameters: testIv },
  });
  assert.equal(decodeLogMeta(Buffer.alloc(0)), undefined);
});

void test("pointers keep file and offset apart (T759)", () => {
  const list = new PointerList();
  for (let i = 0; i < 1_000; i++) list.push(i, 2 ** 31 - 1 - i);
  assert.equal(list.length, 1_000);
  assert.deepEqual([list.file(999), list.offset(999)], [999, 2 ** 31 - 1_000]);
});

void test("puts are found by their place and keep their marks", () => {
  const puts = new LogPuts();
  for (let i = 0; i < 1_000; i++) assert.equal(puts.add(i * 7), i);
  assert.deepEqual([puts.find(0), puts.find(6_993), puts.find(6_992)], [0, 999, -1]);
  puts.mark(500, takenFlag);
  assert.deepEqual([puts.is(500, takenFlag), puts.is(501, takenFlag)], [true, false]);
});

void test("random and damaged bytes are records or none, and read in no time", () => {
  const random = createSeededRandom(5);
  const head = createRecordHead();
  let read = 0;
  let refused = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const { bytes } = records[seed % records.length] as (typeof records)[number];
    const damaged = Buffer.from(random.integer(4) === 0 ? random.bytes(60) : bytes);
    damaged[random.integer(damaged.length)] = random.integer(256);
    if (readRecordHead(damaged, damaged.length, head)) read++;
    else refused++;
    const event = readPut(damaged, head);
    assert.ok(typeof event === "string" || event.body.length <= damaged.length);
    decodeLogMeta(damaged);
  }
  assert.ok(read > seeds / 10 && refused > seeds / 4, `${read} read, ${refused} refused`);
});

void test("a field walk refuses groups, numbers that are too long and lengths that do not fit", () => {
  const walk = new FieldWalk();
  for (const hex of [
    "0b",
    "0bffffffffffffffffffff01",
    "0a05aa",
    "0affffffff7f",
    "00",
    "0d010203",
  ]) {
    const bytes = Buffer.from(hex, "hex");
    walk.begin(bytes, 0, bytes.length);
    assert.equal(walk.next(), false, hex);
    assert.equal(walk.malformed, true, hex);
  }
  assert.equal(readVarint(Buffer.from("8000", "hex"), 0, 2), -1);
  assert.equal(readVarint(Buffer.from("ac02", "hex"), 0, 2), 300);
});
