import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findValidator } from "./harness/kubernetes-schemas.ts";
import { isWorkload, type Manifest, podOf } from "./harness/manifest.ts";
import { type End, mayConnect, type Port } from "./harness/network-policies.ts";
import { findHelm, newestKubernetes, parseManifests, root, valueFiles } from "./harness/render.ts";

/** The pod of docs/scale-down.md that drains a volume that is left over. */
const rescue = ((): Manifest => {
  const text = readFileSync(join(root, "docs/scale-down.md"), "utf8");
  const [, manifest] = /apply -f - <<'EOF'\n([^]*?)\nEOF\n/.exec(text) ?? [];
  const [pod] = parseManifests(manifest ?? "");
  if (pod?.kind !== "Pod") throw new Error("docs/scale-down.md has no pod");
  return pod;
})();

/** The labels of the release's pods, by their role; "test" is the pod of `helm test`. */
function podsOf(manifests: readonly Manifest[]): Readonly<Record<string, End>> {
  const pods: Record<string, End> = { elsewhere: "elsewhere" };
  for (const { kind, spec } of manifests.filter(isWorkload)) {
    pods[kind === "DaemonSet" ? "edge" : "collector"] = spec?.template?.metadata.labels ?? {};
  }
  const reader = manifests.find(({ kind }) => kind === "Pod");
  if (reader !== undefined) pods["test"] = reader.metadata.labels ?? {};
  if (pods["collector"] !== undefined) pods["rescue"] = rescue.metadata.labels ?? {};
  return pods;
}

const portOf = (manifests: readonly Manifest[], name: string): Port => {
  for (const manifest of manifests.filter(isWorkload)) {
    const ports = podOf(manifest)?.containers.flatMap(({ ports = [] }) => ports) ?? [];
    const found = ports.find((port) => port.name === name);
    if (found !== undefined) return { name, number: found.containerPort };
  }
  throw new Error(`no pod has a port ${name}`);
};

const flows = [
  { from: "edge", to: "collector", port: "avro", why: "delivers" },
  { from: "collector", to: "collector", port: "avro", why: "hands over" },
  { from: "rescue", to: "collector", port: "avro", why: "drains what is left over" },
  { from: "edge", to: "edge", port: "http", why: "runs `millrace status`, as NOTES.txt says" },
  { from: "edge", to: "collector", port: "http", why: "runs `millrace status`" },
  { from: "collector", to: "edge", port: "http", why: "runs `millrace status`" },
  { from: "collector", to: "collector", port: "http", why: "runs `millrace status`" },
  { from: "test", to: "collector", port: "http", why: "reads what was delivered" },
] as const;

for (const name of valueFiles) {
  void test(`${name}: the network policies let through what the chart's own pods do`, (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const { manifests } = helm.render({ values: name });
    const pods = podsOf(manifests);
    let seen = 0;
    for (const { from, to, port, why } of flows) {
      const [sender, receiver] = [pods[from], pods[to]];
      if (sender === undefined || receiver === undefined) continue;
      seen++;
      const may = mayConnect(manifests, sender, receiver, portOf(manifests, port));
      assert.ok(may, `${from} to ${to}, ${port}: ${why}`);
    }
    assert.ok(seen > 0);
  });
}

void test("the network policies keep out senders and readers that nobody named", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const { manifests } = helm.render({ values: "locked-down" });
  const { edge, collector, elsewhere } = podsOf(manifests);
  assert.ok(edge !== undefined && collector !== undefined && elsewhere !== undefined);
  const stranger = { "app.kubernetes.io/name": "stranger" };
  const other = { ...(edge as object), "app.kubernetes.io/instance": "another-release" };
  const [avro, http] = [portOf(manifests, "avro"), portOf(manifests, "http")];
  for (const from of [stranger, other, elsewhere]) {
    assert.equal(mayConnect(manifests, from, collector, avro), false);
    assert.equal(mayConnect(manifests, from, edge, http), false);
    assert.equal(mayConnect(manifests, from, collector, http), false);
  }
  const store = { name: "store", number: 9092 };
  assert.equal(mayConnect(manifests, edge, elsewhere, store), false);
  assert.equal(mayConnect(manifests, collector, elsewhere, store), false);
});

void test("edges with a configuration of their own may connect to where that says", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const store = { name: "store", number: 9092 };
  for (const { values, set = [], may } of [
    { values: "default", may: false },
    { values: "own-conf", may: true },
    { values: "existing-config-map", may: true },
    { values: "default", set: ["security.networkPolicy.edgeEgress[0].ports[0].port=9092"], may: true }, // prettier-ignore
    { values: "own-conf", set: ["security.networkPolicy.edgeEgress[0].ports[0].port=9093"], may: false }, // prettier-ignore
  ]) {
    const { manifests } = helm.render({ values, set });
    const { edge } = podsOf(manifests);
    assert.ok(edge !== undefined);
    assert.equal(mayConnect(manifests, edge, "elsewhere", store), may, `${values} ${set.join()}`);
  }
});

void test("the pod that docs/scale-down.md rescues a volume with is one that Kubernetes takes, and may do little", (context) => {
  const validate = findValidator(context, newestKubernetes);
  if (validate === undefined) return;
  assert.deepEqual(validate(rescue), []);
  const [container] = podOf(rescue)?.containers ?? [];
  assert.deepEqual(container?.securityContext?.capabilities, { drop: ["ALL"] });
  assert.equal(container?.securityContext?.allowPrivilegeEscalation, false);
  // Neither a Service nor a workload may take it for one of its own.
  assert.equal(rescue.metadata.labels?.["app.kubernetes.io/component"], "rescue");
});
