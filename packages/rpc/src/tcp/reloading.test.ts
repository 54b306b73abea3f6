import { MillraceError, systemRuntime } from "@millrace/core";
import { createCollectingLog, createFakeClock, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createReloading } from "./reloading.ts";

async function setUp(t: TestContext) {
  const directory = await tempDirectory(t);
  const path = join(directory, "file");
  await writeFile(path, "one");
  const clock = createFakeClock();
  const log = createCollectingLog();
  let reads = 0;
  let stats = 0;
  let why: string | undefined;
  const { files } = systemRuntime;
  const reloading = createReloading({
    paths: [path],
    what: "the file",
    files: {
      ...files,
      stat(asked) {
        stats++;
        return files.stat(asked);
      },
    },
    clock,
    log,
    async read() {
      reads++;
      if (why !== undefined) throw new MillraceError("TLS_STORE_INVALID", why);
      const text = await readFile(path, "utf8");
      if (text === "bad") throw new MillraceError("TLS_STORE_INVALID", "it is bad");
      return text;
    },
  });
  const counts = () => [reads, stats];
  /** From now on it cannot be read, for this reason. */
  const fail = (reason: string | undefined) => void (why = reason);
  return { directory, path, clock, log, reloading, counts, fail };
}

test("files are looked at every few seconds and read only when they have changed", async (t) => {
  const { path, clock, reloading, counts, log } = await setUp(t);
  assert.deepEqual(await Promise.all([reloading.current(), reloading.current()]), ["one", "one"]);
  assert.deepEqual(counts(), [1, 1]);
  await writeFile(path, "three");
  assert.equal(await reloading.current(), "one");
  assert.deepEqual(counts(), [1, 1]);
  await clock.advance(3000);
  assert.equal(await reloading.current(), "three");
  assert.deepEqual(counts(), [2, 2]);
  await clock.advance(3000);
  assert.equal(await reloading.current(), "three");
  assert.deepEqual(counts(), [2, 3]);
  assert.deepEqual(log.lines.map(({ level }) => level), ["info"]); // prettier-ignore
});

test("a change of time, or another file under the name, is a change too", async (t) => {
  const { directory, path, clock, reloading, counts } = await setUp(t);
  await reloading.current();
  await utimes(path, 1, 1);
  await clock.advance(3000);
  await reloading.current();
  assert.deepEqual(counts(), [2, 2]);
  const other = join(directory, "other");
  await writeFile(other, "two");
  await utimes(other, 1, 1);
  await rename(other, path);
  await clock.advance(3000);
  assert.equal(await reloading.current(), "two");
});

test("what is bad is not taken, is said once, and is tried again at each look", async (t) => {
  const { path, clock, reloading, log, counts } = await setUp(t);
  await reloading.current();
  await writeFile(path, "bad");
  for (let i = 0; i < 3; i++) {
    await clock.advance(3000);
    assert.equal(await reloading.current(), "one");
  }
  assert.deepEqual(counts(), [4, 4]);
  assert.deepEqual(
    log.lines.map(({ level, message }) => [level, message]),
    [["error", "the file has changed and cannot be used, the old one stays: it is bad"]],
  );
  await writeFile(path, "good");
  await clock.advance(3000);
  assert.equal(await reloading.current(), "good");
});

test("what could not be read is taken when it can, though its file has not changed since", async (t) => {
  const { path, clock, reloading, log, fail } = await setUp(t);
  await reloading.current();
  await writeFile(path, "renewed");
  fail("not valid before noon");
  await clock.advance(3000);
  assert.equal(await reloading.current(), "one");
  fail(undefined);
  await clock.advance(3000);
  assert.equal(await reloading.current(), "renewed");
  assert.deepEqual(log.lines.map(({ level }) => level), ["error", "info"]); // prettier-ignore
});

test("what has never been good is thrown each time, and tried each time", async (t) => {
  const { path, reloading, counts } = await setUp(t);
  await writeFile(path, "bad");
  await assert.rejects(reloading.current(), { code: "TLS_STORE_INVALID" });
  await assert.rejects(reloading.current(), { code: "TLS_STORE_INVALID" });
  assert.equal(counts()[0], 2);
  await writeFile(path, "good");
  assert.equal(await reloading.current(), "good");
});
