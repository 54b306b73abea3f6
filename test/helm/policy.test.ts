import assert from "node:assert/strict";
import { test } from "node:test";
import { type Container, componentOf, find, isWorkload, type Manifest, podOf } from "./harness/manifest.ts"; // prettier-ignore
import { type Helm, findHelm, type Rendered, valueFiles } from "./harness/render.ts";

/** A test for each file of values. */
function forEach(
  what: string,
  judge: (rendered: Rendered, name: string, helm: Helm) => void,
): void {
  for (const name of valueFiles) {
    void test(`${name}: ${what}`, (context) => {
      const helm = findHelm(context);
      if (helm !== undefined) judge(helm.render({ values: name }), name, helm);
    });
  }
}

const pods = ({ manifests }: Rendered) =>
  manifests.flatMap((manifest) => {
    const pod = podOf(manifest);
    return pod === undefined ? [] : [{ manifest, pod }];
  });

const containers = (rendered: Rendered): { container: Container; where: string }[] =>
  pods(rendered).flatMap(({ manifest, pod }) =>
    [...(pod.initContainers ?? []), ...pod.containers].map((container) => ({
      container,
      where: `${manifest.kind} ${manifest.metadata.name}, ${container.name}`,
    })),
  );

forEach(
  "every container may do as little as possible, and has requests and a limit",
  (rendered) => {
    const all = containers(rendered);
    assert.ok(all.length >= 1);
    for (const { container, where } of all) {
      const security = container.securityContext;
      assert.equal(security?.readOnlyRootFilesystem, true, where);
      assert.equal(security?.allowPrivilegeEscalation, false, where);
      assert.notEqual(security?.privileged, true, where);
      assert.deepEqual(security?.capabilities, { drop: ["ALL"] }, where);
      assert.ok(container.resources?.requests?.["memory"], where);
      assert.ok(container.resources?.requests?.["cpu"], where);
      assert.ok(container.resources?.limits?.["memory"], where);
    }
  },
);

forEach("no pod shares anything of its node but the directories of an edge", (rendered, values) => {
  for (const { manifest, pod } of pods(rendered)) {
    const where = `${manifest.kind} ${manifest.metadata.name}`;
    assert.ok(!pod.hostNetwork && !pod.hostPID && !pod.hostIPC, where);
    assert.equal(pod.securityContext?.seccompProfile?.type, "RuntimeDefault", where);
    const fromNode = (pod.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined);
    if (manifest.kind === "DaemonSet") {
      assert.equal(pod.securityContext?.runAsUser, 0, where);
      const mounts = pod.containers.flatMap(({ volumeMounts }) => volumeMounts ?? []);
      for (const { name } of fromNode) {
        const mount = mounts.find((each) => each.name === name);
        const mayWrite = name === "state" || (name === "logs" && values === "extras");
        assert.equal(mount?.readOnly ?? false, !mayWrite, `${where}, ${name}`);
      }
      continue;
    }
    assert.deepEqual(fromNode, [], where);
    assert.equal(pod.securityContext?.runAsNonRoot, true, where);
  }
});

forEach("no emptyDir is without a bound, and none of an edge holds events", (rendered) => {
  for (const { manifest, pod } of pods(rendered)) {
    for (const { name, emptyDir } of pod.volumes ?? []) {
      if (emptyDir === undefined) continue;
      assert.ok(emptyDir.sizeLimit, `${manifest.metadata.name}, ${name}`);
      if (manifest.kind !== "Deployment") assert.ok(["run", "tmp"].includes(name), name);
    }
  }
});

forEach("no ConfigMap has a secret", ({ manifests }) => {
  for (const { kind, metadata, data = {} } of manifests) {
    assert.notEqual(kind, "Secret", `${metadata.name}: a template makes new keys at every render`);
    if (kind !== "ConfigMap") continue;
    const text = Object.values(data).join("\n");
    assert.doesNotMatch(text, /PRIVATE KEY|password *= *[^$\s]|token *= *[^$\s]/i, metadata.name);
  }
});

forEach("selectors are unlike each other, and each finds its own pods", ({ manifests }) => {
  const workloads = manifests.filter(isWorkload);
  assert.ok(workloads.length >= 1);
  const selectors = workloads.map(({ spec }) => JSON.stringify(spec?.selector?.matchLabels));
  assert.equal(new Set(selectors).size, selectors.length);
  for (const { spec, metadata } of workloads) {
    const labels = spec?.template?.metadata.labels ?? {};
    const wanted = Object.entries(spec?.selector?.matchLabels ?? {});
    assert.ok(wanted.length >= 3);
    for (const [key, value] of wanted) assert.equal(labels[key], value, metadata.name);
  }
});

