import {
  type EventSerializer,
  type FileSystem,
  nodeFileSystem,
  systemRuntime,
} from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  numberedBatch,
  optionsOf,
  sinkContext,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createFileRollSink } from "./file-roll.ts";
import { options } from "./options.ts";
import { Retention } from "./retention.ts";

const never = new AbortController().signal;
const startMs = 1_700_000_000_000;

const lines = (): EventSerializer => ({
  header: () => Buffer.alloc(0),
  write: ({ body }, into) => void into.push(body, Buffer.from("\n")),
  footer: () => Buffer.alloc(0),
});

/** Files of ten bytes in a directory, the first one the oldest. */
async function given(
  t: TestContext,
  names: readonly string[],
  properties: Record<string, string> = {},
  files: Partial<FileSystem> = {},
) {
  const directory = await tempDirectory(t);
  await mkdir(join(directory, "sub"));
  for (const [age, name] of names.entries()) {
    await writeFile(join(directory, name), "x".repeat(10));
    await utimes(join(directory, name), 1_600_000_000 + age, 1_600_000_000 + age);
  }
  const values = optionsOf(options, { "sink.directory": directory, ...properties });
  const { retentionBytes = 25 } = values;
  const log = createCollectingLog();
  const retention = new Retention(
    { ...values, retentionBytes },
    { ...nodeFileSystem, ...files },
    log,
  );
  const left = async (): Promise<string[]> => {
    const found = await readdir(directory, { recursive: true });
    return found.filter((name) => name !== "sub").sort();
  };
  return { retention, log, left, directory };
}

const own = (n: number): string => `${startMs}-${n}`;

void test("what is not of this sink's names stays, whatever it holds", async (t) => {
  const others = [
    ...[`a-${own(1)}`, `${own(1)}.log`, `${own(1)}-1`, "1700-1", `sub/${own(1)}`, "notes"],
    ...[`${own(1)}.`, ` ${own(1)}`, `${own(1)}\n`, "170000000000012-1"],
  ];
  const { retention, left, directory } = await given(t, [...others, own(1), own(2), own(3)]);
  await mkdir(join(directory, own(4)));
  assert.equal(await retention.keep(), 1);
  assert.deepEqual(await left(), [...others, own(2), own(3), own(4)].sort());
});

void test("an old file that cannot be removed does not keep those behind it", async (t) => {
  const unlink = (path: string): Promise<void> =>
    path.endsWith(own(1))
      ? Promise.reject(Object.assign(new Error("EPERM: not this one"), { code: "EPERM" }))
      : nodeFileSystem.unlink(path);
  const { retention, left, log } = await given(t, [1, 2, 3, 4].map(own), {}, { unlink });
  assert.equal(await retention.keep(), 2);
  assert.deepEqual(await left(), [own(1), own(4)]);
  assert.equal(await retention.keep(), 0);
  const warned = log.lines.filter(({ level }) => level === "warn");
  assert.equal(warned.length, 1, "it is said once");
});

void test("a file that somebody else removes meanwhile is no trouble", async (t) => {
  const gone = Object.assign(new Error("ENOENT"), { code: "ENOENT" });
  const stat = (path: string) =>
    path.endsWith(own(2)) ? Promise.reject(gone) : nodeFileSystem.stat(path);
  const unlink = (path: string) =>
    path.endsWith(own(1)) ? Promise.reject(gone) : nodeFileSystem.unlink(path);
  const { retention, log } = await given(t, [1, 2, 3, 4].map(own), {}, { stat, unlink });
  assert.equal(await retention.keep(), 0);
  assert.deepEqual(log.lines, []);
});

void test("the newest file stays, though it alone holds more", async (t) => {
  const { retention, left } = await given(t, [own(1), own(2)], { "sink.retentionBytes": "5" });
  assert.equal(await retention.keep(), 1);
  assert.deepEqual(await left(), [own(2)]);
});

void test("files in a subdirectory, where the prefix says so, are kept within the bytes as well", async (t) => {
  const names = [1, 2, 3, 4].map((n) => `sub/out-${own(n)}`);
  const { retention, left } = await given(t, [...names, "sub/other"], { "sink.pathManager.prefix": "sub/out-" }); // prettier-ignore
  assert.equal(await retention.keep(), 2);
  assert.deepEqual(await left(), ["sub/other", ...names.slice(2)]);
});

void test("a file that another sink of this process writes is not removed", async (t) => {
  const directory = await tempDirectory(t);
  const clock = createFakeClock(startMs);
  const properties = { "sink.directory": directory, "sink.rollInterval": "0" };
  const make = async (more: Record<string, string> = {}) => {
    const context = sinkContext({ runtime: { ...systemRuntime, clock } });
    const sink = createFileRollSink(optionsOf(options, { ...properties, ...more }), context, lines);
    await sink.start(never);
    t.after(() => sink.stop(never));
    return sink;
  };
  const slow = await make();
  await slow.deliver(numberedBatch(1000, 1009), never);
  const [its = ""] = await readdir(directory);
  const busy = await make({ "sink.retentionBytes": "100" });
  for (let n = 0; n < 5; n++) await busy.deliver(numberedBatch(2000, 2009), never);
  await slow.deliver(numberedBatch(3000, 3001), never);
  assert.match(await readFile(join(directory, its), "utf8"), /\n3000\n3001\n$/);
  await slow.stop(never);
  await busy.deliver(numberedBatch(2000, 2009), never);
  assert.ok(!(await readdir(directory)).includes(its), "closed, it is one of them");
});
