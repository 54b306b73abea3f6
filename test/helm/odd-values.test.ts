/** Values that nobody thinks of until somebody has them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { find, isWorkload, type Manifest, podOf } from "./harness/manifest.ts";
import { chart, findHelm } from "./harness/render.ts";

const image = "image.repository=registry.example/millrace";

/** What Kubernetes 1.33 takes as a Service's name (RFC 1035). */
const serviceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

for (const { release, over = "" } of [
  { release: "my.release" },
  { release: "123", over: 'nameOverride: "456"\nfullnameOverride: logs' },
  { release: "a".repeat(53) },
  { release: "millrace", over: `fullnameOverride: ${"long-".repeat(12)}name` },
  { release: "x", over: "nameOverride: logs" },
]) {
  void test(`release ${release} ${over} has names that Services may have, and labels that are text`, (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const { manifests } = helm.render({ release, over, set: [image] });
    for (const { kind, metadata, spec } of manifests) {
      assert.match(metadata.name, serviceName, kind);
      const labels = [
        metadata.labels,
        spec?.template?.metadata.labels,
        spec?.selector?.matchLabels,
      ];
      for (const value of labels.flatMap((each) => Object.values(each ?? {}))) {
        assert.equal(typeof value, "string", `${kind} ${metadata.name}: ${String(value)}`);
      }
    }
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.equal(new Set(names).size, names.length);
  });
}

void test("two releases in one namespace have no object and no pod in common", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const long = "a-release-name-of-almost-fifty-characters-number-";
  const ids = (release: string): string[] =>
    helm
      .render({ release, set: [image] })
      .manifests.flatMap(({ kind, metadata, spec }) => [
        `${kind} ${metadata.name}`,
        ...(spec?.selector === undefined ? [] : [`${kind} ${JSON.stringify(spec.selector)}`]),
      ]);
  for (const [one, two] of [
    ["blue", "green"],
    ["millrace", "millrace-2"],
    [`${long}1`, `${long}2`],
  ] as const) {
    const [ours, theirs] = [ids(one), new Set(ids(two))];
    assert.ok(ours.length >= 25 && theirs.size >= 25, `${ours.length} and ${theirs.size}`);
    const both = ours.filter((id) => theirs.has(id));
    assert.deepEqual(both, []);
  }
});

void test("labels of your own do not replace those that objects are found by", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const own = { "app.kubernetes.io/name": "x", "app.kubernetes.io/component": "y", "app.kubernetes.io/part-of": "z", team: "logging" }; // prettier-ignore
  const over = JSON.stringify({
    commonLabels: own,
    edge: { pod: { labels: own } },
    collector: { pod: { labels: own } },
  });
  const { manifests } = helm.render({ over, set: [image] });
  const find = (labels: Readonly<Record<string, string>> | undefined, key: string) =>
    labels?.[`app.kubernetes.io/${key}`];
  let seen = 0;
  for (const { kind, metadata, spec } of manifests) {
    const all = [metadata.labels, spec?.template?.metadata.labels];
    for (const labels of all) {
      if (labels?.["team"] === undefined) continue;
      seen++;
      assert.equal(find(labels, "name"), "millrace", `${kind} ${metadata.name}`);
      assert.equal(find(labels, "part-of"), "millrace", `${kind} ${metadata.name}`);
      assert.notEqual(find(labels, "component"), "y", `${kind} ${metadata.name}`);
    }
  }
  assert.ok(seen > 15, `${seen} objects have the label only`);
});

interface Values {
  readonly [key: string]: Values | unknown[] | string | number | boolean | null;
}

/** "a.b" of every value of the chart, whatever is in it. */
function paths(properties: Readonly<Record<string, Schema>>, at = ""): string[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const path = at === "" ? key : `${at}.${key}`;
    return [path, ...paths(schema.properties ?? {}, path)];
  });
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

