import { appendFile, mkdir, mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { nodeFileSystem } from "../runtime/node-file-system.ts";
import { createLineSplitter } from "./line-splitter.ts";
import { createLineTail } from "./line-tail.ts";
import { createOutputTail, type OutputTail } from "./output-tail.ts";

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "millrace-audit-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

void test("the splitter finds the same lines and offsets however the bytes are cut", () => {
  const text = Buffer.from("one\n\ntwo\r\nthr\ree\nunfinished");
  const want = [
    ["one", 0, 4],
    ["", 4, 5],
    ["two", 5, 10],
    ["thr\ree", 10, 17],
  ];
  for (let size = 1; size <= text.length; size++) {
    const splitter = createLineSplitter();
    const found: unknown[] = [];
    for (let at = 0; at < text.length; at += size) {
      splitter.push(text.subarray(at, at + size), (line, start, end) =>
        found.push([line.toString(), start, end]),
      );
    }
    assert.deepEqual(found, want, `chunks of ${size}`);
    assert.equal(splitter.pendingBytes, "unfinished".length);
  }
});

void test("a line tail reads what was gained, and a half line once it is whole", async (t) => {
  const path = join(await directory(t), "app.log");
  const tail = createLineTail(nodeFileSystem, path);
  const found: string[] = [];
  const read = (upTo?: number): Promise<string> =>
    tail.read((line, start, end) => found.push(`${start}-${end} ${line}`), upTo);
  assert.equal(await read(), "missing");
  await writeFile(path, "one\ntw");
  await read();
  assert.equal(tail.pendingBytes, 2);
  await appendFile(path, "o\nthree\n");
  await read(8);
  await read();
  assert.deepEqual(found, ["0-4 one", "4-8 two", "8-14 three"]);
});

void test("a line tail stops when its file shrinks or is another one", async (t) => {
  const folder = await directory(t);
  for (const damage of ["truncated", "rotated"]) {
    const path = join(folder, damage);
    await writeFile(path, "one\ntwo\n");
    const tail = createLineTail(nodeFileSystem, path);
    let lines = 0;
    assert.equal(await tail.read(() => lines++), "read");
    if (damage === "truncated") await truncate(path, 3);
    else {
      await rename(path, `${path}.1`);
      await writeFile(path, "one\ntwo\nthree\n");
    }
    assert.equal(await tail.read(() => lines++), "replaced");
    await appendFile(path, "four\nfive\nsix\nseven\n");
    assert.equal(await tail.read(() => lines++), "replaced");
    assert.equal(lines, 2);
  }
});

void test("an output tail reads files in the order they were made and sees torn last lines", async (t) => {
  const folder = await directory(t);
  const output: OutputTail = createOutputTail(nodeFileSystem, join(folder, "out"));
  const found: string[] = [];
  const read = async (): Promise<void> =>
    output.read(await output.sizes(), (line, where) =>
      found.push(`${line} ${where.slice(folder.length + 5)}`),
    );
  await read();
  assert.equal(output.fileCount, 0);
  await mkdir(join(folder, "out", "a directory"), { recursive: true });
  await writeFile(join(folder, "out", "1700-10"), "c\nto");
  await writeFile(join(folder, "out", "1700-9"), "a\nb\n");
  await writeFile(join(folder, "out", "1699-11"), "first\n");
  await read();
  assert.deepEqual(found, ["first 1699-11:1", "a 1700-9:1", "b 1700-9:2", "c 1700-10:1"]);
  assert.deepEqual([output.fileCount, output.tornLines], [3, 1]);
  const sizes = await output.sizes();
  await appendFile(join(folder, "out", "1700-10"), "rn\nlater\n");
  await output.read(sizes, () => assert.fail("nothing was there when the sizes were taken"));
  await read();
  assert.deepEqual(found.slice(4), ["torn 1700-10:2", "later 1700-10:3"]);
  assert.equal(output.tornLines, 0);
});
