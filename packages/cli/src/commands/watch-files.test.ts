import { generationOf } from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  settle,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { watchFiles } from "./watch-files.ts";

async function watching(context: TestContext, paths: readonly string[]) {
  const fake = createFakeClock();
  let waits = 0;
  const clock = {
    ...fake,
    setTimer: (ms: number, fire: () => void) => (waits++, fake.setTimer(ms, fire)),
  };
  const log = createCollectingLog();
  const taken: string[] = [];
  const read = () => Promise.all(paths.map((path) => readFile(path)));
  const watch = watchFiles({
    paths,
    known: generationOf(await read()),
    pollIntervalMs: 30_000,
    runtime: { clock, files: systemRuntime.files },
    log,
    changed: async () => void taken.push(Buffer.concat(await read()).toString()),
  });
  context.after(() => watch.stop());
  await waitFor("the first look", () => waits === 1);
  /** Lets the time pass, and waits until the files have been looked at behind it. */
  const after = async (ms: number) => {
    const before = waits;
    await clock.advance(ms);
    await waitFor("a look", () => waits > before);
  };
  return { after, taken, watch, clock, log, waits: () => waits };
}

test("a file that has changed and rests is taken once; one that is only touched is not (T572)", async (t) => {
  const path = join(await tempDirectory(t), "flume.conf");
  await writeFile(path, "a = 1");
  const { after, taken } = await watching(t, [path]);
  await utimes(path, 1, 1);
  await after(30_000);
  assert.deepEqual(taken, []);
  await writeFile(path, "a = 2");
  await utimes(path, 1, 1);
  await after(30_000);
  assert.deepEqual(taken, [], "it must rest first");
  await after(1000);
  assert.deepEqual(taken, ["a = 2"]);
  await after(30_000);
  assert.deepEqual(taken, ["a = 2"]);
  await writeFile(path, "a = 1");
  await after(30_000);
  await after(1000);
  assert.deepEqual(taken, ["a = 2", "a = 1"], "an older file that is put back is a change");
});

test("a file that is still written, or missing for a moment, is not taken before it rests", async (t) => {
  const path = join(await tempDirectory(t), "flume.conf");
  await writeFile(path, "a = 1");
  const { after, taken, log } = await watching(t, [path]);
  await writeFile(path, "a = 2\nb");
  await after(30_000);
  await writeFile(path, "a = 2\nb = ");
  await after(1000);
  await writeFile(path, "a = 2\nb = 3");
  await after(1000);
  assert.deepEqual(taken, []);
  await after(1000);
  assert.deepEqual(taken, ["a = 2\nb = 3"]);
  await rm(path);
  await after(30_000);
  await after(30_000);
  await writeFile(path, "a = 4");
  await after(30_000);
  await after(1000);
  assert.deepEqual(taken, ["a = 2\nb = 3", "a = 4"]);
  assert.equal(log.lines.filter(({ level }) => level === "warn").length, 1, "said once");
});

test("the links of a ConfigMap that turn to another directory are a change of all its files", async (t) => {
  const directory = await tempDirectory(t);
  const version = async (name: string, text: string) => {
    await mkdir(join(directory, name));
    await writeFile(join(directory, name, "edge.conf"), text);
    await writeFile(join(directory, name, "more.conf"), `# ${text}`);
  };
  await version("..1", "a = 1");
  await symlink("..1", join(directory, "..data"));
  const paths = ["edge.conf", "more.conf"].map((name) => join(directory, name));
  for (const path of paths) await symlink(join("..data", path.slice(directory.length + 1)), path);
  const { after, taken } = await watching(t, paths);
  await version("..2", "a = 2");
  await symlink("..2", join(directory, "..data_tmp"));
  await rename(join(directory, "..data_tmp"), join(directory, "..data"));
  await rm(join(directory, "..1"), { recursive: true });
  await after(30_000);
  await after(1000);
  assert.deepEqual(taken, ["a = 2# a = 2"]);
});

test("a watch that was stopped looks no more", async (t) => {
  const path = join(await tempDirectory(t), "flume.conf");
  await writeFile(path, "a = 1");
  const { watch, clock, taken, waits } = await watching(t, [path]);
  watch.stop();
  await writeFile(path, "a = 2");
  const before = waits();
  await clock.advance(100_000);
  await readFile(path);
  await settle();
  assert.deepEqual([taken, waits()], [[], before]);
});
