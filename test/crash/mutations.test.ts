/**
 * Tests of the tests: each rule of the log is taken away in a copy of its code, and the crash tests
 * must fail on it, by a loss, a refusal or a return. Should an edit not match any more, say the same
 * with the code as it is now.
 */
import { projectRoot, startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Mutation, mutations } from "./mutations.ts";

const cache = join(projectRoot, "node_modules", ".cache", "millrace-mutations");

for (const [index, mutation] of mutations.entries()) {
  test(`${mutation.rule}: it is noticed when ${mutation.without}`, async (t) => {
    const folder = await copySources(t, `mutation-${index}`);
    await mutate(folder, mutation);
    const { code, output } = await runIn(t, folder, mutation.run);
    assert.equal(code, 1, `survived: ${output.slice(-2000)}`);
    assert.match(output, mutation.says);
  });
}

test("without a mutation the same runs pass", async (t) => {
  const folder = await copySources(t, "control");
  // One of each kind, and short: the other tests of this suite are the long form of it.
  const runs = new Map(mutations.map(({ run }) => [[run].flat().slice(0, 2).join(), run]));
  for (const run of runs.values()) {
    const words =
      typeof run === "string"
        ? run
        : ([run[0], run[1], 1, run[0] === "enumerate" ? 2 : 40] as const);
    const { code, output } = await runIn(t, folder, words);
    assert.equal(code, 0, output.slice(-2000));
  }
  assert.ok(runs.size >= 5, `${runs.size} kinds`);
});

/** The file channel's sources and the simulation, where `@millrace/*` is found as from here. */
async function copySources(t: TestContext, name: string): Promise<string> {
  const folder = join(cache, `${process.pid}-${name}`);
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "test", "crash"), { recursive: true });
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  for (const path of [
    ["packages", "file-channel", "src"],
    ["test", "crash", "simulate.ts"],
  ]) {
    await cp(join(projectRoot, ...path), join(folder, ...path), { recursive: true });
  }
  return folder;
}

async function mutate(folder: string, { rule, file, find, replace }: Mutation): Promise<void> {
  const path = join(folder, "packages", "file-channel", "src", file);
  const text = await readFile(path, "utf8");
  const pattern = new RegExp(find.trim().split(/\s+/).map(escape).join("\\s+"), "g");
  const found = text.match(pattern)?.length ?? 0;
  assert.equal(found, 1, `the mutation of ${rule} matches ${found} places of ${file}; update it`);
  await writeFile(
    path,
    text.replace(pattern, () => replace),
  );
}

async function runIn(
  t: TestContext,
  folder: string,
  what: Mutation["run"],
): Promise<{ code: number | null; output: string }> {
  const words =
    typeof what === "string"
      ? ["--test-reporter=tap", join(folder, "packages", "file-channel", "src", what)]
      : [join(folder, "test", "crash", "simulate.ts"), ...what.map(String)];
  const child = startChild(t, {
    cwd: folder,
    command: [
      process.execPath,
      "--conditions=millrace-source",
      `--import=${import.meta.resolve("tsx")}`,
      ...words,
    ],
  });
  const { code } = await child.exited(200_000);
  return { code, output: child.output() };
}

function escape(word: string): string {
  return word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