void test("a value that is null, or missing after --reuse-values, is named or means nothing given", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as Schema;
  let refused = 0;
  let rendered = 0;
  const { global: _, ...properties } = schema.properties ?? {};
  for (const path of paths(properties)) {
    const over = path.split(".").reduceRight<Values | null>((inner, key) => ({ [key]: inner }), null); // prettier-ignore
    const { status, stderr } = helm.run(
      ["template", "millrace", chart, "--kube-version", "1.33.0", "--set", image, "-f", "-"],
      JSON.stringify(over),
    );
    if (status === 0) rendered++;
    else refused++;
    assert.doesNotMatch(stderr, /nil pointer|error calling|wrong type|invalid value/, path);
    if (status === 0 || path.startsWith("image")) continue;
    assert.match(stderr, new RegExp(`missing propert.*'${path.split(".").at(-1)}'|got null`), path);
  }
  assert.ok(refused > 60 && rendered > 30, `${refused} refused, ${rendered} rendered`);
});

void test("the Job that makes certificates and the pod of helm test run where collectors may run, or edges where there are none", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const place = (role: string): string[] => [
    `${role}.pod.nodeSelector.pool=logging`,
    `${role}.pod.tolerations[0].key=logging`,
    `${role}.pod.tolerations[0].operator=Exists`,
    `${role}.pod.priorityClassName=high`,
  ];
  for (const set of [
    place("collector"),
    ["collector.enabled=false", "edge.standby.host=x", ...place("edge")],
  ]) {
    const { manifests } = helm.render({ set: [image, ...set] });
    const passing = manifests.filter(({ kind }) => kind === "Job" || kind === "Pod");
    assert.equal(passing.length, set.length === 4 ? 2 : 1);
    for (const each of passing) {
      const pod = podOf(each) as unknown as Record<string, unknown>;
      assert.deepEqual(pod["nodeSelector"], { pool: "logging" }, each.kind);
      assert.deepEqual(pod["tolerations"], [{ key: "logging", operator: "Exists" }], each.kind);
      assert.equal(pod["priorityClassName"], "high", each.kind);
    }
  }
});

void test("the Job has a ServiceAccount that is there before the release is", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const isHook = ({ metadata }: Manifest) =>
    metadata.annotations?.["helm.sh/hook"]?.includes("pre-install") === true;
  const account = (manifests: readonly Manifest[]) =>
    (podOf(find(manifests, "Job")) as unknown as { serviceAccountName: string }).serviceAccountName;
  const { manifests } = helm.render({ set: [image] });
  const hooks = manifests.filter(({ kind }) => kind === "ServiceAccount").filter(isHook);
  assert.deepEqual([account(manifests)], hooks.map(({ metadata }) => metadata.name)); // prettier-ignore
  const yours = ["security.rbac.create=false", "security.serviceAccount.create=false", "security.serviceAccount.name=mine"]; // prettier-ignore
  assert.equal(account(helm.render({ set: [image, ...yours] }).manifests), "mine");
});

void test("no pod but the edge's, which asks for one, is told of every Service of its namespace", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const { manifests } = helm.render({ values: "default" });
  const pods = manifests.flatMap((manifest) => {
    const pod = podOf(manifest) as { enableServiceLinks?: boolean } | undefined;
    return pod === undefined
      ? []
      : [{ kind: manifest.kind, links: pod.enableServiceLinks ?? true }];
  });
  assert.deepEqual(
    pods.filter(({ links }) => links).map(({ kind }) => kind),
    ["DaemonSet"],
  );
  assert.ok(manifests.filter(isWorkload).length === 2 && pods.length === 4);
});

void test("spread constraints of one's own count these pods, and where they say whom, those alone", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const all = { matchLabels: { "app.kubernetes.io/name": "millrace" } };
  const given = [{}, { labelSelector: null }, { labelSelector: all }, { labelSelector: {} }];
  const topologySpreadConstraints = given.map((each, index) => ({
    ...{ maxSkew: 1, topologyKey: `key-${index}`, whenUnsatisfiable: "DoNotSchedule" },
    ...each,
  }));
  const over = JSON.stringify({ collector: { pod: { topologySpreadConstraints } } });
  const { manifests } = helm.render({ over, set: [image] });
  const set = find(manifests, "StatefulSet");
  const pod = podOf(set) as unknown as {
    topologySpreadConstraints: { labelSelector: unknown; maxSkew: number }[];
  };
  const own = { matchLabels: set.spec?.selector?.matchLabels };
  const counted = pod.topologySpreadConstraints.map(({ labelSelector }) => labelSelector);
  assert.deepEqual(counted, [own, own, all, {}]);
  assert.ok(pod.topologySpreadConstraints.every(({ maxSkew }) => maxSkew === 1));
});
