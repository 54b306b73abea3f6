/**
 * A real agent that follows pods at a real API server, with the rights that the chart gives an edge:
 *
 *     /var/log/pods -> edge: kubernetes, kubernetes -> memory -> file_roll, headers and text
 */
import { type AgentProcess, createAgentProcess, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { chart, valuesFolder } from "../helm/harness/render.ts";
import type { ApiObject } from "./harness/api-client.ts";
import { type Cluster, createCluster } from "./harness/cluster.ts";

interface Edge {
  readonly agent: AgentProcess;
  /** From now on the service account's token is another one. */
  renewToken(): Promise<void>;
  /** As a container runtime writes it. */
  write(pod: ApiObject, line: string): Promise<void>;
  /** Waits for the line in the output: its headers and itself. */
  headersOf(line: string): Promise<string>;
  /** Writes lines of the pod until one has such headers. */
  untilHeaders(pod: ApiObject, pattern: RegExp): Promise<void>;
  metric(name: string): Promise<number>;
}

const waitMs = 90_000;

async function createEdge(t: TestContext, cluster: Cluster): Promise<Edge> {
  const folder = await tempDirectory(t);
  for (const name of ["out", "pods"]) await mkdir(join(folder, name));
  const tokenFile = join(folder, "token");
  const configFile = join(folder, "edge.conf");
  await writeFile(configFile, configuration(folder, tokenFile, cluster.caFile));
  const agent = await createAgentProcess(t, {
    ...{ name: "edge", configFile },
    environment: {
      ...{ NODE_NAME: "node-1", POD_NAME: "millrace-edge-0", POD_NAMESPACE: "logging" },
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String(cluster.port),
    },
  });
  let round = 0;
  const edge: Edge = {
    agent,
    renewToken: async () => writeFile(tokenFile, await cluster.tokenOf("logging", "millrace-edge")),
    async write({ metadata }, line) {
      const { namespace, name, uid } = metadata;
      const path = join(folder, "pods", `${namespace}_${name}_${uid}`, "app", "0.log");
      await mkdir(dirname(path), { recursive: true });
      await appendFile(path, `${new Date().toISOString()} stdout F ${line}\n`);
    },
    async headersOf(line) {
      let found: string | undefined;
      const arrived = async (): Promise<boolean> => {
        const names = await readdir(join(folder, "out"));
        const texts = names.map((name) => readFile(join(folder, "out", name), "utf8"));
        const lines = (await Promise.all(texts)).join("").split("\n");
        return (found = lines.find((one) => one.endsWith(` ${line}`))) !== undefined;
      };
      await waitFor(`"${line}"`, arrived, waitMs);
      return found ?? "";
    },
    async untilHeaders(pod, pattern) {
      await waitFor(
        String(pattern),
        async () => {
          await edge.write(pod, `round ${++round}.`);
          return pattern.test(await edge.headersOf(`round ${round}.`));
        },
        waitMs,
      );
    },
    async metric(name) {
      const url = `http://127.0.0.1:${agent.monitoringPort}/metrics/prometheus`;
      const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
      const [, value] = new RegExp(`^${name}\\{.*\\} (\\S+)$`, "m").exec(text) ?? [];
      return Number(value);
    },
  };
  await edge.renewToken();
  return edge;
}

async function createPod({ api }: Cluster, name: string, more: object = {}): Promise<ApiObject> {
  return api.create("/api/v1/namespaces/shop/pods", {
    metadata: { name, labels: { "app.kubernetes.io/name": name }, ...more },
    spec: {
      nodeName: "node-1",
      automountServiceAccountToken: false,
      serviceAccountName: "shop",
      containers: [{ name: "app", image: `${name}:1` }],
    },
  });
}

void test("an edge with the chart's rights has the metadata of its node's pods, through an API server that is killed, rights that go and a token that ends", async (t) => {
  const cluster = await createCluster(t);
  if (cluster === undefined) return;
  const { api, run, node } = cluster;
  const install = ["millrace", chart, "-f", join(valuesFolder, "plaintext.yaml"), "-n", "logging"];
  await run("helm", "install", ...install, "--create-namespace");
  await api.create("/api/v1/namespaces", { metadata: { name: "shop" } });
  await api.create("/api/v1/namespaces/shop/serviceaccounts", { metadata: { name: "shop" } });
  const web = await createPod(cluster, "web");
  const edge = await createEdge(t, cluster);
  const says = (pattern: RegExp): Promise<void> =>
    waitFor(String(pattern), () => pattern.test(edge.agent.output()), waitMs).catch(
      (error: Error) => assert.fail(`${error.message}:\n${edge.agent.output()}`),
    );
  await edge.agent.start();

  await edge.write(web, "the first");
  const first = await edge.headersOf("the first");
  for (const header of [
    "pod=web",
    "namespace=shop",
    "image=web:1",
    "label.app.kubernetes.io/name=web",
    "node=node-1",
  ]) {
    assert.ok(first.includes(header), `${header} in ${first}`);
  }
  assert.doesNotMatch(first, /metadata=/);
  await waitFor(
    "the pods of this node",
    async () => (await edge.metric("millrace_kubernetes_pods")) === (await node.pods()).length,
    waitMs,
  );

  const path = (name: string): string => `/api/v1/namespaces/shop/pods/${name}`;
  await api.patch(path("web"), { metadata: { annotations: { "millrace.io/channel": "audit" } } });
  await edge.untilHeaders(web, /channel=audit/);
  await api.delete(path("web"), { gracePeriodSeconds: 0 });
  await edge.write(web, "its last words");
  assert.match(await edge.headersOf("its last words"), /image=web:1/);

  // A new API server remembers nothing from before it began: going on from there is answered 410, and lists again.
  await cluster.killApiServer();
  await says(/pods of node node-1 .* are not followed: KUBERNETES_UNAVAILABLE/);
  await cluster.startApiServer();
  const version = web.metadata.resourceVersion;
  const old = await api.send("GET", `/api/v1/pods?watch=true&timeoutSeconds=1&resourceVersion=${version}`); // prettier-ignore
  assert.match(JSON.stringify(old.body), /"code":410/);
  const late = await createPod(cluster, "late");
  await says(/are again followed/);
  await edge.untilHeaders(late, /image=late:1/);

  // Rights are looked at when a request begins, so the watch is cut.
  const binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/logging-millrace-edge";
  await api.delete(binding);
  await cluster.killApiServer();
  await cluster.startApiServer();
  await says(/KUBERNETES_REFUSED[^\n]*pods/);
  await edge.write(late, "without rights");
  assert.match(await edge.headersOf("without rights"), /image=late:1/, "known, it stays known");
  await run("helm", "upgrade", ...install);
  const again = await createPod(cluster, "again");
  await edge.untilHeaders(again, /image=again:1/);

  // An account that is made anew has other tokens: the old one is refused, and the file has the new one.
  const account = "/api/v1/namespaces/logging/serviceaccounts/millrace-edge";
  await api.delete(account);
  await run("helm", "upgrade", ...install);
  await edge.renewToken();
  await cluster.killApiServer();
  await cluster.startApiServer();
  const last = await createPod(cluster, "last");
  await edge.untilHeaders(last, /image=last:1/);
  assert.ok((await edge.metric("millrace_kubernetes_watch_restarts_total")) >= 3);
  assert.deepEqual(await edge.agent.kill("SIGTERM", 30_000), { code: 0, signal: null });
});

const configuration = (folder: string, tokenFile: string, caFile: string): string => `
edge.sources = pods
edge.channels = c
edge.sinks = out
edge.sources.pods.type = kubernetes
edge.sources.pods.channels = c
edge.sources.pods.path = ${folder}/pods
edge.sources.pods.positionFile = ${folder}/positions.json
edge.sources.pods.backoffSleepIncrement = 50
edge.sources.pods.maxBackoffSleep = 200
edge.sources.pods.tokenFile = ${tokenFile}
edge.sources.pods.caFile = ${caFile}
edge.sources.pods.interceptors = meta
edge.sources.pods.interceptors.meta.type = kubernetes
edge.sources.pods.interceptors.meta.labels = app.kubernetes.io/name
edge.sources.pods.interceptors.meta.tokenFile = ${tokenFile}
edge.sources.pods.interceptors.meta.caFile = ${caFile}
edge.channels.c.type = memory
edge.channels.c.capacity = 10000
edge.channels.c.transactionCapacity = 1000
edge.sinks.out.type = file_roll
edge.sinks.out.channel = c
edge.sinks.out.sink.directory = ${folder}/out
edge.sinks.out.sink.rollInterval = 0
edge.sinks.out.sink.serializer = HEADER_AND_TEXT
`;
