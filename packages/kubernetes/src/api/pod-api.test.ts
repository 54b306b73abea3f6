import { systemRuntime } from "@millrace/core";
import { createSeededRandom, createTestAuthority, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { following, given, impatient, limits, said } from "../pods/given-directory.test.ts";
import { acquirePodDirectory } from "../pods/pod-directory.ts";

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
