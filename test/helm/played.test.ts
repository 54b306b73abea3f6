/**
 * A rollout and a scale-down of what the chart renders, with real processes: the words, configurations, probes and
 * grace periods are the manifests'.
 *
 *     /var/log/pods -> edge pod == DNS name of the headless Service ==> collector pods -> avro ==> store -> out/
 */
import { createArrivalJudge, createOutputTail, encodeNumberedLine, nodeFileSystem, parseNumberedLine } from "@millrace/core"; // prettier-ignore
import { type AgentProcess, createAgentProcess, createDnsServer, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { collectorsNameOf, createPlayedPod, type PlayedPod } from "./harness/played-pod.ts";
import { createStage, workloadOf } from "./harness/pods.ts";
import { findHelm } from "./harness/render.ts";

/** Over both value files: three collectors, a store, and times that a test can wait for. */
const over = `
edge:
  metadata: { enabled: false }
  drain: { graceSeconds: 5 }
  stateDir: { minFree: 64Mi }
collector:
  replicas: 3
  drain: { graceSeconds: 12 }
  output:
    preset: conf
    conf: |
      collector.sinks = out
      collector.sinks.out.type = avro
      collector.sinks.out.channel = \${channel}
      collector.sinks.out.hostname = 127.0.0.1
      collector.sinks.out.port = 4545
      collector.sinks.out.batch-size = 1000
`;

/** Lines of one container, and what becomes of them. */
function createContainerLog(path: string, out: string) {
  const judge = createArrivalJudge();
  const tail = createOutputTail(nodeFileSystem, out);
  let written = 0;
  const update = async (): Promise<void> => {
    await tail.read(await tail.sizes(), (line, where) =>
      judge.arrive("store", parseNumberedLine(line), where),
    );
  };
  const until = (what: string, done: () => boolean): Promise<void> =>
    waitFor(what, async () => (await update(), done()), 90_000);
  return {
    judge,
    update,
    /** As a container runtime writes them. */
    async write(count: number): Promise<void> {
      let text = "";
      for (let i = 0; i < count; i++) {
        const line = encodeNumberedLine("0.log", written++, "a line of a container");
        judge.issue("0.log", line, written);
        text += `2026-11-22T10:00:00.000000000Z stdout F ${line.toString()}\n`;
      }
      await appendFile(path, text);
    },
    arrived: (count: number) =>
      until(`${count} lines to arrive`, () => judge.totals().distinct >= count),
    settled: () =>
      until("every line to arrive", () => judge.totals().distinct === judge.totals().issued),
  };
}

async function createStore(t: TestContext, folder: string, port: number): Promise<AgentProcess> {
  const configFile = join(folder, "store.conf");
  const text = `
store.sources = in
store.channels = direct
store.sinks = out
store.sources.in.type = avro
store.sources.in.channels = direct
store.sources.in.bind = 127.0.0.1
store.sources.in.port = ${port}
store.channels.direct.type = direct
store.sinks.out.type = file_roll
store.sinks.out.channel = direct
store.sinks.out.sink.directory = ${folder}/out
store.sinks.out.sink.rollInterval = 0
`;
  await writeFile(configFile, text);
  return createAgentProcess(t, { name: "store", configFile });
}

async function ends(pod: PlayedPod): Promise<void> {
  assert.deepEqual(await pod.terminate(), { code: 0, signal: null }, pod.output());
}

for (const values of ["default", "direct"]) {
  void test(`${values}: a rollout and a scale-down from 3 to 2, played as rendered, lose nothing`, async (t) => {
    const helm = findHelm(t);
    if (helm === undefined) return;
    const { manifests } = helm.render({ values, over });
    assert.equal(workloadOf(manifests, "collector")?.spec?.replicas, 3);
    const stage = await createStage(t, manifests);
    const dns = await createDnsServer();
    t.after(() => dns.close());
    const pod = (role: "edge" | "collector", name: string, address: string) =>
      createPlayedPod(t, { manifests, role, name, address, stage, dns });
    const collectors: PlayedPod[] = [];
    for (const n of [0, 1, 2]) {
      collectors.push(await pod("collector", `millrace-collector-${n}`, `127.0.0.${n + 1}`));
    }
    const edge = await pod("edge", "millrace-edge-x", "127.0.0.1");
    const named = (pods: readonly PlayedPod[]): void =>
      dns.set(collectorsNameOf(manifests), { addresses: pods.map(({ address }) => address) });
    named(collectors);
    const container = join(edge.directory, "var/log/pods/shop_app-0_0000-1111/app");
    const out = join(stage.directory, "out");
    await Promise.all([container, out].map((path) => mkdir(path, { recursive: true })));
    const log = createContainerLog(join(container, "0.log"), out);
    const store = await createStore(t, stage.directory, stage.ports.get(4545) ?? 0);
    await Promise.all([store, ...collectors, edge].map((each) => each.start()));
    await log.write(500);
    await log.arrived(500);

    // As a StatefulSet and a DaemonSet with maxSurge 0: the old one has ended before the new one starts.
    for (const each of [...collectors].reverse()) {
      const ended = ends(each);
      await log.write(200);
      await ended;
      await each.start();
    }
    await log.write(200);
    await ends(edge);
    await log.write(200);
    await edge.start();
    await log.settled();

    // The store is away, so that a durable collector has something to hand over.
    const third = collectors[2] as PlayedPod;
    await store.kill("SIGTERM");
    const isFull = async (): Promise<boolean> => (await log.write(20), (await third.held()) > 0);
    if (values === "default") await waitFor("the third to hold events", isFull, 60_000);
    const ended = ends(third);
    await log.write(200);
    await ended;
    named(collectors.slice(0, 2));
    if (values === "default") {
      assert.match(third.output(), /events? \(.*\) of channel disk were handed over to a sibling/);
      assert.match(third.output(), /nothing remains in /);
    }
    await store.start();
    await log.write(200);
    await log.settled();
    const { issued, missing, unknown, changed, duplicates } = log.judge.verdict();
    assert.ok(issued >= 1900);
    assert.deepEqual({ missing, unknown, changed }, { missing: 0, unknown: 0, changed: 0 });
    t.diagnostic(`${issued} lines, ${duplicates} duplicates, 0 missing`);
  });
}
