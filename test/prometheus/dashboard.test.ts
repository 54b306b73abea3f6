/** Every query of the dashboard, asked of a real Prometheus that scrapes an edge and a collector at work. */
import { createTestAuthority, freePort, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findGoProgram } from "../harness/go-program.ts";
import { prometheusProgram } from "../harness/go-programs.ts";
import { queriesOf, readDashboard } from "./harness/dashboard.ts";
import { avroSink, avroSource } from "./harness/page-scenarios.ts";
import { startPrometheus } from "./harness/prometheus-server.ts";
import { createSender, createStage, type Stage } from "./harness/stage.ts";

/** What has no data where all is well, and why. */
const expectedEmpty: Readonly<Record<string, string>> = {
  annotations: "no alert fires",
  "Full in A": "no channel fills",
};

void test("every query of the dashboard has data where agents work", async (t) => {
  const binary = findGoProgram(t, prometheusProgram);
  if (binary === undefined) return;
  const prometheus = await startPrometheus(t, binary, "groups: []\n");
  const stage = await createStage(t, prometheus, new Set());
  const log = await startTiers(stage);
  const queries = queriesOf(readDashboard());
  assert.ok(queries.length > 45, String(queries.length));

  const hasData = async ({ expr }: { expr: string }): Promise<boolean> => {
    await appendFile(log, "a line\n");
    const samples = await prometheus.query(expr);
    return samples.some(({ value: [, value] }) => value !== "NaN");
  };
  for (const query of queries) {
    if (query.of in expectedEmpty) {
      assert.ok(!(await hasData(query)), `${query.of} is not empty: ${query.expr}`);
    } else {
      await waitFor(`data for ${query.of}: ${query.expr}`, () => hasData(query), 60_000);
    }
  }
  assert.ok(Object.keys(expectedEmpty).every((of) => queries.some((query) => query.of === of)));
});

/** An edge that tails a file and has two ways to a collector, which takes TLS as well and has a direct channel. */
async function startTiers(stage: Stage): Promise<string> {
  const { test, folder } = stage;
  const [port, spool] = [await freePort(), join(folder, "spool")];
  const { chainPem, keyPem } = createTestAuthority().issue({ commonName: "collector" });
  await writeFile(join(folder, "tls.pem"), keyPem + chainPem);
  await mkdir(spool);
  await stage.agent(
    "collector",
    `${avroSource("collector", port, "direct")}
collector.sources = in tls
collector.sources.tls.type = avro
collector.sources.tls.bind = 127.0.0.1
collector.sources.tls.port = ${await freePort()}
collector.sources.tls.channels = direct
collector.sources.tls.ssl = true
collector.sources.tls.keystore = ${join(folder, "tls.pem")}
collector.sources.tls.keystore-type = PEM
collector.channels.direct.type = direct
collector.sinks = k
collector.sinks.k.type = null
collector.sinks.k.channel = direct
`,
    "collector",
  );
  const edgePort = await freePort();
  const log = join(folder, "app.log");
  await writeFile(log, "");
  await stage.agent(
    "edge",
    `${avroSource("edge", edgePort, "disk")}
edge.sources = in lines
edge.sources.lines.type = TAILDIR
edge.sources.lines.filegroups = all
edge.sources.lines.filegroups.all = ${folder}/.*[.]log
edge.sources.lines.positionFile = ${join(folder, "positions.json")}
edge.sources.lines.channels = disk
edge.channels.disk.type = file
edge.channels.disk.dataDirs = ${join(folder, "channel")}
edge.sinks = near spare
${avroSink("edge", "near", "disk", port)}
${avroSink("edge", "spare", "disk", port)}
edge.sinkgroups = g
edge.sinkgroups.g.sinks = near spare
edge.sinkgroups.g.processor.type = load_balance
`,
    "edge",
  );
  (await createSender(test, edgePort)).run();
  return log;
}
