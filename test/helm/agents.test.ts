import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { freePort, programCommand, startChild, tempDirectory, waitFor } from "@millrace/testing";
import { find, podOf } from "./harness/manifest.ts";
import {
  confOf,
  createStage,
  type Role,
  startPod,
  untilReady,
  workloadOf,
} from "./harness/pods.ts";
import { findHelm, root, valueFiles } from "./harness/render.ts";

const roles: readonly Role[] = ["edge", "collector"];

/** What `millrace check` says of a configuration. */
async function check(context: TestContext, conf: string, role: Role) {
  const directory = await tempDirectory(context);
  const file = join(directory, `${role}.conf`);
  await writeFile(file, conf);
  const child = startChild(context, {
    command: [...programCommand("cli/main"), "check", "-n", role, "-f", file],
    environment: {
      NODE_NAME: "node-1",
      POD_NAME: "p",
      POD_NAMESPACE: "logging",
      POD_IP: "10.1.1.1",
    },
  });
  return { ...(await child.exited(60_000)), output: child.output() };
}

for (const name of valueFiles) {
  for (const role of roles) {
    void test(`${name}: millrace check has nothing to say of ${role}.conf, and the agent starts as its probes want`, async (context) => {
      const helm = findHelm(context);
      if (helm === undefined) return;
      const { manifests } = helm.render({ values: name });
      const conf = confOf(manifests, role);
      const workload = workloadOf(manifests, role);
      if (conf === undefined || workload === undefined) {
        assert.ok(["edge-only", "collector-only", "existing-config-map"].includes(name), name);
        return;
      }
      const { code, output } = await check(context, conf, role);
      assert.equal(code, 0, output);
      assert.doesNotMatch(output, /^(warning|error)/m);

      const stage = await createStage(context, manifests);
      const pod = await startPod(context, manifests, role, stage);
      await untilReady(pod);
      assert.equal(await pod.probe("startupProbe"), 200, pod.child.output());
      assert.equal(await pod.probe("livenessProbe"), 200);
      const metrics = await (await fetch(pod.url("/metrics"))).text();
      assert.match(metrics, new RegExp(`role="${role}"`));
      pod.child.signal("SIGTERM");
      const grace = podOf(workload)?.terminationGracePeriodSeconds ?? 0;
      const exit = await pod.child.exited(Math.min(grace * 1000, 60_000));
      assert.equal(exit.code, 0, pod.child.output());
    });
  }
}

void test("what a container of a node writes comes out of a collector, over TLS, and the chart's own test sees it", async (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const { manifests } = helm.render({ values: "default" });
  const stage = await createStage(context, manifests);
  const collector = await startPod(context, manifests, "collector", stage);
  const edge = await startPod(context, manifests, "edge", stage);
  await Promise.all([untilReady(collector), untilReady(edge)]);

  // The pod of `helm test`, whose standard output is written down as a container runtime does.
  const readBack = find(manifests, "Pod").spec as unknown as { containers: { env: { name: string; value?: string }[] }[] }; // prettier-ignore
  const script = manifests.find(({ data }) => data?.["read-back.mjs"] !== undefined)?.data;
  const own = join(stage.directory, "read-back.mjs");
  await writeFile(own, script?.["read-back.mjs"] ?? "");
  const given = Object.fromEntries(readBack.containers[0]?.env.map((each) => [each.name, each.value]) ?? []); // prettier-ignore
  assert.equal(given["OUT_DIR"], "/out");
  const out = join(collector.directory, "var/lib/millrace/out");
  const logs = join(edge.directory, "var/log/pods");
  const found = await runReadBack(context, own, logs, {
    ...given,
    OUT_DIR: out,
    POD_UID: "0000-1",
  });
  assert.equal(found.code, 0, `${found.output}\n${edge.child.output()}\n${collector.child.output()}`); // prettier-ignore
  assert.match(found.output, /arrived after .*: a line of this pod is in /);
  const texts = await Promise.all(
    (await readdir(out)).map((file) => readFile(join(out, file), "utf8")),
  );
  assert.match(texts.join(""), /namespace=logging.*node=node-1|node=node-1.*namespace=logging/);

  // Where nobody can read back, it counts: the way it goes with another sink.
  const port = new URL(collector.url("/")).port;
  const counters = { COLLECTORS: "localhost", METRICS_PORT: port, TIMEOUT_SECONDS: "60" };
  const counted = await runReadBack(context, own, logs, { ...counters, POD_UID: "0000-2" });
  assert.equal(counted.code, 0, counted.output);
  assert.match(counted.output, /the collectors delivered \d+ more events/);
});

/** Runs the script of `helm test`, and writes what it says down as a container runtime does. */
async function runReadBack(
  context: TestContext,
  script: string,
  logs: string,
  environment: Readonly<Record<string, string | undefined>>,
) {
  const child = startChild(context, { command: [process.execPath, script], environment });
  const log = join(logs, `logging_readback_${environment["POD_UID"]}`, "read-back/0.log");
  await mkdir(dirname(log), { recursive: true });
  let written = 0;
  await waitFor(
    "the script of helm test to end",
    async () => {
      const whole = child.output().slice(0, child.output().lastIndexOf("\n") + 1);
      const lines = whole.slice(written).split("\n").slice(0, -1);
      written = whole.length;
      const fresh = lines.map((line) => `2026-11-22T10:00:00.000000000Z stdout F ${line}\n`);
      if (fresh.length > 0) await writeFile(log, fresh.join(""), { flag: "a" });
      return child.exit !== undefined;
    },
    120_000,
  );
  return { code: child.exit?.code, output: child.output() };
}

void test("the chart's own test fails when nothing comes out", async (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const directory = await tempDirectory(context);
  const child = startChild(context, {
    command: [process.execPath, join(root, "deploy/helm/millrace/files/read-back.mjs")],
    environment: { OUT_DIR: directory, TIMEOUT_SECONDS: "1", POD_UID: "x" },
  });
  assert.equal((await child.exited(20_000)).code, 1);
  assert.match(child.output(), /none has arrived within 1 s/);
});

void test("the script of helm test asks again when a collector does not answer, and says so when none ever did", async (context) => {
  const port = await freePort();
  const environment = { COLLECTORS: "127.0.0.1", METRICS_PORT: String(port), TIMEOUT_SECONDS: "3" };
  const command = [process.execPath, join(root, "deploy/helm/millrace/files/read-back.mjs")];
  const alone = startChild(context, { command, environment });
  assert.equal((await alone.exited(60_000)).code, 1);
  assert.match(alone.output(), /collectors at 127\.0\.0\.1 could not be asked: .*ECONNREFUSED/);

  const patient = startChild(context, {
    command,
    environment: { ...environment, TIMEOUT_SECONDS: "60" },
  });
  await patient.says("line 20");
  let delivered = 100;
  const server = createServer((_request, response) => {
    response.end(`millrace_sink_delivered_events_total{component="out"} ${delivered}\n`);
    delivered += 25;
  });
  server.listen(port, "127.0.0.1");
  context.after(() => server.close());
  assert.equal((await patient.exited(60_000)).code, 0, patient.output());
  assert.match(patient.output(), /the collectors delivered \d+ more events/);
});
