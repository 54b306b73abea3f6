import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedPod } from "../api/parse-pod.ts";
import { PodCache } from "./pod-cache.ts";

const nothing = new Map<string, never>();

function listed(name: string, uid: string): ListedPod {
  const metadata = { namespace: "default", name, uid, node: "n1" };
  const pod = { ...metadata, labels: nothing, annotations: nothing, containers: nothing };
  return { pod, logUid: uid };
}

function given() {
  const clock = createFakeClock();
  const limits = { deletedKeepMs: 600_000, deletedMax: 3, podsMax: 5 };
  return { clock, cache: new PodCache(limits, () => clock.monotonic()) };
}

void test("a deleted pod is known for ten minutes more, and no longer", async () => {
  const { clock, cache } = given();
  cache.set(listed("a", "1"));
  cache.delete(listed("a", "1"));
  assert.equal(cache.size, 0);
  await clock.advance(599_999);
  assert.equal(cache.byUid("1")?.name, "a");
  assert.equal(cache.byName("default", "a")?.uid, "1");
  await clock.advance(1);
  assert.equal(cache.byUid("1"), undefined);
  assert.equal(cache.byName("default", "a"), undefined);
});

void test("of many deleted pods the oldest are forgotten first", () => {
  const { cache } = given();
  for (const uid of ["1", "2", "3", "4"]) {
    cache.set(listed(`p${uid}`, uid));
    cache.delete(listed(`p${uid}`, uid));
  }
  assert.equal(cache.deletedCount, 3);
  assert.equal(cache.byUid("1"), undefined);
  assert.equal(cache.byName("default", "p1"), undefined);
  assert.equal(cache.byUid("2")?.name, "p2");
});

void test("a name is the pod's that has it now, whatever is told late of the one before", () => {
  const { cache } = given();
  cache.set(listed("db-0", "old"));
  cache.set(listed("db-0", "new"));
  cache.delete(listed("db-0", "old"));
  assert.equal(cache.byName("default", "db-0")?.uid, "new");
  assert.equal(cache.byUid("old")?.uid, "old");
});

void test("a list replaces: what it does not name is remembered as deleted", () => {
  const { cache } = given();
  cache.set(listed("a", "1"));
  cache.set(listed("b", "2"));
  cache.replace([listed("b", "2"), listed("c", "3")]);
  assert.deepEqual([...cache.live()].map(({ logUid }) => logUid).sort(), ["2", "3"]);
  assert.equal(cache.byUid("1")?.name, "a");
  assert.equal(cache.deletedCount, 1);
});

void test("no more pods are kept than the limit says", () => {
  const { cache } = given();
  for (let i = 0; i < 9; i++) cache.set(listed(`p${i}`, String(i)));
  assert.equal(cache.size, 5);
});

void test("a pod that claims another one's log uid is not taken for it, nor its deletion", () => {
  const { cache } = given();
  const victim = listed("a", "1");
  const claim = { ...listed("liar", "9"), logUid: "1" };
  cache.set(victim);
  cache.set(claim);
  assert.equal(cache.byUid("1")?.name, "a");
  cache.delete(claim);
  assert.equal(cache.byUid("1")?.name, "a");
  cache.replace([claim, victim]);
  assert.equal(cache.byUid("1")?.name, "a");
  assert.equal(cache.byName("default", "liar"), undefined);
  cache.delete(victim);
  cache.delete(claim);
  assert.equal(cache.byUid("1")?.name, "a");
});
