import { programCommand, projectRoot, startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const guide = "docs/migrate-from-flume.md";

for (const { name, agent, says } of [
  { name: "collector", agent: "collector", says: /at least once: avro -> file -> avro/ },
  { name: "collector-tls", agent: "collector", says: /at least once: avro -> file -> avro/ },
  { name: "edge", agent: "edge", says: /at least once: spooldir -> file -> avro/ },
  { name: "drain", agent: "edge", says: /note: .*its sinks only drain what it holds/ },
]) {
  const path = `deploy/agents/migrate/${name}.conf`;
  void test(`${path} passes check, and the guide names it`, async (t) => {
    const words = ["check", "-f", join(projectRoot, path), "-n", agent];
    const run = startChild(t, { command: [...programCommand("cli/main"), ...words] });
    assert.deepEqual(await run.exited(), { code: 0, signal: null }, run.output());
    assert.match(run.output(), says);
    assert.doesNotMatch(run.output(), /^(error|warning):/m);
    const text = await readFile(join(projectRoot, guide), "utf8");
    assert.ok(text.includes(`(../${path})`), `${guide} does not link it`);
  });
}

for (const path of [
  "test/conformance/java/LevelInterceptor.java",
  "test/conformance/port/level-interceptor.ts",
]) {
  void test(`${guide} shows ${path} as it is tested`, async () => {
    const text = await readFile(join(projectRoot, guide), "utf8");
    const shown = (await readFile(join(projectRoot, path), "utf8")).trim();
    assert.ok(text.includes(shown), "the text differs");
  });
}
