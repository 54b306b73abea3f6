import {
  createAgentProcess,
  createTailedStage,
  createTcpProxy,
  freePort,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const head = (folder: string): string => `
a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = TAILDIR
a1.sources.r.channels = c
a1.sources.r.filegroups = all
a1.sources.r.filegroups.all = ${folder}/.*[.]log
a1.sources.r.positionFile = ${folder}/positions.json
a1.channels.c.type = memory
a1.channels.c.capacity = 100000
a1.channels.c.transactionCapacity = 1000
a1.sinks.k.channel = c
`;

void test("SIGTERM under load drains a memory channel and exits 0: what was acknowledged has arrived", async (t) => {
  const { folder, oracle, writer } = await createTailedStage(t, 2_000);
  const configFile = join(folder, "a1.conf");
  await writeFile(
    configFile,
    `${head(folder)}
a1.sinks.k.type = file_roll
a1.sinks.k.sink.directory = ${folder}/out
`,
  );
  const agent = await createAgentProcess(t, { name: "a1", configFile });
  await agent.start();
  writer.start();
  await waitFor(
    "2,000 lines in the output",
    async () => {
      await oracle.update();
      return oracle.judge.totals().distinct > 2_000;
    },
    60_000,
  );
  assert.deepEqual(await agent.kill("SIGTERM"), { code: 0, signal: null }, agent.output());
  await writer.stop();
  await oracle.update();
  const { issued, acknowledged, missingAcknowledged, duplicates, complaints } =
    oracle.judge.verdict();
  assert.ok(issued > 2_000 && acknowledged > 2_000, `${acknowledged} of ${issued} acknowledged`);
  assert.deepEqual([missingAcknowledged, duplicates, complaints], [0, 0, []]);
});

void test("a second signal ends a drain that cannot finish at once, and says what is lost", async (t) => {
  const { folder, writer } = await createTailedStage(t, 2_000);
  const cable = await createTcpProxy({ host: "127.0.0.1", port: await freePort() });
  t.after(() => cable.close());
  await cable.setMode("stall");
  const configFile = join(folder, "a1.conf");
  await writeFile(
    configFile,
    `${head(folder)}
a1.sinks.k.type = avro
a1.sinks.k.hostname = 127.0.0.1
a1.sinks.k.port = ${cable.port}
`,
  );
  const agent = await createAgentProcess(t, { name: "a1", configFile });
  await agent.start();
  await writer.write(500);
  await waitFor("held events", async () => {
    const { "CHANNEL.c": channel } = await agent.metrics();
    return Number(channel?.["ChannelSize"] ?? 0) > 0;
  });
  const exit = agent.kill("SIGTERM", 60_000);
  let ended = false;
  void exit.then(() => (ended = true));
  await waitFor("the drain to begin", () => /drain/i.test(agent.output()), 20_000);
  assert.equal(ended, false, "the first signal waits for the sink");
  const second = performance.now();
  void agent.kill("SIGTERM", 60_000);
  const { code, signal } = await exit;
  assert.ok(performance.now() - second < 10_000, "the second signal does not wait");
  assert.equal(signal, null);
  assert.notEqual(code, 0, agent.output());
});
