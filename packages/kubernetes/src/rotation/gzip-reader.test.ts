import { systemRuntime } from "@millrace/core";
import { createSeededRandom, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { GzipReader } from "./gzip-reader.ts";

async function given(test: TestContext, packed: Buffer): Promise<GzipReader> {
  const path = join(await tempDirectory(test), "0.log.gz");
  await writeFile(path, packed);
  const handle = await systemRuntime.files.open(path, "read");
  const reader = new GzipReader(handle);
  test.after(async () => {
    reader.close();
    await handle.close();
  });
  return reader;
}

const plain = createSeededRandom(3).bytes(2_000_000);

void test("any part of the plain form can be read, onwards and back", async (test) => {
  const reader = await given(test, gzipSync(plain));
  assert.equal(await reader.plainBytes(), plain.length);
  const random = createSeededRandom(4);
  let at = 0;
  for (let i = 0; i < 200; i++) {
    if (random.integer(10) === 0) at = random.integer(plain.length);
    if (random.integer(10) === 0) at = 0;
    const wanted = 1 + random.integer(50_000);
    const into = Buffer.alloc(wanted);
    const read = await reader.read(into, 0, wanted, at);
    assert.ok(read > 0 || at >= plain.length, `nothing at ${at}`);
    assert.deepEqual(into.subarray(0, read), plain.subarray(at, at + read));
    at += read;
  }
  assert.equal(await reader.read(Buffer.alloc(10), 0, 10, plain.length), 0);
});

void test("two members behind one another are one file", async (test) => {
  const halves = [plain.subarray(0, 1000), plain.subarray(1000, 2000)];
  const reader = await given(test, Buffer.concat(halves.map((half) => gzipSync(half))));
  const into = Buffer.alloc(2000);
  let length = 0;
  while (length < 2000) length += await reader.read(into, length, 2000 - length, length);
  assert.deepEqual(into, plain.subarray(0, 2000));
});

void test("damage is an error of zlib's, again and again, and never a hang", async (test) => {
  const packed = gzipSync(plain);
  for (const damaged of [packed.subarray(0, 500_000), Buffer.alloc(100, 7), Buffer.alloc(0)]) {
    const reader = await given(test, damaged);
    for (let i = 0; i < 2; i++) {
      const readAll = async (): Promise<void> => {
        const into = Buffer.alloc(65_536);
        for (let at = 0, read = -1; read !== 0; at += read)
          read = await reader.read(into, 0, into.length, at);
      };
      await assert.rejects(readAll(), { code: /^Z_/ });
      reader.close();
    }
  }
});
