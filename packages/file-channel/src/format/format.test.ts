import { MillraceError } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { readU64, writeU64 } from "./bytes.ts";
import { encodeGroup, groupBytes } from "./group.ts";
import { decodeRecordHead, type NewRecord, recordFlag, recordHeadBytes, recordType } from "./record.ts"; // prettier-ignore
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader } from "./segment-header.ts";
import { decodeRanges, decodeSnapshot, encodeRanges, encodeSnapshot, type Snapshot } from "./snapshot.ts"; // prettier-ignore
import { readTlvs, writeTlvs } from "./tlv.ts";

const random = createSeededRandom(5);
const salt = random.bytes(8);
const header: SegmentHeader = {
  channel: random.bytes(16).toString("hex"),
  id: 2 ** 40 + 1,
  run: random.bytes(8).toString("hex"),
  salt,
  firstSequence: Number.MAX_SAFE_INTEGER - 1,
  previousId: 17,
  previousEnd: 2 ** 32 - 512,
  groupAlign: 512,
};

test("numbers up to the largest safe integer survive their eight bytes", () => {
  const bytes = Buffer.alloc(8);
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    writeU64(bytes, 0, value);
    assert.equal(readU64(bytes, 0), value);
  }
});

test("a segment header reads as it was written, and any flipped bit makes it none", () => {
  const bytes = encodeSegmentHeader(header);
  assert.deepEqual(decodeSegmentHeader(bytes, "x"), header);
  for (let at = 0; at < bytes.length; at += 7) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    assert.equal(decodeSegmentHeader(damaged, "x"), undefined, `flipped at ${at}`);
  }
  assert.equal(decodeSegmentHeader(bytes.subarray(0, 4095), "x"), undefined);
});

test("a sound header of a later format, or with unknown needs, is CHANNEL_FORMAT (T693 to T699, T767, T768)", () => {
  const changed = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = encodeSegmentHeader(header);
    change(bytes);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 4092)), 4092);
    return bytes;
  };
  const cases = [
    changed((bytes) => bytes.writeUInt16BE(3, 8)),
    changed((bytes) => bytes.writeUInt32BE(1, 10)),
    changed((bytes) => {
      bytes.writeUInt16BE(2, 8);
      bytes.writeUInt32BE(2, 10);
    }),
    changed((bytes) => {
      bytes.writeUInt16BE(2, 8);
      bytes.writeUInt32BE(1, 10);
    }),
    changed((bytes) => writeTlvs(bytes, 76, [{ type: 9, value: Buffer.alloc(4) }])),
  ];
  for (const bytes of cases) {
    assert.throws(
      () => decodeSegmentHeader(bytes, "seg"),
      (error) => error instanceof MillraceError && error.code === "CHANNEL_FORMAT",
    );
  }
  const optional = changed((bytes) =>
    writeTlvs(bytes, 76, [{ type: 0x8009, value: Buffer.alloc(4) }]),
  );
  assert.deepEqual(decodeSegmentHeader(optional, "seg"), header);
});

test("a snapshot and ranges read as they were written (T713)", () => {
  const snapshot: Snapshot = {
    lowest: 12,
    acknowledged: [
      { first: 14, end: 15 },
      { first: 20, end: 2 ** 33 },
    ],
    putTotal: 1,
    takenTotal: 2,
    discardedTotal: 3,
    segments: [
      {
        id: 7,
        run: "00112233445566ff",
        directory: 2,
        end: 8192,
        firstSequence: 3,
        nextSequence: 9,
      },
    ],
  };
  assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot), 2, "x"), snapshot);
  const ranges = encodeRanges(snapshot.acknowledged);
  assert.deepEqual(decodeRanges(ranges, 2), snapshot.acknowledged);
  assert.equal(decodeRanges(ranges, 3), undefined);
  assert.equal(decodeRanges(encodeRanges([...snapshot.acknowledged].reverse()), 2), undefined);
  assert.equal(decodeSnapshot(encodeSnapshot(snapshot).subarray(0, 60), 2, "x"), undefined);
});

test("random bytes are no snapshot, ranges, head or extension list: a value or undefined, never a crash", () => {
  let none = 0;
  for (let i = 0; i < 2000; i++) {
    const bytes = random.bytes(random.integer(200));
    const count = random.integer(4);
    try {
      if (decodeSnapshot(bytes, count, "x") === undefined) none++;
      decodeRanges(bytes, count);
      readTlvs(bytes, 0, bytes.length, [1], "x");
    } catch (error) {
      assert.ok(error instanceof MillraceError && error.code === "CHANNEL_FORMAT", String(error));
    }
    if (bytes.length < recordHeadBytes) continue;
    assert.equal(decodeRecordHead(bytes, 0, salt), undefined);
  }
  assert.ok(none > 1000);
});

test("a group is aligned, its records follow each other, only the last is flagged so", () => {
  const body = (bytes: number): Buffer[] => [random.bytes(bytes)];
  const record = (sequence: number, bytes: number): NewRecord => ({
    type: recordType.put,
    flags: 0,
    sequence,
    count: 1,
    ext: [{ type: 1, value: Buffer.alloc(8) }],
    body: body(bytes),
  });
  for (const sizes of [[3], [5000], [10, 9000, 4096, 1], [0, 0, 0]]) {
    const records = sizes.map((bytes, i) => record(i, bytes));
    const group = encodeGroup(records, { offset: 8192, groupStart: 4096, align: 512, salt });
    const bytes = Buffer.concat(group.buffers);
    assert.equal(bytes.length, groupBytes(records, 512));
    assert.equal(bytes.length % 512, 0);
    assert.equal(group.bytes, bytes.length);
    group.offsets.forEach((offset, index) => {
      const head = decodeRecordHead(bytes, offset - 8192, salt);
      assert.equal(head?.bodyBytes, sizes[index]);
      assert.equal(head?.groupStart, 4096);
      assert.equal((head?.flags ?? 0) & recordFlag.last, index === sizes.length - 1 ? 2 : 0);
      const at = offset - 8192 + recordHeadBytes;
      const content = bytes.subarray(at, at + 12 + (sizes[index] as number));
      assert.equal(crc32(content), head?.bodyCrc);
      assert.equal(decodeRecordHead(bytes, offset - 8192, random.bytes(8)), undefined);
    });
  }
});