forEach(
  "names and labels are as long as Kubernetes allows, and no object is there twice",
  ({ manifests }) => {
    const seen = new Set<string>();
    for (const { kind, metadata, spec } of manifests) {
      assert.ok(metadata.name.length <= 63, metadata.name);
      // Its pods have a label made of its name, a dash and ten digits.
      if (kind === "StatefulSet") assert.ok(metadata.name.length <= 52, metadata.name);
      const id = `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
      assert.ok(!seen.has(id), id);
      seen.add(id);
      const labels = { ...metadata.labels, ...spec?.template?.metadata.labels };
      for (const [key, value] of Object.entries(labels)) {
        assert.ok(value.length <= 63, `${id}: ${key}=${value}`);
      }
    }
  },
);

forEach(
  "a checksum is there when a change rolls, and the agent watches when not; never both",
  ({ manifests }, name) => {
    const workloads = manifests.filter(isWorkload);
    for (const { spec, metadata } of workloads) {
      const hasChecksum = Object.keys(spec?.template?.metadata.annotations ?? {}).some((key) =>
        key.startsWith("checksum/"),
      );
      const args = spec?.template?.spec.containers[0]?.args ?? [];
      assert.equal(hasChecksum, name === "roll", metadata.name);
      assert.ok(args.includes(`-Dmillrace.reload=${name === "roll" ? "off" : "watch"}`));
    }
  },
);

forEach(
  "the time to stop is the drain's and 30 s, divided among what happens then",
  ({ manifests }) => {
    for (const { spec, metadata } of manifests.filter(isWorkload)) {
      const pod = spec?.template?.spec;
      const args = pod?.containers[0]?.args ?? [];
      const seconds = (name: string): number =>
        Number(args.find((word) => word.startsWith(`-D${name}=`))?.split("=")[1] ?? 0);
      const drain = seconds("millrace.drainSeconds");
      assert.ok(drain > 0, metadata.name);
      const sum = drain + seconds("millrace.handOverSeconds") + 30;
      assert.equal(sum, pod?.terminationGracePeriodSeconds, metadata.name);
      assert.equal(seconds("millrace.lockWaitSeconds"), sum, metadata.name);
      const { startupProbe } = pod?.containers[0] ?? {};
      const allowed = (startupProbe?.periodSeconds ?? 0) * (startupProbe?.failureThreshold ?? 0);
      assert.ok(allowed >= sum + 300, `${metadata.name}: a start may take ${allowed} s`);
    }
  },
);

forEach("the three probes ask three questions of a port that is there", ({ manifests }) => {
  for (const { spec, metadata } of manifests.filter(isWorkload)) {
    const container = spec?.template?.spec.containers[0];
    const ports = (container?.ports ?? []).map(({ name }) => name);
    const paths = [
      container?.startupProbe,
      container?.livenessProbe,
      container?.readinessProbe,
    ].map((probe) => {
      assert.ok(ports.includes(probe?.httpGet.port ?? "none"), metadata.name);
      return probe?.httpGet.path;
    });
    assert.deepEqual(paths, ["/startedz", "/healthz", "/readyz"], metadata.name);
  }
});

forEach("rights on the API server are those that are used", ({ manifests }, name) => {
  const roles = manifests.filter(({ kind }) => kind === "ClusterRole" || kind === "Role");
  const asksPods = !["own-conf", "locked-down", "collector-only"].includes(name);
  assert.equal(
    roles.some(({ kind }) => kind === "ClusterRole"),
    asksPods,
  );
  for (const { kind, rules = [] } of roles) {
    for (const { resources, verbs, resourceNames } of rules) {
      if (kind === "ClusterRole") {
        assert.deepEqual({ resources, verbs }, { resources: ["pods"], verbs: ["list", "watch"] });
        continue;
      }
      assert.deepEqual(resources, ["secrets"]);
      if (!verbs.includes("create")) assert.equal(resourceNames?.length, 2);
    }
  }
  for (const { manifest, pod } of pods({ text: "", manifests })) {
    const needs = manifest.kind === "DaemonSet" ? asksPods : manifest.kind === "Job";
    assert.equal(pod.automountServiceAccountToken, needs, manifest.metadata.name);
  }
});

forEach("what holds events has a volume that outlives its pod", ({ manifests }) => {
  for (const manifest of manifests.filter(isWorkload)) {
    const conf = manifests.find(
      ({ kind, data, metadata }) =>
        kind === "ConfigMap" &&
        data?.[`${componentOf(manifest)}.conf`] !== undefined &&
        metadata.name,
    )?.data?.[`${componentOf(manifest)}.conf`];
    if (conf === undefined || !/channels\.\w+\.type = file/.test(conf)) continue;
    const claims = manifest.spec?.volumeClaimTemplates?.map(({ metadata }) => metadata.name) ?? [];
    const volumes = podOf(manifest)?.volumes ?? [];
    const state = volumes.find(({ name }) => name === "state");
    assert.ok(claims.includes("state") || state?.hostPath !== undefined, manifest.metadata.name);
  }
});

void test("a monitor finds the pods and Services it is for, and the job is called millrace", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  for (const [values, kind] of [
    ["operator", "ServiceMonitor"],
    ["pod-monitor", "PodMonitor"],
  ] as const) {
    const { manifests } = helm.render({ values });
    const monitors = manifests.filter((each) => each.kind === kind);
    assert.equal(monitors.length, 2);
    for (const { spec } of monitors) {
      const wanted = Object.entries(spec?.selector?.matchLabels ?? {});
      const targets = manifests
        .filter((each) => (kind === "PodMonitor" ? isWorkload(each) : each.kind === "Service"))
        .map((each) =>
          kind === "PodMonitor" ? each.spec?.template?.metadata.labels : each.metadata.labels,
        );
      const found = targets.filter((labels) =>
        wanted.every(([key, value]) => labels?.[key] === value),
      );
      assert.equal(found.length, 1, "each pod is scraped once");
      assert.equal(found[0]?.["app.kubernetes.io/part-of"], "millrace");
      // MillraceMixedConfig tells two releases of one namespace apart by it.
      const { podTargetLabels } = spec as { podTargetLabels?: readonly string[] };
      assert.deepEqual(podTargetLabels, ["app.kubernetes.io/instance"]);
    }
  }
  const rules = helm.render({ values: "operator" }).text;
  assert.match(rules, /runbook_url: https:\/\/docs\.example\/runbook\.md#millraceeventslost/);
});

void test("edges and collectors find each other by names that exist", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  for (const release of [
    "millrace",
    "other",
    "a-release-with-a-name-that-is-much-too-long-for-us",
  ]) {
    const { manifests } = helm.render({ values: "default", release });
    const conf = find(manifests, "ConfigMap", "edge").data?.["edge.conf"] ?? "";
    const services = manifests.filter(({ kind }) => kind === "Service");
    const host = /near\.hostname = dns:\/\/([^:]+):(\d+)/.exec(conf);
    const headless = services.find(({ metadata }) => metadata.name === host?.[1]);
    assert.equal(headless?.spec?.clusterIP, "None");
    assert.equal(headless?.spec?.publishNotReadyAddresses, true);
    assert.equal(String(headless?.spec?.ports?.[0]?.port), host?.[2]);
    assert.equal(find(manifests, "StatefulSet").spec?.serviceName, headless?.metadata.name);
    const far = /far\.hostname = \$\{env:(\w+)_SERVICE_HOST:-([^}]+)\}/.exec(conf);
    const service = services.find(({ metadata }) => metadata.name === far?.[2]);
    assert.equal(service?.metadata.name.toUpperCase().replaceAll("-", "_"), far?.[1]);
  }
});

/** What Kubernetes refuses to change in a workload that exists. */
const immutable = (manifest: Manifest): string => {
  const { kind, metadata, spec } = manifest;
  const { selector, serviceName, volumeClaimTemplates } = spec ?? {};
  return JSON.stringify({ kind, name: metadata.name, selector, serviceName, volumeClaimTemplates });
};

const upgrades = [
  { name: "another image", set: ["image.tag=9.9.9"] },
  { name: "labels for all", set: ["commonLabels.team=x", "collector.pod.labels.a=b"] },
  { name: "more collectors", set: ["collector.replicas=5"] },
  { name: "another budget", set: ["edge.stateDir.budget=8Gi", "collector.drain.graceSeconds=900"] },
  { name: "another way to roll out", set: ["config.onChange=roll"] },
  { name: "another store", set: ["collector.extraConf=x"] },
  { name: "monitors", set: ["monitoring.serviceMonitor.enabled=true", "monitoring.port=9100"] },
  { name: "autoscaling", set: ["collector.autoscaling.enabled=true"] },
  { name: "TLS of another maker", set: ["tls.mode=secret", "tls.secretName=x"] },
];
for (const { name, set } of upgrades) {
  void test(`an upgrade to ${name} changes nothing that cannot be changed`, (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const old = helm.render({ values: "default" }).manifests.filter(isWorkload);
    const fresh = helm.render({ values: "default", set }).manifests.filter(isWorkload);
    assert.equal(old.length, 2);
    assert.deepEqual(fresh.map(immutable), old.map(immutable));
  });
}

void test("an upgrade to a newer chart changes nothing that cannot be changed", (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const { manifests } = helm.render({ values: "default" });
  const workloads = manifests.filter(isWorkload).map(immutable).join();
  assert.ok(workloads.includes("volumeClaimTemplates"));
  // The chart's version and the application's are in labels that no selector and no claim has.
  assert.doesNotMatch(workloads, /helm\.sh\/chart|app\.kubernetes\.io\/version/);
});
