import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeWireEvent, type WireEvent } from "@millrace/testing";
import fc from "fast-check";
import { EventBatch } from "./event-batch.ts";
import { editHeaders, fuseEdits, type HeaderEdit } from "./header-edits.ts";

const numRuns = Number(process.env["SEEDS"] ?? 300);
const set = (name: string, value: string, preserveExisting = false): HeaderEdit => ({
  name,
  value,
  preserveExisting,
});

// Few names, so that edits and headers meet; one that is long, one that is dangerous to objects.
const name = fc.constantFrom("a", "b", "host", "", "__proto__", "größe", "n".repeat(70));
const value = fc.oneof(fc.string({ unit: "binary", maxLength: 8 }), fc.constant("v".repeat(200)));
const edit = fc.record({ name, value, preserveExisting: fc.boolean() });
const wireEvent: fc.Arbitrary<WireEvent> = fc.record({
  blocks: fc.array(
    fc.record({
      headers: fc.array(fc.tuple(name, value), { maxLength: 4 }),
      negative: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
  body: fc.uint8Array({ maxLength: 150 }),
});

/** The edits one after another on a map. */
function editMap(event: WireEvent, edits: readonly HeaderEdit[]): Map<string, string> {
  const headers = new Map(event.blocks.flatMap((block) => block.headers));
  for (const { name, value, preserveExisting } of edits) {
    if (!preserveExisting || !headers.has(name)) headers.set(name, value);
  }
  return headers;
}

const sorted = (headers: ReadonlyMap<string, string>): [string, string][] =>
  [...headers].sort(([a], [b]) => (a < b ? -1 : 1));

/** A batch of several runs over slabs that do not begin at 0, as a relay's are. */
function batchOf(events: readonly WireEvent[]): EventBatch {
  const half = Math.floor(events.length / 2);
  return EventBatch.join(
    [events.slice(0, half), events.slice(half)].map((part) => {
      const bytes = Buffer.concat(part.map(encodeWireEvent));
      const padded = Buffer.concat([Buffer.from("pad"), bytes, Buffer.from("pad")]);
      return EventBatch.scan(padded, 3, 3 + bytes.length, part.length);
    }),
  );
}

void test("edits on bytes do what edits on a map do, on whatever the wire brings", () => {
  let edited = 0;
  fc.assert(
    fc.property(
      fc.array(wireEvent, { maxLength: 6 }),
      fc.array(edit, { maxLength: 5 }),
      (events, edits) => {
        const batch = batchOf(events);
        const before = batch.gather().map((bytes) => bytes.toString("hex"));
        const after = editHeaders(batch, edits);
        assert.equal(after.length, events.length);
        events.forEach((event, i) => {
          assert.deepEqual(sorted(after.at(i).headers), sorted(editMap(event, edits)));
          assert.deepEqual(after.at(i).body, Buffer.from(event.body));
          edited++;
        });
        const bytes = Buffer.concat(after.gather());
        EventBatch.scan(bytes, 0, bytes.length, events.length);
        assert.deepEqual(
          batch.gather().map((slab) => slab.toString("hex")),
          before,
          "the batch that was given is not touched",
        );
      },
    ),
    { numRuns },
  );
  assert.ok(edited > numRuns, `edited ${edited} events`);
});

void test("fused edits do what they do one after another", () => {
  fc.assert(
    fc.property(wireEvent, fc.array(edit, { maxLength: 8 }), (event, edits) => {
      const fused = fuseEdits(edits);
      assert.equal(new Set(fused.map((one) => one.name)).size, fused.length);
      assert.deepEqual(sorted(editMap(event, fused)), sorted(editMap(event, edits)));
    }),
    { numRuns },
  );
});

void test("a replaced header stands once on the wire, also where it stood twice", () => {
  const bytes = encodeWireEvent({
    blocks: [
      { headers: [["a", "1"], ["b", "2"]], negative: true }, // prettier-ignore
      { headers: [["a", "3"]], negative: false },
    ],
    body: Buffer.from("x"),
  });
  const batch = EventBatch.scan(bytes, 0, bytes.length, 1);
  assert.equal(
    Buffer.concat(editHeaders(batch, [set("a", "9")]).gather()).toString("hex"),
    // Two entries in one positive block: the new one first, then what is kept.
    "04" + "02610239" + "02620232" + "00" + "0278",
  );
});

void test("no edits, or no events, give the batch itself", () => {
  const batch = EventBatch.fromEvents([{ body: Buffer.from("x") }]);
  assert.equal(editHeaders(batch, []), batch);
  assert.equal(editHeaders(EventBatch.empty, [set("a", "1")]), EventBatch.empty);
});

void test("a count that grows by a byte or two finds its room", () => {
  for (const there of [0, 1, 62, 63, 64, 8190, 8191]) {
    const headers = new Map(Array.from({ length: there }, (_, i) => [`h${i}`, ""]));
    const batch = EventBatch.fromEvents([
      { headers, body: Buffer.from("one") },
      { headers, body: Buffer.from("two") },
    ]);
    const after = editHeaders(batch, [set("x", "1"), set("y", "2")]);
    for (const i of [0, 1]) {
      assert.equal(after.at(i).headers.size, there + 2);
      assert.equal(after.at(i).body.toString(), ["one", "two"][i]);
    }
  }
});

void test("more edits than a count of one byte holds are all made", () => {
  const edits = Array.from({ length: 100 }, (_, i) => set(`e${i}`, String(i)));
  const batch = EventBatch.fromEvents(
    Array.from({ length: 5 }, (_, i) => ({ body: Buffer.from([i]) })),
  );
  const after = editHeaders(batch, edits);
  for (let i = 0; i < 5; i++) {
    assert.equal(after.at(i).headers.size, 100);
    assert.equal(after.at(i).headers.get("e99"), "99");
    assert.deepEqual(after.at(i).body, Buffer.from([i]));
  }
});

void test("the origin stays, as no event was added or lost", () => {
  const { slab, offsets } = EventBatch.fromEvents([{ body: Buffer.from("x") }]).runs[0] ?? {};
  assert.ok(slab !== undefined && offsets !== undefined);
  const batch = EventBatch.fromSlab(slab, offsets, { run: "r", sequence: 7 });
  assert.deepEqual(editHeaders(batch, [set("a", "1")]).origin, { run: "r", sequence: 7 });
});

void test("replacing headers by shorter ones does not keep a slab that is mostly air", () => {
  const headers = new Map([["a", "x".repeat(400)]]);
  const batch = EventBatch.fromEvents(
    Array.from({ length: 50 }, () => ({ headers, body: Buffer.alloc(0) })),
  );
  const after = editHeaders(batch, [set("a", "")]);
  const memory = after.runs[0]?.slab.buffer.byteLength ?? Infinity;
  assert.ok(memory <= after.byteLength * 1.2, `${memory} bytes for ${after.byteLength}`);
});
