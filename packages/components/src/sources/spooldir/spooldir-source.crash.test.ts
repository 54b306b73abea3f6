import { type EventBatch, type PollableSource, systemRuntime } from "@millrace/core";
import {
  createFailingFiles,
  createSeededRandom,
  type FailingFiles,
  optionsOf,
  partMaker,
  sourceContext,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { deserializer } from "../../deserializers/line/index.ts";
import { source as definition } from "./index.ts";

const never = new AbortController().signal;
const batchSize = 2;
const contents = [
  ["a", "a1\na2\na3\na4\na5\na6"],
  ["b", ""],
  ["c", "c1\n"],
] as const;
const lines = ["a1", "a2", "a3", "a4", "a5", "a6", "", "c1"];

const policies: readonly { policy: Record<string, string>; left: readonly string[] }[] = [
  { policy: {}, left: ["a.COMPLETED", "b.COMPLETED", "c.COMPLETED"] },
  { policy: { deletePolicy: "immediate" }, left: [] },
  {
    policy: { trackingPolicy: "tracker_dir", consumeOrder: "youngest" },
    left: ["a", "b", "c"],
  },
];

async function fill(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir);
  for (const [index, [name, content]] of contents.entries()) {
    await writeFile(join(dir, name), content);
    await utimes(join(dir, name), index, index);
  }
}

/**
 * Runs a source until it finds nothing more or something throws. Batches the channel took go to
 * `taken`; the commit itself is two steps of `files`, before and after the channel has the batch.
 */
async function run(
  dir: string,
  policy: Record<string, string>,
  files: FailingFiles,
  taken: EventBatch[],
): Promise<"finished" | "crashed"> {
  const context = sourceContext({
    runtime: { ...systemRuntime, files },
    makePart: partMaker(deserializer),
    channelProcessor: {
      processEventBatch(batch) {
        files.step();
        taken.push(batch);
        files.step();
        return Promise.resolve();
      },
    },
  });
  const properties = { spoolDir: dir, batchSize: String(batchSize), ...policy };
  const options = optionsOf(definition.options, properties);
  const source = (await definition.create(options, context)) as PollableSource;
  try {
    await source.start(never);
    while ((await source.poll(never)) === "ready");
  } catch (error) {
    if (files.failures === 0) throw error;
  } finally {
    await source.stop(never);
    assert.deepEqual(
      context.log.lines.filter(({ level }) => level === "error"),
      [],
    );
  }
  return files.failures === 0 ? "finished" : "crashed";
}

function textsOf(batches: readonly EventBatch[]): string[] {
  return batches.flatMap((batch) => [...batch].map((event) => event.body.toString()));
}

for (const { policy, left } of policies) {
  void test(`a crash between any two steps loses nothing and repeats one batch at most ${JSON.stringify(policy)}`, async (test) => {
    const dir = join(await tempDirectory(test), "spool");
    const random = createSeededRandom(11);
    let crashes = 0;
    let repeats = 0;
    for (let diesAt = 1; ; diesAt++) {
      await fill(dir);
      const taken: EventBatch[] = [];
      const dying = createFailingFiles(systemRuntime.files, (n) => n >= diesAt);
      if ((await run(dir, policy, dying, taken)) === "finished") break;
      crashes++;
      // Every third time the next run crashes too.
      const diesAgainAt = random.integer(3) === 0 ? 1 + random.integer(60) : Infinity;
      const dyingAgain = createFailingFiles(systemRuntime.files, (n) => n >= diesAgainAt);
      const isTwice = (await run(dir, policy, dyingAgain, taken)) === "crashed";
      if (isTwice) {
        const sound = createFailingFiles(systemRuntime.files, () => false);
        assert.equal(await run(dir, policy, sound, taken), "finished");
      }
      const seen = textsOf(taken);
      assert.deepEqual([...new Set(seen)].sort(), [...lines].sort(), `died at ${diesAt}`);
      const extra = seen.length - lines.length;
      assert.ok(extra <= batchSize * (isTwice ? 2 : 1), `died at ${diesAt}: ${extra} repeats`);
      const firsts = [...new Set(seen.filter((text) => text.startsWith("a")))];
      assert.deepEqual(firsts, lines.slice(0, 6), "in order");
      const visible = (await readdir(dir)).filter((name) => !name.startsWith(".")).sort();
      assert.deepEqual(visible, left, `died at ${diesAt}`);
      repeats += extra;
    }
    assert.ok(crashes > 50, `${crashes} crashes`);
    assert.ok(repeats > 0, "a crash behind a commit repeats its batch");
  });

  void test(`any one operation that fails once is made up for in the same process ${JSON.stringify(policy)}`, async (test) => {
    const dir = join(await tempDirectory(test), "spool");
    let failures = 0;
    for (let failsAt = 1; ; failsAt++) {
      await fill(dir);
      const files = createFailingFiles(systemRuntime.files, (n) => n === failsAt);
      const context = sourceContext({
        runtime: { ...systemRuntime, files },
        makePart: partMaker(deserializer),
      });
      const properties = { spoolDir: dir, batchSize: String(batchSize), ...policy };
      const options = optionsOf(definition.options, properties);
      const source = (await definition.create(options, context)) as PollableSource;
      await source.start(never).catch(() => source.start(never));
      for (let answer = "ready"; answer === "ready";) {
        answer = await source.poll(never).catch(() => "ready");
      }
      await source.stop(never);
      if (files.failures === 0) break;
      failures++;
      assert.deepEqual(textsOf(context.batches).sort(), [...lines].sort(), `failed at ${failsAt}`);
      const visible = (await readdir(dir)).filter((name) => !name.startsWith(".")).sort();
      assert.deepEqual(visible, left, `failed at ${failsAt}`);
    }
    assert.ok(failures > 50, `${failures} failures`);
  });
}
