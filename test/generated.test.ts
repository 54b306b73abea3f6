import assert from "node:assert/strict";
import { test } from "node:test";
import { generateAll, staleFiles } from "../scripts/generate/all.ts";
import { componentFiles, newKinds } from "../scripts/new/templates.ts";

test("generated files are what the generator would write now", async () => {
  const files = await generateAll();
  assert.ok(files.size > 15, `the generator knows ${files.size} files only`);
  assert.deepEqual(await staleFiles(), [], "run: npm run generate");
});

test("a new component is a folder with the five files of every component", () => {
  for (const kind of Object.keys(newKinds) as (keyof typeof newKinds)[]) {
    const names = [...componentFiles(kind, "my-thing").keys()];
    assert.deepEqual(names, [
      "options.ts",
      "index.ts",
      "my-thing.ts",
      "my-thing.test.ts",
      "README.md",
    ]);
  }
});
