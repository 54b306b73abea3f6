/**
 * A real agent that adds what an API server knows of its pods:
 *
 *     lines of two containers -> taildir, kubernetes -> memory -> file_roll, headers and text
 */
import {
  type AgentProcess,
  createAgentProcess,
  createTestCluster,
  tempDirectory,
  type TestCluster,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

interface Edge {
  readonly agent: AgentProcess;
  readonly cluster: TestCluster;
  write(container: string, line: string): Promise<void>;
  /** Waits for the line in the output: its headers and itself. */
  headersOf(line: string): Promise<string>;
  counter(name: string, label?: string): Promise<number>;
}

async function startEdge(t: TestContext): Promise<Edge> {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "out"));
  const cluster = await createTestCluster(t);
  const configFile = join(folder, "edge.conf");
  await writeFile(configFile, config(folder, cluster));
  const agent = await createAgentProcess(t, {
    ...{ name: "edge", configFile },
    environment: { NODE_NAME: "n1" },
  });
  const lines = async (): Promise<string[]> => {
    const names = await readdir(join(folder, "out"));
    const texts = names.map((name) => readFile(join(folder, "out", name), "utf8"));
    return (await Promise.all(texts)).join("").split("\n");
  };
  return {
    agent,
    cluster,
    write: (container, line) => appendFile(join(folder, `${container}.log`), `${line}\n`),
    async headersOf(line) {
      let found: string | undefined;
      await waitFor(
        `"${line}"`,
        async () => (found = (await lines()).find((one) => one.endsWith(` ${line}`))) !== undefined,
        30_000,
      );
      return found ?? "";
    },
    async counter(name, label = "") {
      const url = `http://127.0.0.1:${agent.monitoringPort}/metrics/prometheus`;
      const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
      const samples = text.split("\n").filter((line) => line.startsWith(`${name}{`));
      const line = samples.find((sample) => sample.includes(label));
      return Number(line?.split(" ").at(-1));
    },
  };
}

const web = {
  ...{ name: "web-0", namespace: "shop", uid: "u-web", node: "n1" },
  labels: { "app.kubernetes.io/name": "web" },
  containers: { nginx: "nginx:1.27" },
};

void test("an agent's events have their pod's metadata, through an API server that is killed and comes back", async (t) => {
  const { agent, cluster, ...edge } = await startEdge(t);
  const { server } = cluster;
  server.put(web);
  server.put({ ...web, name: "elsewhere", uid: "u-else", node: "n2" });
  await agent.start();

  await edge.write("web", "the first");
  const first = await edge.headersOf("the first");
  for (const header of [/node=n1/, /image=nginx:1\.27/, /label\.app\.kubernetes\.io\/name=web/]) {
    assert.match(first, header);
  }
  assert.doesNotMatch(first, /metadata=/);
  assert.equal(await edge.counter("millrace_kubernetes_pods"), 1, "nothing about other nodes");

  server.put({ ...web, annotations: { "millrace.io/channel": "audit" } });
  let round = 0;
  const annotated = async (): Promise<boolean> => {
    await edge.write("web", `round ${++round}`);
    return /channel=audit/.test(await edge.headersOf(`round ${round}`));
  };
  await waitFor("the annotation", annotated, 30_000);

  // The pod of the other container excludes itself; its lines are counted and gone.
  server.put({ name: "db-0", uid: "u-db", node: "n1", annotations: { "millrace.io/exclude": "true" } }); // prettier-ignore
  await waitFor(
    "the second pod",
    async () => (await edge.counter("millrace_kubernetes_pods")) === 2,
    30_000,
  );
  await edge.write("db", "a secret\nanother");
  const excluded = () => edge.counter("millrace_events_discarded_total", `reason="excluded"`);
  await waitFor("two discards", async () => (await excluded()) === 2, 30_000);

  await server.stop();
  await waitFor("the agent to say so", () => /pods of node n1 .* are not followed: KUBERNETES_UNAVAILABLE/.test(agent.output()), 30_000); // prettier-ignore
  await edge.write("web", "while it is away");
  assert.match(
    await edge.headersOf("while it is away"),
    /label\.app.*=web/,
    "known, it stays known",
  );
  await edge.write("late", "of a pod that nobody knows");
  assert.match(await edge.headersOf("of a pod that nobody knows"), /metadata=pending/);
  assert.equal(await edge.counter("millrace_kubernetes_pending_total"), 1);

  server.compact();
  server.put({ name: "late-0", uid: "u-late", node: "n1", containers: { app: "late:2" } });
  await cluster.rotateToken("token-2");
  await server.listen();
  await waitFor("the agent to go on", () => /are again followed/.test(agent.output()), 60_000);
  await edge.write("late", "with its metadata");
  assert.match(await edge.headersOf("with its metadata"), /image=late:2/);
  assert.ok((await edge.counter("millrace_kubernetes_watch_restarts_total")) >= 1);
  assert.equal(server.requests.at(-1)?.token, "token-2");
  assert.deepEqual(await agent.kill("SIGTERM", 30_000), { code: 0, signal: null });
});

const config = (folder: string, { server, tokenFile, caFile }: TestCluster): string => `
edge.sources = logs
edge.channels = c
edge.sinks = out
edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = c
edge.sources.logs.positionFile = ${folder}/positions.json
edge.sources.logs.backoffSleepIncrement = 50
edge.sources.logs.maxBackoffSleep = 200
edge.sources.logs.filegroups = web db late
edge.sources.logs.filegroups.web = ${folder}/web[.]log
edge.sources.logs.headers.web.uid = u-web
edge.sources.logs.headers.web.container = nginx
edge.sources.logs.filegroups.db = ${folder}/db[.]log
edge.sources.logs.headers.db.uid = u-db
edge.sources.logs.filegroups.late = ${folder}/late[.]log
edge.sources.logs.headers.late.uid = u-late
edge.sources.logs.headers.late.container = app
edge.sources.logs.interceptors = meta
edge.sources.logs.interceptors.meta.type = kubernetes
edge.sources.logs.interceptors.meta.apiServer = ${server.url}
edge.sources.logs.interceptors.meta.tokenFile = ${tokenFile}
edge.sources.logs.interceptors.meta.caFile = ${caFile}
edge.sources.logs.interceptors.meta.labels = app.kubernetes.io/name
edge.sources.logs.interceptors.meta.waitMs = 8000
edge.channels.c.type = memory
edge.channels.c.capacity = 1000
edge.sinks.out.type = file_roll
edge.sinks.out.channel = c
edge.sinks.out.sink.directory = ${folder}/out
edge.sinks.out.sink.rollInterval = 0
edge.sinks.out.sink.serializer = HEADER_AND_TEXT
`;
