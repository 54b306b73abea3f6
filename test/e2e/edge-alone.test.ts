/**
 * An edge that starts on a node before anything else is there: no API server, no Consul, no name
 * server, no collector.
 *
 *     lines -> edge: taildir, kubernetes -> file -> failover group
 *                |- near: avro ==> consul://collectors ==> b: avro -> file_roll
 *                '- far:  avro ==> dns://collectors.test ==> a: avro -> file_roll
 */
import {
  type AgentProcess,
  createAgentProcess,
  createConsulAgent,
  createDnsServer,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  createTestCluster,
  freePort,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

void test("an edge without API server, Consul, DNS and collectors starts, reads, keeps, says why, and delivers all when they come", async (t) => {
  const folder = await tempDirectory(t);
  for (const name of ["in", "out-a", "out-b"]) await mkdir(join(folder, name));
  const { server, tokenFile, caFile } = await createTestCluster(t);
  await server.stop();
  const consul = await createConsulAgent();
  t.after(() => consul.stop());
  await consul.stop();
  const dns = await createDnsServer();
  t.after(() => dns.close());
  dns.set("collectors.test", "silence");
  const ports = { a: await freePort(), b: await freePort() };

  const agent = async (name: string, config: string): Promise<AgentProcess> => {
    const configFile = join(folder, `${name}.conf`);
    await writeFile(configFile, config.replaceAll("AGENT", name));
    return createAgentProcess(t, { name, configFile, environment: { NODE_NAME: "n1" } });
  };
  const a = await agent("a", collector(folder, "a", ports.a));
  const b = await agent("b", collector(folder, "b", ports.b));
  const near = `consul://collectors?agent=${consul.address}&wait=1s`;
  const far = `dns://collectors.test:${ports.a}?server=${dns.address}&interval=1s`;
  const meta = { apiServer: server.url, tokenFile, caFile, waitMs: "2000" };
  const edge = await agent("edge", edgeConfig(folder, near, far, meta));
  const oracle = createOracle({
    positionFile: join(folder, "positions.json"),
    outputs: { a: join(folder, "out-a"), b: join(folder, "out-b") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(folder, "in", "web.log")],
    linesPerSecond: 200,
    lineBytes: 100,
    random: createSeededRandom(7),
  });
  t.after(() => writer.close());

  writer.start();
  await edge.start();
  const held = async (): Promise<number> =>
    Number((await edge.metrics())["CHANNEL.disk"]?.["ChannelSize"] ?? 0);
  const holds = (count: number) =>
    waitFor(`${count} events kept`, async () => (await held()) >= count, 60_000);
  await holds(200);
  const reasons = {
    "the API server": / logs\.meta .* not followed: KUBERNETES_UNAVAILABLE .*ECONNREFUSED/,
    Consul: / near consul:.*ECONNREFUSED.*code=DISCOVERY_FAILED/,
    "the name server": / far dns:.*collectors\.test.*code=DISCOVERY_FAILED/,
    "the collectors": /SINK_GROUP_UNAVAILABLE no member of sink group collectors could take/,
  };
  for (const [what, said] of Object.entries(reasons)) {
    await waitFor(`a line about ${what}`, () => said.test(edge.output()), 30_000).catch(
      (error: Error) => {
        throw new Error(`${error.message}; its output:\n${edge.output()}`);
      },
    );
  }

  // A second start finds as little, and what was kept.
  await edge.kill("SIGKILL");
  oracle.fault("SIGKILL of the edge");
  const keptBefore = writer.written;
  await edge.start();
  await holds(Math.min(keptBefore, 800));
  for (const [what, said] of Object.entries(reasons)) {
    const lines = edge
      .output()
      .split("\n")
      .filter((line) => said.test(line));
    assert.ok(lines.length <= 8 * edge.starts, `${what} is told ${lines.length} times`);
  }
  assert.ok(edge.running);

  await a.start();
  dns.set("collectors.test", { addresses: ["127.0.0.1"] });
  await oracle.progress(500, 60_000);
  await consul.listen();
  await b.start();
  consul.put({ ID: "b", Name: "collectors", Tags: [], Address: "127.0.0.1", Port: ports.b });
  const accepted = async (): Promise<number> =>
    Number((await b.metrics())["SOURCE.in"]?.["EventAcceptedCount"] ?? 0);
  await waitFor("the nearer collector to be used", async () => (await accepted()) > 0, 60_000);
  server.put({ name: "web-0", uid: "u-web", node: "n1" });
  await server.listen();
  await waitFor("the API server", async () => (await sample(edge, "millrace_kubernetes_pods")) === 1, 60_000); // prettier-ignore
  assert.ok((await sample(edge, "millrace_kubernetes_pending_total")) > 0, "marked, not dropped");

  oracle.faultsEnded();
  await writer.stop();
  await writer.write(300);
  await oracle.settled(60_000);
  const demands = { lines: 1000, faults: 1, duplicates: 0, tornLinesMax: 0, anyOrder: true };
  t.diagnostic((await oracle.check(demands)).text);
  assert.equal(edge.starts, 2, "it never ended by itself");
});

/** A sample of the agent's metrics; -1 where there is none. */
async function sample({ monitoringPort }: AgentProcess, name: string): Promise<number> {
  const url = `http://127.0.0.1:${monitoringPort}/metrics/prometheus`;
  const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name}{`));
  return line === undefined ? -1 : Number(line.split(" ").at(-1));
}

const edgeConfig = (
  folder: string,
  near: string,
  far: string,
  meta: Readonly<Record<string, string>>,
): string => `
edge.sources = logs
edge.channels = disk
edge.sinks = near far
edge.sinkgroups = collectors
edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = disk
edge.sources.logs.filegroups = web
edge.sources.logs.filegroups.web = ${folder}/in/.*[.]log
edge.sources.logs.headers.web.uid = u-web
edge.sources.logs.positionFile = ${folder}/positions.json
edge.sources.logs.writePosInterval = 500
edge.sources.logs.backoffSleepIncrement = 100
edge.sources.logs.maxBackoffSleep = 500
edge.sources.logs.interceptors = meta
edge.sources.logs.interceptors.meta.type = kubernetes
${Object.entries(meta)
  .map(([key, value]) => `edge.sources.logs.interceptors.meta.${key} = ${value}`)
  .join("\n")}
edge.channels.disk.type = file
edge.channels.disk.checkpointDir = ${folder}/checkpoint
edge.channels.disk.dataDirs = ${folder}/data
edge.channels.disk.minimumRequiredSpace = 1048576
${avroSink("near", near)}
${avroSink("far", far)}
edge.sinkgroups.collectors.sinks = near far
edge.sinkgroups.collectors.processor.type = failover
edge.sinkgroups.collectors.processor.priority.near = 10
edge.sinkgroups.collectors.processor.priority.far = 5
edge.sinkgroups.collectors.processor.maxpenalty = 1000
`;

const avroSink = (name: string, address: string): string => `
edge.sinks.${name}.type = avro
edge.sinks.${name}.channel = disk
edge.sinks.${name}.hostname = ${address}
edge.sinks.${name}.batch-size = 100
edge.sinks.${name}.connect-timeout = 1000
edge.sinks.${name}.request-timeout = 5000
`;

const collector = (folder: string, name: string, port: number): string => `
AGENT.sources = in
AGENT.channels = c
AGENT.sinks = out
AGENT.sources.in.type = avro
AGENT.sources.in.channels = c
AGENT.sources.in.bind = 127.0.0.1
AGENT.sources.in.port = ${port}
AGENT.channels.c.type = memory
AGENT.channels.c.capacity = 10000
AGENT.sinks.out.type = file_roll
AGENT.sinks.out.channel = c
AGENT.sinks.out.sink.directory = ${folder}/out-${name}
AGENT.sinks.out.sink.rollInterval = 5
`;
