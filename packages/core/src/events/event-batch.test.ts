import { AssertionError } from "node:assert";
import assert from "node:assert/strict";
import { test } from "node:test";
import { numberedBatch, numbersOf } from "@millrace/testing";
import { encodeHeaders } from "./avro-event.ts";
import { EventBatch } from "./event-batch.ts";
import { EventBatchBuilder } from "./event-batch-builder.ts";

/** The batch, said to come from run `r` at this sequence. */
function withOrigin(batch: EventBatch, sequence: number): EventBatch {
  const bytes = Buffer.concat(batch.gather());
  return EventBatch.scan(bytes, 0, bytes.length, batch.length, { run: "r", sequence });
}

void test("slices and joins share slabs and copy nothing", () => {
  const batch = numberedBatch(1, 10);
  const slab = batch.runs[0]?.slab;
  const joined = EventBatch.join([batch.slice(5, 8), batch.slice(0, 2)]);
  assert.deepEqual(numbersOf(joined), [6, 7, 8, 1, 2]);
  assert.ok(joined.runs.every((run) => run.slab === slab));
  assert.equal(batch.slice(0), batch);
  assert.equal(batch.slice(3, 3), EventBatch.empty);
  assert.equal(EventBatch.join([EventBatch.empty, batch]), batch);
});

void test("a slab is held once, however many runs share it", () => {
  const batch = numberedBatch(1, 10);
  const slab = batch.runs[0]?.slab.length;
  assert.equal(EventBatch.join([batch.slice(0, 1), batch.slice(9)]).heldBytes, slab);
  assert.equal(batch.slice(4, 5).heldBytes, slab);
  assert.equal(EventBatch.empty.heldBytes, 0);
});

void test("compact copies what is under half of what it keeps alive, and only that", () => {
  const batch = numberedBatch(1, 100).copy();
  assert.equal(batch.compact(), batch);
  const large = batch.slice(10);
  assert.equal(large.compact(), large);
  const small = batch.slice(0, 10).compact();
  assert.equal(small.heldBytes, small.byteLength);
  assert.deepEqual(numbersOf(small), numbersOf(batch).slice(0, 10));
});

void test("filter that keeps everything gives the batch itself", () => {
  const batch = numberedBatch(1, 3);
  assert.equal(batch.filter(() => true), batch); // prettier-ignore
  assert.equal(batch.filter(() => false), EventBatch.empty); // prettier-ignore
});

void test("an origin is kept by slices, and by joins of what belongs together", () => {
  const batch = withOrigin(numberedBatch(1, 6), 100);
  assert.deepEqual(batch.slice(2, 4).origin, { run: "r", sequence: 102 });
  assert.deepEqual(batch.copy().origin, { run: "r", sequence: 100 });
  const again = EventBatch.join([batch.slice(0, 2), EventBatch.empty, batch.slice(2)]);
  assert.deepEqual(again.origin, { run: "r", sequence: 100 });
  assert.equal(EventBatch.join([batch.slice(0, 2), batch.slice(3)]).origin, undefined);
  assert.equal(EventBatch.join([batch, numberedBatch(7, 8)]).origin, undefined);
});

void test("many runs are joined, selected and walked without trouble", () => {
  const one = numberedBatch(1, 1);
  const many = EventBatch.join(Array.from({ length: 200_000 }, () => one));
  const joined = EventBatch.join([many, one]);
  assert.equal(joined.length, 200_001);
  const name = Buffer.from("n");
  let found = 0;
  for (let i = 0; i < joined.length; i++) if (joined.headerAt(i, name) === "1") found++;
  assert.equal(found, joined.length);
  const half = Array.from({ length: 100_000 }, (_, i) => ({ from: i * 2, to: i * 2 + 1 }));
  assert.equal(joined.select(half).length, 100_000);
});

void test("positions outside of a batch are a mistake of ours", () => {
  const batch = numberedBatch(1, 3);
  assert.throws(() => batch.at(3), AssertionError);
  assert.throws(() => batch.bytesAt(-1), AssertionError);
  assert.throws(() => batch.slice(2, 4), AssertionError);
  assert.throws(() => batch.slice(2, 1), AssertionError);
  assert.throws(() => batch.select([{ from: 0, to: 1 }, { from: 2, to: 4 }]), AssertionError); // prettier-ignore
  assert.throws(() => EventBatch.fromSlab(Buffer.alloc(0), new Uint32Array(0)), AssertionError);
});

void test("a header whose name is a prefix of another is not taken for it", () => {
  const headers = new Map([["type", "1"], ["typ", "2"], ["types", "3"]]); // prettier-ignore
  const batch = EventBatch.fromEvents([{ headers, body: Buffer.alloc(0) }]);
  assert.equal(batch.headerAt(0, Buffer.from("typ")), "2");
  assert.equal(batch.headerAt(0, Buffer.from("types")), "3");
  assert.equal(batch.headerAt(0, Buffer.from("t")), undefined);
});

void test("a builder starts anew behind each batch, which owns its bytes", () => {
  const builder = new EventBatchBuilder();
  const shared = encodeHeaders(new Map([["k", "v"]]));
  const body = Buffer.from("first");
  builder.add(shared, body);
  builder.add(undefined, Buffer.alloc(0));
  assert.equal(builder.length, 2);
  const first = builder.build();
  assert.deepEqual([builder.length, builder.byteLength], [0, 0]);
  assert.equal(builder.build(), EventBatch.empty);
  body.fill("x");
  builder.add(new Map(), Buffer.from("second"));
  const second = builder.build();
  assert.equal(first.at(0).body.toString(), "first");
  assert.equal(first.at(0).headers.get("k"), "v");
  assert.equal(first.at(1).body.length, 0);
  assert.equal(second.at(0).body.toString(), "second");
});

void test("a builder grows to what it is given, and keeps no slab that is mostly air", () => {
  const builder = new EventBatchBuilder();
  for (let i = 0; i < 5000; i++) builder.add(undefined, Buffer.alloc(i % 50, 1));
  const bytes = builder.byteLength;
  const batch = builder.build();
  assert.equal(batch.length, 5000);
  assert.equal(batch.byteLength, bytes);
  for (const i of [0, 1, 63, 64, 65, 4999]) assert.equal(batch.at(i).body.length, i % 50);
  builder.add(undefined, Buffer.from("small"));
  const small = builder.build();
  assert.ok(small.heldBytes <= 2 * small.byteLength, String(small.heldBytes));
});
