/** What alerts and the dashboard ask for is what agents show; and the dashboard is in order. */
import {
  createAgentProcess,
  createTestAuthority,
  freePort,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Panel, queriesOf, readDashboard } from "../prometheus/harness/dashboard.ts";
import { labelNames, metricNames } from "../prometheus/harness/promql-names.ts";
import { readRules } from "../prometheus/harness/rules.ts";

/** Of Prometheus itself, and of kube-state-metrics. */
const ofOthers = /^(up|ALERTS|kube_(daemonset|statefulset|deployment)_\w+)$/;
/** Added by a scrape, by Prometheus or by kube-state-metrics. */
const labelsOfOthers = new Set([
  ...["job", "instance", "namespace", "cluster", "daemonset", "statefulset", "deployment"],
  ...["alertname", "alertstate", "generation", "le", "__name__"],
  // The chart's monitors give it to every target: podTargetLabels.
  "app_kubernetes_io_instance",
]);

void test("names are found in an expression", () => {
  const expr = `max by (pod, a) (rate(x_total{b="c(d", e=~"f"}[5m])) / on (g) group_left (h) (0 * y:z + 1e3) > 0.5
    unless label_replace(w offset 5m, "i", "$1", "j", "(.*)") < 3 or {__name__=~"k|l"}`;
  assert.deepEqual([...metricNames(expr)].sort(), ["k", "l", "w", "x_total", "y:z"]);
  assert.deepEqual(
    [...labelNames(expr)].sort(),
    ["__name__", "a", "b", "e", "g", "h", "pod"].sort(),
  );
});

void test("agents show every metric and every label that alerts and the dashboard ask for", async (t) => {
  const folder = await tempDirectory(t);
  const configFile = join(folder, "a1.conf");
  const { chainPem, keyPem } = createTestAuthority().issue({ commonName: "a1" });
  await writeFile(join(folder, "tls.pem"), keyPem + chainPem);
  await mkdir(join(folder, "spool"));
  await writeFile(configFile, await everything(folder));
  const agent = await createAgentProcess(t, {
    name: "a1",
    configFile,
    defines: { "flume.monitoring.type": "prometheus", "millrace.role": "edge" },
  });
  await agent.start();
  const response = await fetch(`http://127.0.0.1:${agent.monitoringPort}/metrics`);
  const text = await response.text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const shown = new Set(lines.map((line) => /^[^{ ]+/.exec(line)?.[0] ?? ""));
  const labels = new Set(
    [...lines.join("\n").matchAll(/[{,](\w+)="/g)].map(([, name = ""]) => name),
  );

  const asked = [
    ...readRules().map(({ alert, expr }) => ({ of: alert, expr })),
    ...queriesOf(readDashboard()),
  ];
  const missing: string[] = [];
  const seen = new Set<string>();
  for (const { of, expr } of asked) {
    for (const name of metricNames(expr)) {
      seen.add(name);
      if (!shown.has(name) && !ofOthers.test(name)) missing.push(`${of}: ${name}`);
    }
    for (const name of labelNames(expr)) {
      if (!labels.has(name) && !labelsOfOthers.has(name)) missing.push(`${of}: label ${name}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(seen.size > 35, [...seen].join(" "));
});

void test("the dashboard's panels have a number, a title, a place and a description each", () => {
  const { panels, schemaVersion, uid, templating } = readDashboard();
  assert.ok(schemaVersion >= 41);
  assert.equal(uid, "millrace");
  assert.ok(panels.length > 30);
  for (const key of ["id", "title"] as const) {
    const values = panels.map((panel) => panel[key]);
    assert.equal(new Set(values).size, values.length, `two panels have one ${key}`);
  }
  const names = templating.list.map(({ name }) => name);
  assert.deepEqual(names, ["datasource", "role", "agent", "instance", "component"]);
  for (const panel of panels) {
    const { title, type, gridPos, description = "", targets = [], datasource } = panel;
    assert.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.x + gridPos.w <= 24, title);
    for (const other of panels) {
      assert.ok(other === panel || !overlap(panel, other), `${title} lies on ${other.title}`);
    }
    if (type === "row") continue;
    assert.ok(description.length > 30, `${title} is not described`);
    assert.equal(datasource?.uid, "${datasource}", title);
    assert.ok(targets.length > 0, title);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (const { expr } of targets) {
      for (const [, used = ""] of expr.matchAll(/\$(\w+)/g)) {
        assert.ok(names.includes(used) || used.startsWith("__"), `${title} asks for $${used}`);
      }
    }
  }
});

function overlap({ gridPos: one }: Panel, { gridPos: two }: Panel): boolean {
  const apart =
    one.x + one.w <= two.x || two.x + two.w <= one.x || one.y + one.h <= two.y || two.y + two.h <= one.y; // prettier-ignore
  return !apart;
}

/** An agent with a component of each kind that shows metrics of its own. */
async function everything(folder: string): Promise<string> {
  return `
a1.sources = in lines files
a1.channels = disk direct memory
a1.sinks = near far k1 k2
a1.sources.in.type = avro
a1.sources.in.bind = 127.0.0.1
a1.sources.in.port = ${await freePort()}
a1.sources.in.channels = disk
a1.sources.in.ssl = true
a1.sources.in.keystore = ${join(folder, "tls.pem")}
a1.sources.in.keystore-type = PEM
a1.sources.lines.type = TAILDIR
a1.sources.lines.filegroups = all
a1.sources.lines.filegroups.all = ${folder}/.*[.]log
a1.sources.lines.positionFile = ${join(folder, "positions.json")}
a1.sources.lines.channels = direct
a1.sources.files.type = spooldir
a1.sources.files.spoolDir = ${join(folder, "spool")}
a1.sources.files.channels = memory
a1.channels.disk.type = file
a1.channels.disk.dataDirs = ${join(folder, "channel")}
a1.channels.direct.type = direct
a1.channels.memory.type = memory
${["near", "far"]
  .map(
    (name) => `
a1.sinks.${name}.type = avro
a1.sinks.${name}.channel = disk
a1.sinks.${name}.hostname = 127.0.0.1
a1.sinks.${name}.port = 9`,
  )
  .join("\n")}
a1.sinkgroups = g
a1.sinkgroups.g.sinks = near far
a1.sinkgroups.g.processor.type = failover
a1.sinkgroups.g.processor.priority.near = 10
a1.sinkgroups.g.processor.priority.far = 5
a1.sinks.k1.type = null
a1.sinks.k1.channel = direct
a1.sinks.k2.type = null
a1.sinks.k2.channel = memory
`;
}
