import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePod } from "./parse-pod.ts";

const uid = "7d1f2c3e-0000-4000-8000-000000000001";
const mirror = (hash: string) => ({
  "kubernetes.io/config.hash": hash,
  "kubernetes.io/config.mirror": hash,
});

function pod(annotations: Record<string, string>, labels: Record<string, string> = {}) {
  const metadata = { name: "p", namespace: "default", uid, annotations, labels };
  return parsePod({ metadata, spec: { nodeName: "n1" } });
}

void test("a static pod's logs are under the digest of its file", () => {
  assert.equal(pod(mirror("9f2c0d0e"))?.logUid, "9f2c0d0e");
  assert.equal(pod({})?.logUid, uid);
  assert.equal(pod({ "kubernetes.io/config.hash": "9f2c" })?.logUid, uid, "it is no mirror");
});

void test("no pod is taken for another one whose uid it claims to be the mirror of", () => {
  assert.equal(pod(mirror("7d1f2c3e-0000-4000-8000-000000000002"))?.logUid, uid);
  assert.equal(pod(mirror(""))?.logUid, uid);
});

void test("of long annotations the beginning is kept, and no more of them all than a limit", () => {
  const many = Object.fromEntries(
    Array.from({ length: 5000 }, (_, i) => [`a.example.org/${i}`, "x".repeat(40)]),
  );
  const kept = pod({ ...many, long: "y".repeat(200_000), "millrace.io/channel": "audit" }, many);
  const { annotations, labels } = kept?.pod ?? assert.fail("no pod");
  for (const texts of [annotations, labels]) {
    const length = [...texts].reduce((sum, [name, text]) => sum + name.length + text.length, 0);
    assert.ok(length > 60_000 && length < 70_000, String(length));
  }
  assert.equal(annotations.get("millrace.io/channel"), "audit", "what is for us is kept");
  assert.equal(pod({ long: "y".repeat(200_000) })?.pod.annotations.get("long")?.length, 4096);
});
