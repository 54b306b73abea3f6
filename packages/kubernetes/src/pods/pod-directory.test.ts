import { type Log, systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createSeededRandom,
  createTestAuthority,
  createTestCluster,
  type TestCluster,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { acquirePodDirectory, type PodDirectory, podDirectoryLimits } from "./pod-directory.ts";
import type { PodDirectorySettings } from "./pod-settings.ts";

const limits = {
  ...podDirectoryLimits,
  api: { ...podDirectoryLimits.api, pagePods: 2, podsMax: 100 },
  pauses: { firstMs: 10, maxMs: 50, livedMs: 10_000 },
  currentWaitMs: 100,
};

/** For tests of silence only: a busy machine may be silent for a while, too. */
const impatient = { answerMs: 300, watchQuietMs: 400 };

interface Given {
  readonly cluster: TestCluster;
  readonly server: TestCluster["server"];
  readonly settings: PodDirectorySettings;
  readonly log: ReturnType<typeof createCollectingLog>;
  readonly restarts: { value: number };
  acquire(overrides?: Partial<PodDirectorySettings>, log?: Log): PodDirectory;
}

async function given(t: TestContext, api: Partial<typeof impatient> = {}): Promise<Given> {
  const cluster = await createTestCluster(t);
  const { server, tokenFile, caFile } = cluster;
  const log = createCollectingLog();
  const restarts = { value: 0 };
  const settings = { apiServer: server.url, tokenFile, caFile, nodeName: "n1", waitMs: 2000 };
  return {
    cluster,
    server,
    settings,
    log,
    restarts,
    acquire(overrides = {}, saidTo = log) {
      const asked = { ...settings, ...overrides };
      const directory = acquirePodDirectory(asked, systemRuntime, saidTo, restarts, {
        ...limits,
        api: { ...limits.api, ...api },
      });
      t.after(() => directory.release());
      return directory;
    },
  };
}

const said = ({ log }: Given, text: RegExp): boolean =>
  log.lines.some(({ message }) => text.test(message));

async function following(directory: PodDirectory, { server }: Given): Promise<void> {
  await waitFor("the watch", () => directory.current && server.watching === 1);
}

void test("a pod of this node is known with its labels, annotations and images", async (t) => {
  const g = await given(t);
  g.server.put({
    ...{ name: "web-1", namespace: "shop", uid: "u1", node: "n1" },
    labels: { app: "web" },
    annotations: { "millrace.io/exclude": "true" },
    containers: { nginx: "nginx:1", proxy: "envoy:2" },
  });
  const pod = await g.acquire().lookUp("u1");
  assert.equal(pod?.namespace, "shop");
  assert.equal(pod?.node, "n1");
  assert.equal(pod?.labels.get("app"), "web");
  assert.equal(pod?.annotations.get("millrace.io/exclude"), "true");
  assert.equal(pod?.containers.get("proxy")?.image, "envoy:2");
});

void test("only this node's pods are asked for, with bookmarks and an end to each watch", async (t) => {
  const g = await given(t);
  g.server.put({ name: "other", uid: "u2", node: "n2" });
  const directory = g.acquire();
  await following(directory, g);
  assert.equal(directory.peek("u2"), undefined);
  const [list, watch] = g.server.requests;
  assert.equal(list?.query.get("fieldSelector"), "spec.nodeName=n1");
  assert.equal(watch?.query.get("fieldSelector"), "spec.nodeName=n1");
  assert.equal(watch?.query.get("allowWatchBookmarks"), "true");
  assert.equal(watch?.query.get("timeoutSeconds"), "300");
  assert.equal(watch?.query.get("resourceVersion"), String(g.server.store.version));
});

void test("a look-up waits until the pod appears, is changed by a change, and outlives a deletion", async (t) => {
  const g = await given(t);
  const directory = g.acquire();
  const waiting = directory.lookUp("u1");
  await waitFor("the wait", () => directory.counts.waiting === 1);
  await waitFor("the watch", () => g.server.watching === 1);
  // A pod is told of when a node gets it.
  g.server.put({ name: "a", uid: "u1" });
  g.server.put({ name: "a", uid: "u1", node: "n1" });
  assert.equal((await within("look-up", waiting))?.name, "a");
  g.server.put({ name: "a", uid: "u1", node: "n1", labels: { v: "2" } });
  await waitFor("the change", () => directory.peek("u1")?.labels.get("v") === "2");
  assert.equal(directory.counts.pods, 1);
  g.server.remove("a");
  await waitFor("the deletion", () => directory.counts.pods === 0);
  assert.equal(directory.peek("u1")?.labels.get("v"), "2");
  assert.equal(directory.peekName("default", "a")?.uid, "u1");
  assert.equal(g.restarts.value, 0);
});

void test("a static pod is known by the uid of its log directory", async (t) => {
  const g = await given(t);
  const annotations = {
    "kubernetes.io/config.hash": "9f2c",
    "kubernetes.io/config.mirror": "9f2c",
  };
  g.server.put({ name: "etcd-n1", uid: "mirror", node: "n1", annotations });
  assert.equal((await g.acquire().lookUp("9f2c"))?.uid, "mirror");
});

void test("a list comes in pages", async (t) => {
  const g = await given(t);
  g.server.pageCachedLists = true;
  for (let i = 0; i < 5; i++) g.server.put({ name: `p${i}`, node: "n1" });
  const directory = g.acquire();
  await following(directory, g);
  assert.equal(directory.counts.pods, 5);
  assert.equal(g.server.requests.filter(({ query }) => query.has("continue")).length, 2);
});

void test("an unknown pod is given up after the bound, also when the API server is away", async (t) => {
  const g = await given(t);
  const directory = g.acquire();
  await following(directory, g);
  assert.equal(await directory.lookUp("nobody"), undefined);
  await g.server.stop();
  const away = g.acquire({ nodeName: "n3", waitMs: 50 });
  assert.equal(await within("look-up", away.lookUp("u1")), undefined);
  assert.equal(away.counts.waiting, 0);
  const given_up = new AbortController();
  const aborted = directory.lookUp("u1", given_up.signal);
  given_up.abort();
  assert.equal(await within("aborted look-up", aborted), undefined);
});

void test("equal settings share one watch, whose end is the last release", async (t) => {
  const g = await given(t);
  const first = g.acquire();
  const second = g.acquire({ waitMs: 1 });
  await following(first, g);
  assert.equal(g.server.requests.length, 2);
  first.release();
  first.release();
  assert.ok(second.current);
  const waiting = second.lookUp("u1");
  second.release();
  assert.equal(await within("the released look-up", waiting), undefined);
  await waitFor("the watch to end", () => g.server.watching === 0);
  const third = g.acquire();
  await following(third, g);
  assert.equal(third.counts.pods, 0);
});

void test("without an address or a node nothing is known, and one line says what to set", async (t) => {
  for (const [missing, what] of [
    ["apiServer", /KUBERNETES_SERVICE_HOST/],
    ["nodeName", /NODE_NAME/],
  ] as const) {
    const g = await given(t);
    const directory = g.acquire({ [missing]: undefined });
    assert.equal(await directory.lookUp("u1"), undefined);
    assert.equal(g.log.lines.length, 1);
    assert.ok(said(g, what));
  }
});

void test("a watch that ends or breaks goes on from the last version, without another list", async (t) => {
  const g = await given(t);
  const directory = g.acquire();
  await following(directory, g);
  g.server.put({ name: "a", node: "n1" });
  await waitFor("a", () => directory.counts.pods === 1);
  g.server.endWatches();
  await waitFor("the second watch", () => g.server.requests.length === 3);
  assert.equal(g.restarts.value, 0, "the end of a watch is no restart");
  g.server.put({ name: "b", node: "n1" });
  await waitFor("b", () => directory.counts.pods === 2);
  g.server.cutWatches();
  g.server.put({ name: "c", node: "n1" });
  await waitFor("c", () => directory.counts.pods === 3);
  assert.equal(g.restarts.value, 1);
  const lists = g.server.requests.filter(({ query }) => !query.has("watch"));
  assert.equal(lists.length, 1);
});

void test("a watch whose other end is gone silently is noticed by its silence", async (t) => {
  const g = await given(t, impatient);
  const directory = g.acquire();
  await following(directory, g);
  g.server.hangWatches();
  g.server.put({ name: "a", node: "n1" });
  await waitFor("the pod after the silence", () => directory.counts.pods === 1);
  assert.ok(g.restarts.value >= 1);
});

for (const goneAs of ["status", "event"] as const) {
  void test(`a version that is too old, told as ${goneAs}, makes a new list`, async (t) => {
    const g = await given(t);
    g.server.goneAs = goneAs;
    g.server.put({ name: "a", uid: "ua", node: "n1" });
    const directory = g.acquire();
    await following(directory, g);
    await g.server.stop();
    g.server.remove("a");
    g.server.put({ name: "b", uid: "ub", node: "n1" });
    g.server.compact();
    await g.server.listen();
    await waitFor("the new list", () => directory.peek("ub") !== undefined);
    assert.equal(directory.counts.pods, 1);
    assert.equal(directory.peek("ua")?.name, "a", "known past its deletion");
    const lists = g.server.requests.filter(({ query }) => !query.has("watch"));
    assert.deepEqual(
      lists.map(({ query }) => query.get("resourceVersion")),
      ["0", null],
      "the second list is not from a cache",
    );
  });
}

void test("a bookmark moves the version on, so that compaction does not hurt", async (t) => {
  const g = await given(t);
  const directory = g.acquire();
  await following(directory, g);
  for (let i = 0; i < 5; i++)
    g.server.put({ name: "elsewhere", node: "n2", labels: { i: `${i}` } });
  g.server.bookmark();
  g.server.put({ name: "a", node: "n1" });
  await waitFor("the pod behind the bookmark", () => directory.counts.pods === 1);
  g.server.compact();
  g.server.cutWatches();
  await waitFor("the next watch", () => g.server.requests.length === 3);
  await following(directory, g);
  assert.equal(g.server.requests.filter(({ status }) => status === 410).length, 0);
});

void test("a version that the API server has not come to yet, as after its restoration, makes a new list", async (t) => {
  const g = await given(t, impatient);
  for (let i = 0; i < 9; i++)
    g.server.put({ name: "a", uid: "ua", node: "n1", labels: { i: `${i}` } });
  const directory = g.acquire();
  await following(directory, g);
  g.server.restore(1001);
  g.server.put({ name: "b", uid: "ub", node: "n1" });
  await waitFor("the pod", () => directory.peek("ub") !== undefined);
  await following(directory, g);
  g.server.put({ name: "c", uid: "uc", node: "n1" });
  await waitFor("the next pod", () => directory.peek("uc") !== undefined);
});

void test("a watch that fails while lists do not is told once, and is no directory that is followed", async (t) => {
  const g = await given(t);
  g.server.put({ name: "a", uid: "u1", node: "n1" });
  g.server.watchFault = { status: 503 };
  const directory = g.acquire();
  await waitFor("many questions", () => g.server.requests.length >= 12);
  assert.equal(directory.peek("u1")?.name, "a");
  assert.ok(!directory.current);
  assert.equal(g.log.lines.length, 1, g.log.lines.map(({ message }) => message).join("\n"));
  const lists = g.server.requests.filter(({ query }) => !query.has("watch"));
  assert.ok(
    lists.length > 1 && lists.length <= g.server.requests.length / 2,
    "listed anew, now and then",
  );
});

void test("a watch that ends at once, behind a bookmark that tells nothing, is no busy loop", async (t) => {
  const g = await given(t);
  const pauses = { firstMs: 200, maxMs: 200, livedMs: 10_000 };
  const slow = { ...limits, pauses };
  const directory = acquirePodDirectory(g.settings, systemRuntime, g.log, g.restarts, slow);
  t.after(() => directory.release());
  await following(directory, g);
  const asked = g.server.requests.length;
  const beganMs = performance.now();
  while (performance.now() - beganMs < 600) {
    g.server.bookmark();
    g.server.endWatches();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const tookMs = performance.now() - beganMs;
  const again = g.server.requests.length - asked;
  assert.ok(again <= 2 + tookMs / 100, `${again} watches in ${tookMs} ms`);
});

void test("a rotated token is read again when the old one is refused", async (t) => {
  const g = await given(t);
  const directory = g.acquire();
  await following(directory, g);
  await g.cluster.rotateToken("token-2");
  g.server.cutWatches();
  g.server.put({ name: "a", node: "n1" });
  await waitFor("the pod", () => directory.counts.pods === 1);
  assert.deepEqual(
    g.server.requests.slice(2).map(({ status, token }) => [status, token]),
    [
      [401, "token-1"],
      [200, "token-2"],
    ],
  );
  assert.ok(!said(g, /not followed/));
});

void test("KUBERNETES_REFUSED says which token is not taken, and names the rule that is missing", async (t) => {
  const g = await given(t);
  await g.cluster.rotateToken("unwritten", false);
  const directory = g.acquire();
  await waitFor("the line", () => said(g, /KUBERNETES_REFUSED .* 401 to the token in .*token/));
  await g.cluster.rotateToken("good");
  g.server.forbidden.add("list");
  const rule = /KUBERNETES_REFUSED .* 403 to "list pods".*cannot list.*apiGroups \[""\], resources \["pods"\], verbs \["list", "watch"\]/; // prettier-ignore
  await waitFor("the rule", () => said(g, rule));
  g.server.forbidden.clear();
  g.server.forbidden.add("watch");
  await waitFor("the rule for watch", () => said(g, /403 to "watch pods"/));
  g.server.forbidden.clear();
  await following(directory, g);
  await waitFor("the good end", () => said(g, /are again followed/));
  const lines = g.log.lines.filter(({ message }) => /403 to "watch pods"/.test(message));
  assert.equal(lines.length, 1, "what lasts is said once");
});

void test("a token or an authority that cannot be read is KUBERNETES_REFUSED, until it can", async (t) => {
  const g = await given(t);
  await rm(g.settings.tokenFile);
  const directory = g.acquire();
  await waitFor("the line", () => said(g, /KUBERNETES_REFUSED .*token cannot be read \(ENOENT\)/));
  assert.equal(g.server.requests.length, 0);
  await g.cluster.rotateToken("late");
  await following(directory, g);
});

void test("a server of another authority, or none at all, is KUBERNETES_UNAVAILABLE", async (t) => {
  const g = await given(t);
  const stranger = createTestAuthority("a stranger").certificatePem;
  const { caFile } = g.settings;
  await writeFile(`${caFile}.other`, stranger);
  g.acquire({ caFile: `${caFile}.other` });
  await waitFor("the line about trust", () => said(g, /KUBERNETES_UNAVAILABLE .*certificate/));
  assert.equal(g.server.requests.length, 0, "nobody was shown the token");
  await g.server.stop();
  g.acquire({ nodeName: "n9" });
  await waitFor("the line about nobody", () => said(g, /KUBERNETES_UNAVAILABLE .*ECONNREFUSED/));
});

const faults = [
  "hang",
  "cut",
  "garbage",
  { status: 500 },
  { status: 503 },
  { status: 404 },
] as const;
for (const fault of faults) {
  const name = typeof fault === "string" ? fault : `status ${fault.status}`;
  void test(`a server that answers with ${name} is asked again until it is well`, async (t) => {
    const g = await given(t, fault === "hang" ? impatient : {});
    g.server.put({ name: "a", uid: "u1", node: "n1" });
    g.server.fault = fault;
    const directory = g.acquire();
    await waitFor("three questions", () => g.server.requests.length >= 3);
    assert.equal(directory.peek("u1"), undefined);
    assert.ok(!directory.current);
    g.server.fault = "none";
    assert.equal((await within("look-up", directory.lookUp("u1")))?.name, "a");
    assert.ok(g.restarts.value >= 2);
    assert.ok(g.log.lines.length <= 4, g.log.lines.map(({ message }) => message).join("\n"));
  });
}

void test("Retry-After is waited for", async (t) => {
  const g = await given(t);
  g.server.fault = { status: 429, retryAfterSeconds: 1 };
  const beganMs = performance.now();
  const directory = g.acquire();
  await waitFor("the refusal", () => g.server.requests.length === 1);
  g.server.fault = "none";
  await following(directory, g);
  assert.ok(performance.now() - beganMs >= 990, "asked again before its time");
  assert.equal(g.server.requests.length, 3);
});

const lines = [
  { name: "no JSON", line: "}{\n", restarts: 1 },
  { name: "no object", line: "7\n", restarts: 1 },
  { name: "an unknown error", line: `{"type":"ERROR","object":null}\n`, restarts: 1 },
  { name: "an event without an object", line: `{"type":"ADDED"}\n`, restarts: 1 },
  { name: "a pod of nonsense", line: `{"type":"ADDED","object":{"metadata":{"resourceVersion":"1000","labels":[1]},"spec":3}}\n`, restarts: 0 }, // prettier-ignore
];
for (const { name, line, restarts } of lines) {
  void test(`a watch that tells ${name} does no harm`, async (t) => {
    const g = await given(t);
    const directory = g.acquire();
    await following(directory, g);
    g.server.sendToWatches(line);
    g.server.put({ name: "a", node: "n1" });
    await waitFor("the pod behind it", () => directory.counts.pods === 1);
    assert.equal(g.restarts.value, restarts);
  });
}

void test("where the pieces of what is sent end makes no difference", async (t) => {
  const g = await given(t);
  g.server.pieces = createSeededRandom(11);
  for (let i = 0; i < 20; i++) g.server.put({ name: `p${i}`, node: "n1", labels: { t: "é€😀" } });
  const directory = g.acquire();
  await following(directory, g);
  for (let i = 20; i < 60; i++) g.server.put({ name: `p${i}`, node: "n1", labels: { t: "é€😀" } });
  await waitFor("all pods", () => directory.counts.pods === 60);
  assert.equal(directory.peek("uid-p59")?.labels.get("t"), "é€😀");
  assert.equal(g.restarts.value, 0);
});

void test("a change over the limit is passed over, and the next one is not", async (t) => {
  const g = await given(t);
  const api = { ...limits.api, eventBytesMax: 20_000 };
  const directory = acquirePodDirectory(g.settings, systemRuntime, g.log, g.restarts, {
    ...limits,
    api,
  });
  t.after(() => directory.release());
  await following(directory, g);
  g.server.put({ name: "big", node: "n1", annotations: { a: "x".repeat(50_000) } });
  g.server.put({ name: "small", node: "n1" });
  await waitFor("the pod behind it", () => directory.peek("uid-small") !== undefined);
  assert.equal(directory.peek("uid-big"), undefined);
  assert.ok(said(g, /over the limit and was passed over/));
  assert.equal(g.restarts.value, 0);
});

void test("a list whose pages go round in a circle is given up", async (t) => {
  const g = await given(t);
  g.server.pageCachedLists = true;
  for (let i = 0; i < 5; i++) g.server.put({ name: `p${i}`, node: "n1" });
  g.server.pagesRepeat = true;
  const directory = g.acquire();
  await waitFor("the line", () =>
    said(g, /KUBERNETES_UNAVAILABLE .*a page that is followed by itself/),
  );
  assert.equal(directory.counts.pods, 0);
  g.server.pagesRepeat = false;
  await following(directory, g);
  assert.equal(directory.counts.pods, 5);
});

void test("a list of more pods than a node can have is not kept", async (t) => {
  const g = await given(t);
  for (let i = 0; i < 101; i++) g.server.put({ name: `p${i}`, node: "n1" });
  const directory = g.acquire();
  await waitFor("the line", () => said(g, /KUBERNETES_UNAVAILABLE .*a list of over 100 pods/));
  assert.equal(directory.counts.pods, 0);
});

void test("an authority or a token that is nonsense is told as what it is", async (t) => {
  const g = await given(t);
  const { caFile, tokenFile } = g.settings;
  const bad = { caFile: `${caFile}.bad`, tokenFile: `${tokenFile}.bad` };
  await writeFile(
    bad.caFile,
    "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
  );
  await writeFile(bad.tokenFile, "two\nlines\n");
  g.acquire({ caFile: bad.caFile });
  await waitFor("the authority", () => said(g, /KUBERNETES_REFUSED .*ca\.crt\.bad/));
  g.acquire({ tokenFile: bad.tokenFile });
  await waitFor("the token", () => said(g, /KUBERNETES_REFUSED .*token\.bad/));
  assert.ok(g.log.lines.every(({ message }) => !message.includes("two")));
});

void test("a list over the limit is not read to its end", async (t) => {
  const g = await given(t);
  g.server.put({ name: "big", node: "n1", annotations: { a: "x".repeat(50_000) } });
  const api = { ...limits.api, pageBytesMax: 20_000 };
  const directory = acquirePodDirectory(g.settings, systemRuntime, g.log, g.restarts, {
    ...limits,
    api,
  });
  t.after(() => directory.release());
  await waitFor("the line", () => said(g, /an answer of over 20000 bytes/));
  assert.equal(directory.counts.pods, 0);
});

void test("without TLS no token is sent", async (t) => {
  const g = await given(t);
  const authorizations: (string | undefined)[] = [];
  const plain = createServer((request, response) => {
    authorizations.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  t.after(() => plain.close());
  const { port } = plain.address() as AddressInfo;
  g.acquire({ apiServer: `http://127.0.0.1:${port}` });
  await waitFor("a request", () => authorizations.length > 0);
  assert.deepEqual(new Set(authorizations), new Set([undefined]));
});
