import { programCommand, projectRoot, startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

const files = [
  { path: "deploy/agents/quickstart/edge.conf", agent: "edge", promise: /at least once/ },
  { path: "deploy/agents/quickstart/collector.conf", agent: "collector", promise: /at least once/ },
  { path: "deploy/compose/edge.conf", agent: "edge", promise: /at least once/ },
  { path: "deploy/compose/collector.conf", agent: "collector", promise: /at least once/ },
  { path: "examples/seed/flume.conf", agent: "a1", promise: /source1 -> c1 -> sink1/ },
];

for (const { path, agent, promise } of files) {
  void test(`${path} passes check as it stands, and check says what it promises`, async (t) => {
    const words = ["check", "-f", join(projectRoot, path), "-n", agent];
    const run = startChild(t, { command: [...programCommand("cli/main"), ...words] });
    assert.deepEqual(await run.exited(), { code: 0, signal: null }, run.output());
    assert.match(run.output(), promise);
    assert.doesNotMatch(run.output(), /^(error|warning|note):/m);
  });
}
