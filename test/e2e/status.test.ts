/** `millrace status` and `top` look at real agents: one well, one whose sink fails, one that is not there. */
import {
  createAgentProcess,
  createDnsServer,
  freePort,
  programCommand,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFile, mkdir, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

async function startEdge(t: TestContext, sink: (folder: string) => string) {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "in"));
  await mkdir(join(folder, "out"));
  const log = join(folder, "in", "a.log");
  await writeFile(log, "first\n");
  const configFile = join(folder, "edge.conf");
  await writeFile(
    configFile,
    `edge.sources = logs
edge.channels = disk
edge.sinks = out
edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = disk
edge.sources.logs.filegroups = all
edge.sources.logs.filegroups.all = ${folder}/in/.*[.]log
edge.sources.logs.positionFile = ${folder}/positions.json
edge.sources.logs.backoffSleepIncrement = 50
edge.channels.disk.type = file
edge.channels.disk.dataDirs = ${folder}/data
edge.channels.disk.minimumRequiredSpace = 1048576
edge.sinks.out.channel = disk
${sink(folder)}`,
  );
  const defines = { "millrace.role": "edge", "millrace.socket": join(folder, "agent.sock") };
  const agent = await createAgentProcess(t, { name: "edge", configFile, defines });
  await agent.start();
  return { agent, folder, log, socket: join(folder, "agent.sock") };
}

const toFiles = (folder: string): string =>
  `edge.sinks.out.type = file_roll\nedge.sinks.out.sink.directory = ${folder}/out\n`;
const toNobody = (port: number) => (): string =>
  `edge.sinks.out.type = avro\nedge.sinks.out.hostname = 127.0.0.1\nedge.sinks.out.port = ${port}\n`;

async function run(t: TestContext, ...words: string[]) {
  const child = startChild(t, { command: [...programCommand("cli/main"), ...words] });
  const { code } = await child.exited();
  return { code, output: child.output() };
}

interface Report {
  readonly address: string;
  readonly severity: string;
  readonly why: readonly string[];
  readonly channels: readonly { readonly events: number }[];
}

test("status names the worst agent first and why; top shows what flows", async (t) => {
  const nobody = await freePort();
  const well = await startEdge(t, toFiles);
  const failing = await startEdge(t, toNobody(await freePort()));
  const [a, b, c] = [well.agent.monitoringPort, failing.agent.monitoringPort, nobody].map(
    (port) => `127.0.0.1:${port}`,
  );

  let reports: Report[] = [];
  await waitFor(
    "the failing sink to be noticed, and the well agent to have delivered",
    async () => {
      const { code, output } = await run(t, "status", "--json", "-H", `${a},${b},${c}`);
      assert.equal(code, 5, output);
      reports = JSON.parse(output) as Report[];
      return (reports[1]?.why.length ?? 0) > 0 && reports[2]?.severity === "ok";
    },
    60_000,
  );
  assert.deepEqual(
    reports.map(({ address, channels, why }) => [address, channels.map(({ events }) => events), why]), // prettier-ignore
    [
      [c, [], ["ECONNREFUSED: nothing listens there: no agent, or another port"]],
      [b, [1], ["sink out fails: connect"]],
      [a, [0], []],
    ],
  );

  const own = await run(t, "status", "-S", failing.socket);
  assert.equal(own.code, 5, own.output);
  assert.match(own.output, /attention: sink out: RPC_CONNECT_FAILED .*ECONNREFUSED.*, for \d/);
  assert.match(
    own.output,
    /^edge: running, up .* Millrace \d[\s\S]*logs -> disk -> out: at least once/m,
  );

  const alone = await run(t, "status", "-H", a ?? "");
  assert.equal(alone.code, 0, alone.output);
  assert.match(alone.output, /^agent +held +oldest +full/);

  const top = startChild(t, {
    command: [...programCommand("cli/main"), "top", "-i", "0.5", "-n", "20", "-H", `${a},${b}`],
  });
  const flows = /^edge 127\.0\.0\.1:\d+ +0 +- +\d+ % +- +[1-9][\d,]* +[1-9][\d,]*$/m;
  await waitFor(
    "a table with rates",
    async () => {
      await appendFile(well.log, "a line\n".repeat(50));
      return flows.test(top.output());
    },
    30_000,
  );
  top.signal("SIGTERM");
  assert.equal((await top.exited()).code, 0);
});

test("an agent whose files sink has failed is not well, however long the next try is away", async (t) => {
  const roll = (folder: string): string =>
    `${toFiles(folder)}edge.sinks.out.sink.rollInterval = 1\n`;
  const { agent, folder, log } = await startEdge(t, roll);
  await rm(join(folder, "out"), { recursive: true });
  const address = `127.0.0.1:${agent.monitoringPort}`;
  const reasons: string[] = [];
  await waitFor(
    "the failing sink to be named",
    async () => {
      await appendFile(log, "a line\n");
      const { code, output } = await run(t, "status", "--json", "-H", address);
      const [report] = JSON.parse(output) as Report[];
      reasons.splice(0, reasons.length, ...(report?.why ?? []));
      return code === 5;
    },
    60_000,
  );
  assert.deepEqual(reasons, ["sink out fails: SINK_WRITE_FAILED"]);

  await mkdir(join(folder, "out"));
  await waitFor(
    "it to be well again",
    async () => (await run(t, "status", "-H", address)).code === 0,
    60_000,
  );
});

test("an address that finds nobody is shown beside the agents that are found", async (t) => {
  const dns = await createDnsServer();
  t.after(() => dns.close());
  const nobody = `dns://edges.test:1?server=${dns.address}`;
  const { agent } = await startEdge(t, toFiles);
  const { code, output } = await run(t, "status", `127.0.0.1:${agent.monitoringPort}`, nobody);
  assert.equal(code, 5, output);
  assert.match(output, /unreachable: it finds no agent: DNS at .* names no host for edges\.test/);
  assert.match(output, /^edge 127\.0\.0\.1:/m);
});

test("top ends when nobody reads it any more, and when it is told to while agents are silent", async (t) => {
  const silent = createServer();
  t.after(() => silent.close());
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const top = [...programCommand("cli/main"), "top", "-i", "0.1", "-H", `127.0.0.1:${await freePort()}`]; // prettier-ignore
  const piped = startChild(t, {
    command: ["bash", "-c", '"$@" | head -n 2; echo "ended ${PIPESTATUS[0]}"', "bash", ...top],
  });
  await piped.exited();
  assert.match(piped.output(), /^agent .*\n.*\nended 0\n$/);

  const child = startChild(t, { command: [...top.slice(0, -1), `127.0.0.1:${port}`] });
  await once(silent, "connection");
  child.signal("SIGINT");
  assert.equal((await child.exited(4000)).code, 0, "before the agent's five seconds are over");
});

test("without an agent, and with words that mean nothing, status says what to do", async (t) => {
  const socket = join(await tempDirectory(t), "none.sock");
  const nobody = await run(t, "status", "-S", socket);
  assert.equal(nobody.code, 5);
  assert.match(
    nobody.output,
    /no agent answers at .*none\.sock: .*ENOENT[\s\S]*-S <path>, or .* -H/,
  );
  const address = await run(t, "status", "-H", "x://y");
  assert.equal(address.code, 1);
  assert.match(address.output, /^CONFIG_INVALID "x:\/\/y" is not the address of a host/);
  const words = await run(t, "top");
  assert.equal(words.code, 1);
  assert.match(words.output, /^millrace top: give -H/);
});
