import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../scripts/generate/all.ts";

test("docs/metrics.md has every metric that the product's code names", async () => {
  const page = await readFile(join(root, "docs/metrics.md"), "utf8");
  const listed = new Set([...page.matchAll(/^\| `(millrace_\w+)`/gm)].map(([, name]) => name));
  const packages = await readdir(join(root, "packages"), { recursive: true });
  const product = packages.filter((path) => {
    return /^(?!testing)[a-z-]+\/src\/.*\.ts$/.test(path) && !path.endsWith(".test.ts");
  });
  const named = new Set<string>();
  for (const path of product) {
    const code = await readFile(join(root, "packages", path), "utf8");
    for (const [, name = ""] of code.matchAll(/"(millrace_[a-z_]+)"/g)) named.add(name);
  }
  assert.ok(named.size > 50, `${named.size} names were found`);
  assert.deepEqual(
    [...named].filter((name) => !listed.has(name)),
    [],
  );
});
