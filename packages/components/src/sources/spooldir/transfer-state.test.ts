import { systemRuntime, systemErrorCode } from "@millrace/core";
import { createFailingFiles, createSeededRandom, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  decodeTransferState,
  encodeTransferBlock,
  encodeTransferHeader,
  TransferTracker,
} from "./transfer-state.ts";

const sync = createSeededRandom(5).bytes(16);

function stateOf(offsets: readonly number[]): Buffer {
  const blocks = offsets.map((offset) => encodeTransferBlock(offset, sync));
  return Buffer.concat([encodeTransferHeader("/spool/a", "1:2:3", sync), ...blocks]);
}

void test("the last record is the position (T421)", () => {
  for (const offset of [0, 62, 63, 64, 8191, 2 ** 31, 2 ** 40, 2 ** 51]) {
    assert.deepEqual(decodeTransferState(stateOf([7, offset])), {
      path: "/spool/a",
      offset,
      identity: "1:2:3",
    });
  }
});

void test("cut anywhere, the last whole record is the position, or the state is none (T422)", () => {
  const offsets = [25, 62, 5000, 5001];
  const headerBytes = stateOf([]).length;
  const whole = stateOf(offsets);
  const seen = new Set<number | undefined>();
  for (let length = 0; length <= whole.length; length++) {
    const state = decodeTransferState(whole.subarray(0, length));
    const wholeRecords = offsets.filter(
      (_, i) => length >= stateOf(offsets.slice(0, i + 1)).length,
    );
    const want = length < headerBytes ? undefined : (wholeRecords.at(-1) ?? 0);
    assert.equal(state?.offset, want, `${length} bytes`);
    seen.add(state?.offset);
  }
  assert.equal(seen.size, 6);
});

void test("damaged bytes give a position that was once recorded, none, or the start", () => {
  const random = createSeededRandom(9);
  const whole = stateOf([25, 62, 5000]);
  const headerBytes = stateOf([]).length;
  let damaged = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(whole);
    const at = random.integer(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.integer(8));
    const state = decodeTransferState(bytes);
    // A record's own byte may become another position: it has no checksum in Flume's format either.
    if (at < headerBytes && state !== undefined) assert.ok([0, 5000].includes(state.offset));
    damaged++;
  }
  assert.equal(damaged, 5000);
  assert.equal(decodeTransferState(Buffer.from("Not a data file")), undefined);
  assert.equal(decodeTransferState(Buffer.from("Obj\x01\xff\xff\xff", "latin1")), undefined);
});

void test("records are appended, and the file is written anew before it grows past 64 KiB", async (test) => {
  const path = join(await tempDirectory(test), "meta");
  const { files, random } = systemRuntime;
  const tracker = new TransferTracker(files, random, path);
  for (let i = 1; i <= 3; i++) await tracker.record("/spool/a", "x", i);
  const small = (await stat(path)).size;
  await tracker.record("/spool/a", "x", 4);
  assert.equal((await stat(path)).size, small + 19);

  let largest = 0;
  for (let i = 5, length = small + 19; length >= largest; i++) {
    largest = length;
    assert.ok(i < 10_000, "never written anew");
    await tracker.record("/spool/a", "x", 2 ** 40 + i);
    length = (await stat(path)).size;
  }
  assert.ok(largest >= 64 * 1024 && largest < 65 * 1024, `${largest} bytes`);
  assert.equal((await tracker.load())?.path, "/spool/a");
  await tracker.close();
});

void test("a torn append does not hide the records after it: WRITE_FAILED, then written anew", async (test) => {
  const path = join(await tempDirectory(test), "meta");
  for (let failsAt = 1; ; failsAt++) {
    const files = createFailingFiles(systemRuntime.files, (n) => n === failsAt);
    const tracker = new TransferTracker(files, systemRuntime.random, path);
    for (const offset of [10, 20, 30]) {
      try {
        await tracker.record("/spool/a", "x", offset);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "WRITE_FAILED");
        assert.equal(systemErrorCode((error as Error).cause), "EIO");
        await tracker.record("/spool/a", "x", offset);
      }
      assert.equal(decodeTransferState(await readFile(path))?.offset, offset);
    }
    await tracker.close();
    if (files.failures === 0) {
      assert.ok(failsAt > 8, `only ${failsAt} operations`);
      return;
    }
    await writeFile(path, "");
  }
});

void test("forgetting a state that is not there is fine", async (test) => {
  const path = join(await tempDirectory(test), "meta");
  const tracker = new TransferTracker(systemRuntime.files, systemRuntime.random, path);
  assert.equal(await tracker.load(), undefined);
  await tracker.forget();
  await tracker.record("/spool/a", "x", 1);
  await tracker.forget();
  assert.equal(await tracker.load(), undefined);
});
