import { waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { following, given, said } from "./given-directory.test.ts";

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
