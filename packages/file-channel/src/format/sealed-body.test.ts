import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeGroup, groupBytes } from "./group.ts";
import { decodeRecordHead, type NewRecord, recordHeadBytes, recordType } from "./record.ts";
import { BodySealer, openBody } from "./sealed-body.ts";
import { decodeSegmentHeader, encodeSegmentHeader, formatOf, type SegmentHeader } from "./segment-header.ts"; // prettier-ignore

const random = createSeededRandom(11);
const salt = random.bytes(8);
const place = { offset: 4608, groupStart: 4608, align: 512, salt };

function putRecord(sequence: number, sizes: readonly number[]): NewRecord {
  const body = sizes.map((bytes) => random.bytes(bytes));
  const ext = [{ type: 1, value: random.bytes(8) }];
  return { type: recordType.put, flags: 0, sequence, count: 1, ext, body };
}

/** Head with ext, and the body as stored, of the record at `at`. */
function cut(bytes: Buffer, at: number): { start: Buffer; body: Buffer } {
  const head = decodeRecordHead(bytes, at, salt);
  assert.ok(head !== undefined);
  const bodyAt = at + recordHeadBytes + head.extBytes;
  const start = Buffer.from(bytes.subarray(at, bodyAt));
  return { start, body: Buffer.from(bytes.subarray(bodyAt, bodyAt + head.bodyBytes)) };
}

test("sealed bodies open as they were, however they were cut into parts; other records stay plain", () => {
  const key = random.bytes(32);
  const puts = [[10], [5000, 3, 0, 9000], [], [4096, 4095]].map((sizes, i) => putRecord(i, sizes));
  const ack: NewRecord = { ...putRecord(9, [16]), type: recordType.ack };
  const records = [...puts, ack];
  const group = encodeGroup(records, { ...place, sealer: new BodySealer(key) });
  const bytes = Buffer.concat(group.buffers);
  assert.equal(bytes.length, groupBytes(records, 512, true));
  assert.equal(bytes.length, group.bytes);
  group.offsets.forEach((offset, index) => {
    const { start, body } = cut(bytes, offset - place.offset);
    const want = Buffer.concat((records[index] as NewRecord).body);
    if (index === puts.length) assert.deepEqual(body, want);
    else {
      if (want.length > 0) assert.notDeepEqual(body, want);
      assert.deepEqual(openBody(key, start, body), want);
    }
  });
});

test("a sealed body opens under its own key, head and extensions only", () => {
  const key = random.bytes(32);
  const records = [putRecord(1, [40]), putRecord(2, [40])];
  const group = encodeGroup(records, { ...place, sealer: new BodySealer(key) });
  const bytes = Buffer.concat(group.buffers);
  const [one, two] = group.offsets.map((offset) => cut(bytes, offset - place.offset));
  assert.ok(one !== undefined && two !== undefined);
  assert.equal(openBody(random.bytes(32), one.start, one.body), undefined);
  assert.equal(openBody(key, two.start, one.body), undefined, "the body of another record");
  let refused = 0;
  for (const part of ["start", "body"] as const) {
    for (let bit = 0; bit < one[part].length * 8; bit++) {
      const changed = { start: Buffer.from(one.start), body: Buffer.from(one.body) };
      const at = bit >> 3;
      changed[part][at] = (changed[part][at] as number) ^ (1 << (bit & 7));
      const isSum = part === "start" && at < 8;
      const opened = openBody(key, changed.start, changed.body);
      assert.equal(opened === undefined, !isSum, `${part}, bit ${bit}`);
      if (!isSum) refused++;
    }
  }
  assert.equal(refused, (one.start.length - 8 + one.body.length) * 8);
  const plain = encodeGroup([putRecord(3, [40])], place);
  const { start, body } = cut(Buffer.concat(plain.buffers), 0);
  assert.equal(openBody(key, start, body), undefined, "a body that is not sealed");
});

test("the header of an encrypted segment names its key and has format 2; a plain one has format 1", () => {
  const plain: SegmentHeader = {
    channel: random.bytes(16).toString("hex"),
    id: 3,
    run: random.bytes(8).toString("hex"),
    salt,
    firstSequence: 1,
    previousId: 2,
    previousEnd: 4608,
    groupAlign: 512,
  };
  const encryption = {
    keyAlias: "schlüssel-2026",
    keySalt: random.bytes(32),
    keyCheck: random.bytes(16),
  };
  const sealed = { ...plain, encryption };
  assert.deepEqual(decodeSegmentHeader(encodeSegmentHeader(sealed), "x"), sealed);
  assert.equal(encodeSegmentHeader(sealed).readUInt16BE(8), 2);
  assert.equal(encodeSegmentHeader(plain).readUInt16BE(8), 1);
  assert.deepEqual([formatOf(plain), formatOf(sealed)], [1, 2]);
});
