import { systemRuntime } from "@millrace/core";
import { waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { following, given, impatient, limits } from "./given-directory.test.ts";
import { acquirePodDirectory } from "./pod-directory.ts";

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
