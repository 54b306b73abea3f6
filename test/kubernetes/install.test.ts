/** The chart and the plain manifests, given to a real API server by the real helm and kubectl. */
import { waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { findCustomResources } from "../helm/harness/kubernetes-schemas.ts";
import { chart, root, valueFiles, valuesFolder } from "../helm/harness/render.ts";
import { type Cluster, createCluster } from "./harness/cluster.ts";

const warning = /Warning:.*/;
const defaults = ["-f", join(valuesFolder, "default.yaml")];
const waiting = ["--wait", "--timeout", "90s"];

/** Uids of pods: another one is another pod. */
async function podsOf({ node }: Cluster, namespace: string): Promise<Map<string, string>> {
  const pods = (await node.pods()).filter(({ metadata }) => metadata.namespace === namespace);
  const lasting = pods.filter(({ status }) => status?.phase === "Running");
  return new Map(lasting.map(({ metadata }) => [metadata.name, metadata.uid]));
}

/** The same, once every workload has its pods: `helm --wait` takes a DaemonSet that no controller saw yet for ready. */
async function settledPodsOf(cluster: Cluster, namespace: string): Promise<Map<string, string>> {
  for (const kind of ["statefulset", "daemonset"]) {
    for (const name of await namesOf(cluster, namespace, `${kind}s`, "/apis/apps/v1")) {
      const status = ["rollout", "status", `${kind}/${name}`, "-n", namespace, "--timeout=90s"];
      await cluster.run("kubectl", ...status);
    }
  }
  return podsOf(cluster, namespace);
}

async function namesOf(
  { api }: Cluster,
  namespace: string,
  kind: string,
  group = "/api/v1",
): Promise<string[]> {
  const objects = await api.list(`${group}/namespaces/${namespace}/${kind}`);
  return objects.map(({ metadata }) => metadata.name).sort();
}

void test("helm installs, upgrades, rolls back, removes and installs again; running pods stay where only a configuration changes", async (t) => {
  const cluster = await createCluster(t);
  if (cluster === undefined) return;
  const { api, run, jobOutput } = cluster;
  const at = ["-n", "logging"];
  const upgrade = (...words: string[]): Promise<string> =>
    run("helm", "upgrade", "millrace", chart, ...at, ...waiting, ...defaults, ...words);

  const installed = await run(
    ...(["helm", "install", "millrace", chart, ...at, "--create-namespace"] as const),
    ...[...waiting, ...defaults],
  );
  assert.doesNotMatch(installed, warning);
  assert.match(jobOutput(), /secret logging\/millrace-tls: an authority/);
  const secret = await api.get("/api/v1/namespaces/logging/secrets/millrace-tls");
  const pem = (key: string): string => Buffer.from(secret.data?.[key] ?? "", "base64").toString();
  const certificate = new X509Certificate(pem("tls.crt"));
  assert.ok(certificate.checkIssued(new X509Certificate(pem("ca.crt"))));
  assert.equal(certificate.checkHost("millrace-collector"), "millrace-collector");
  const first = await settledPodsOf(cluster, "logging");
  const [edge = "", ...others] = [...first.keys()].sort().reverse();
  assert.match(edge, /^millrace-edge-/);
  assert.deepEqual(others, ["millrace-collector-1", "millrace-collector-0"]);
  assert.deepEqual(await namesOf(cluster, "logging", "serviceaccounts"), ["default", "millrace-collector", "millrace-edge"]); // prettier-ignore

  // Only the file in the ConfigMap is another one: nobody restarts, and the certificates stay.
  await upgrade("--set", "edge.extraConf=edge.sources.logs.batchSize = 321");
  assert.deepEqual(await settledPodsOf(cluster, "logging"), first);
  const config = await api.get("/api/v1/namespaces/logging/configmaps/millrace-edge");
  assert.match(config.data?.["edge.conf"] ?? "", /batchSize = 321/);
  assert.match(jobOutput(), /and stays/);
  assert.deepEqual((await api.get("/api/v1/namespaces/logging/secrets/millrace-tls")).data, secret.data); // prettier-ignore

  await upgrade("--set", "collector.replicas=3", "--set", "config.onChange=roll");
  const rolled = await settledPodsOf(cluster, "logging");
  assert.equal(rolled.size, 4);
  assert.ok([...rolled.values()].every((uid) => ![...first.values()].includes(uid)));

  await run("helm", "rollback", "millrace", "1", ...at, ...waiting);
  const config1 = await api.get("/api/v1/namespaces/logging/configmaps/millrace-edge");
  assert.doesNotMatch(config1.data?.["edge.conf"] ?? "", /batchSize = 321/);
  assert.equal((await settledPodsOf(cluster, "logging")).size, 3);

  await run("helm", "uninstall", "millrace", ...at, ...waiting);
  // What owned them is gone; they are collected behind it.
  const isEmpty = async () => (await namesOf(cluster, "logging", "pods")).length === 0;
  await waitFor("the pods to be gone", isEmpty, 60_000);
  assert.deepEqual(await namesOf(cluster, "logging", "secrets"), ["millrace-tls", "millrace-tls-ca"]); // prettier-ignore
  const claims = await namesOf(cluster, "logging", "persistentvolumeclaims");
  for (const name of ["state-millrace-collector-0", "state-millrace-collector-1"]) {
    assert.ok(claims.includes(name), `${name} in ${claims.join()}`);
  }

  await run("helm", "install", "millrace", chart, ...at, ...waiting, ...defaults);
  assert.equal((await settledPodsOf(cluster, "logging")).size, 3);
  assert.deepEqual((await api.get("/api/v1/namespaces/logging/secrets/millrace-tls")).data, secret.data); // prettier-ignore
});

void test("every file of values is installed; controllers may make every pod where Pod Security is enforced", async (t) => {
  const definitions = findCustomResources(t);
  if (definitions === undefined) return;
  const cluster = await createCluster(t);
  if (cluster === undefined) return;
  const { api, run } = cluster;
  // What the files suppose: operators' definitions, two classes of storage, somebody else's account and volume.
  const files = definitions.flatMap((file) => ["-f", file]);
  await run("kubectl", "apply", "--server-side", ...files);
  await run("kubectl", "wait", "--for=condition=Established", "--timeout=60s", ...files);
  for (const name of ["fast", "slow"]) {
    const provisioner = "kubernetes.io/no-provisioner";
    await api.create("/apis/storage.k8s.io/v1/storageclasses", { metadata: { name }, provisioner });
  }
  let pods = 0;
  for (const name of valueFiles) {
    await t.test(name, async () => {
      const level = name === "collector-only" ? "restricted" : "privileged";
      const namespace = `values-${name}`;
      await createNamespace(cluster, namespace, level);
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      await api.create(accounts, { metadata: { name: "logging" } });
      await api.create(`/api/v1/namespaces/${namespace}/persistentvolumeclaims`, {
        metadata: { name: "logs" },
        spec: { accessModes: ["ReadWriteMany"], resources: { requests: { storage: "1Gi" } } },
      });
      const values = ["-f", join(valuesFolder, `${name}.yaml`)];
      const said = await run("helm", "install", "millrace", chart, "-n", namespace, ...values, ...waiting); // prettier-ignore
      assert.doesNotMatch(said, warning);
      const running = (await settledPodsOf(cluster, namespace)).size;
      assert.ok(running > 0);
      pods += running;
      const events = await api.list(`/api/v1/namespaces/${namespace}/events`);
      const refused = events.filter(({ reason }) => reason === "FailedCreate");
      assert.deepEqual(refused.map(({ message }) => message), []); // prettier-ignore
      await run("helm", "uninstall", "millrace", "-n", namespace, ...waiting);
    });
  }
  assert.ok(pods >= 2 * valueFiles.length, `${pods} pods`);
});

void test("where only restricted pods are allowed collectors start, and edges are refused by an event that says why", async (t) => {
  const cluster = await createCluster(t);
  if (cluster === undefined) return;
  const { api, run } = cluster;
  await createNamespace(cluster, "strict", "restricted");
  const said = await run("helm", "install", "millrace", chart, "-n", "strict", ...defaults);
  assert.match(said, /would violate PodSecurity/);
  await waitFor("two collectors", async () => (await podsOf(cluster, "strict")).size === 2, 60_000);
  const refusals = async () => {
    const events = await api.list("/api/v1/namespaces/strict/events");
    return events.filter(({ reason }) => reason === "FailedCreate");
  };
  await waitFor("the refusal", async () => (await refusals()).length > 0, 60_000);
  const [first] = await refusals();
  assert.match(first?.message ?? "", /violates PodSecurity "restricted.*hostPath/s);
});

void test("kubectl apply -k makes the same from the plain manifests, and a second time changes nothing", async (t) => {
  const cluster = await createCluster(t);
  if (cluster === undefined) return;
  const apply = ["apply", "-k", join(root, "deploy/kubernetes")];
  assert.doesNotMatch(await cluster.run("kubectl", ...apply), warning);
  assert.equal((await settledPodsOf(cluster, "millrace")).size, 3);
  assert.match(cluster.jobOutput(), /secret millrace\/millrace-tls: an authority/);
  assert.doesNotMatch(await cluster.run("kubectl", ...apply), / created$/m);
  // Fails where the API server would have anything else afterwards.
  await cluster.run("kubectl", "diff", "-k", join(root, "deploy/kubernetes"));
});

async function createNamespace({ api }: Cluster, name: string, level: string): Promise<void> {
  const labels = { "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/warn": level }; // prettier-ignore
  await api.create("/api/v1/namespaces", { metadata: { name, labels } });
}
