import { programCommand, projectRoot, startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

const files = [
  { path: "deploy/agents/quickstart/edge.conf", agent: "edge", promise: /at least once/ },
  { path: "deploy/agents/quickstart/collector.conf", agent: "collector", promise: /at least once/ },
  { path: "deploy/compose/edge.conf", agent: "edge", promise: /at least once/ },
  { path: "deploy/compose/collector.conf", agent: "collector", promise: /at least once/ },
  {
    path: "deploy/agents/tiers/edge-failover.conf",
    agent: "edge",
    promise: /at least once: taildir -> file -> avro; order kept only while collectors stays/,
  },
  {
    path: "deploy/agents/tiers/edge-balance.conf",
    agent: "edge",
    promise: /at least once.*; order not kept: collectors: .* several sinks at once; collector-1, /,
  },
  {
    path: "deploy/agents/tiers/regional.conf",
    agent: "regional",
    promise:
      /at least once.*; order not kept: central-1, central-2: it has up to 4 batches in flight/,
  },
  {
    path: "deploy/agents/tiers/regional-direct.conf",
    agent: "regional",
    promise: /at least once: avro -> direct -> avro/,
  },
  { path: "deploy/agents/tiers/central.conf", agent: "central", promise: /at least once/ },
  { path: "deploy/agents/tiers/edge-mixed.conf", agent: "edge", promise: /at least once/ },
  { path: "examples/plugins/flume.conf", agent: "a1", promise: /at least once: taildir -> file/ },
  { path: "deploy/agents/discovery/consul-edge.conf", agent: "edge", promise: /at least once/ },
  {
    path: "deploy/agents/discovery/consul-collector.conf",
    agent: "collector",
    promise: /at least once/,
  },
  { path: "deploy/agents/discovery/kubernetes-edge.conf", agent: "edge", promise: /at least once/ },
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
