import { createFakeKubelet, followFakeNode, optionsOf, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { PodInfo } from "../../pods/pod-info.ts";
import { createKubernetesSource, type Surroundings } from "./kubernetes-source.ts";
import { options } from "./options.ts";

type Pods = ReturnType<Surroundings["acquirePods"]>;

/** Pods as the API server would have told of them. */
function fakeDirectory(pods: readonly PodInfo[], answered: Promise<void> = Promise.resolve()) {
  let isAnswered = false;
  void answered.then(() => (isAnswered = true));
  const find = (accept: (pod: PodInfo) => boolean): PodInfo | undefined =>
    isAnswered ? pods.find(accept) : undefined;
  const directory: Pods = {
    peek: (uid) => find((pod) => pod.uid === uid),
    peekName: (namespace, name) => find((pod) => pod.namespace === namespace && pod.name === name),
    lookUp: (uid) => answered.then(() => directory.peek(uid)),
    release() {},
  };
  return directory;
}

function podInfo(pod: { namespace: string; name: string; uid: string }, given: Partial<PodInfo>) {
  return {
    ...pod,
    node: "n1",
    labels: new Map<string, string>(),
    annotations: new Map<string, string>(),
    containers: new Map<string, { image: string }>(),
    ...given,
  };
}

/** A fake kubelet and a source over it, on a clock of its own. */
const given = (
  test: TestContext,
  properties: Record<string, string> = {},
  directory?: Pods,
  environment: Record<string, string> = {},
) =>
  followFakeNode(test, {
    properties: { podAnnotations: String(directory !== undefined), ...properties },
    create: (all, context) =>
      createKubernetesSource(optionsOf(options, all), context, {
        environment,
        acquirePods: () => directory as Pods,
      }),
  });

const selections: {
  name: string;
  properties?: Record<string, string>;
  environment?: Record<string, string>;
  read: readonly string[];
}[] = [
  {
    name: "namespaces and pods that options exclude",
    properties: { excludeNamespaces: "kube-.* secret", excludePods: "batch-.* shop/noisy" },
    read: ["default/noisy", "default/web", "mill/mill-edge-x", "shop/web"],
  },
  {
    name: "namespaces that includeNamespaces does not name",
    properties: { includeNamespaces: "shop|default", excludePods: ".*/batch-1" },
    read: ["default/noisy", "default/web", "shop/noisy", "shop/web"],
  },
  {
    name: "its own release's pods",
    properties: { release: "mill", includeNamespaces: "mill shop" },
    environment: { POD_NAMESPACE: "mill", POD_NAME: "mill-edge-abcde" },
    read: ["shop/noisy", "shop/web"],
  },
  {
    name: "nothing of its own release when it is told to read it",
    properties: { release: "mill", includeNamespaces: "mill", excludeSelf: "false" },
    environment: { POD_NAMESPACE: "mill" },
    read: ["mill/mill-edge-x"],
  },
];

for (const { name, properties, environment, read } of selections) {
  void test(`not read: ${name}`, async (test) => {
    const made = await given(test, properties, undefined, environment);
    const all = [
      "kube-system/dns",
      "secret/web",
      "default/batch-1",
      "default/noisy",
      "default/web",
    ];
    all.push("shop/noisy", "shop/web", "mill/mill-edge-x");
    for (const path of all) {
      const [namespace = "", pod = ""] = path.split("/");
      made.kubelet.pod({ namespace, name: pod }).container("app").write("stdout", path);
    }
    await made.drain();
    assert.deepEqual(made.bodies().sort(), read);
    assert.equal(
      made.context.metrics.value("millrace_source_containers", { state: "excluded" }),
      all.length - read.length,
    );
  });
}

void test("who cannot tell its own pods says so at start", async (test) => {
  const made = await given(test);
  assert.match(made.context.log.lines[0]?.message ?? "", /excludeSelf cannot tell/);
});

void test("annotations exclude a pod, name its channel and its events' first lines", async (test) => {
  const folder = await tempDirectory(test);
  const kubelet = createFakeKubelet({ directory: folder });
  const pods = ["secret", "java", "plain", "bad"].map((name) => kubelet.pod({ name }));
  const annotations: Record<string, [string, string][]> = {
    secret: [["millrace.io/exclude", "true"]],
    java: [
      ["millrace.io/multiline", "^\\S"],
      ["millrace.io/channel", "audit"],
    ],
    bad: [["millrace.io/multiline", "(a+)+$"]],
  };
  const infos = pods.map((pod) =>
    podInfo(pod, { annotations: new Map(annotations[pod.name] ?? []) }),
  );
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const made = await given(test, {}, fakeDirectory(infos, answered));
  for (const { name, uid } of pods) {
    const container = made.kubelet.pod({ name, uid }).container("app");
    container.write("stdout", `${name} 1`);
    container.write("stdout", `  ${name} 2`);
  }
  await made.drain();
  assert.deepEqual(made.bodies(), [], "nothing is read before the API server has answered");
  answer();
  await made.drain();
  made.pass(4000);
  await made.drain();
  assert.deepEqual(made.events.map(({ body, headers }) => [body, headers.get("channel")]).sort(), [
    ["  bad 2", undefined],
    ["  plain 2", undefined],
    ["bad 1", undefined],
    ["java 1\n  java 2", "audit"],
    ["plain 1", undefined],
  ]);
  const warned = made.context.log.lines.filter(({ message }) => /multiline is not/.test(message));
  assert.equal(warned.length, 1);
});

void test("labels say which pods are of the own release, whatever their names", async (test) => {
  const labels = (instance: string): Map<string, string> =>
    new Map([
      ["app.kubernetes.io/instance", instance],
      ["app.kubernetes.io/name", "millrace"],
    ]);
  const own = { namespace: "mill", name: "edge-1", uid: "u-own" };
  const sibling = { namespace: "mill", name: "collector-0", uid: "u-sibling" };
  const other = { namespace: "mill", name: "mill-web", uid: "u-other" };
  const infos = [
    podInfo(own, { labels: labels("mill") }),
    podInfo(sibling, { labels: labels("mill") }),
  ];
  const directory = fakeDirectory([...infos, podInfo(other, { labels: labels("web") })]);
  const environment = { POD_NAMESPACE: "mill", POD_NAME: "edge-1", POD_UID: "u-own" };
  const made = await given(test, { release: "mill" }, directory, environment);
  for (const pod of [own, sibling, other])
    made.kubelet.pod(pod).container("app").write("stdout", pod.name);
  await made.drain();
  assert.deepEqual(made.bodies(), ["mill-web"]);
});

void test("a container that is read again begins at its end", async (test) => {
  const annotations = new Map([["millrace.io/exclude", "true"]]);
  const pod = { namespace: "default", name: "web", uid: "u-1" };
  const made = await given(test, {}, fakeDirectory([podInfo(pod, { annotations })]));
  const app = made.kubelet.pod(pod).container("app");
  app.write("stdout", "not for others");
  await made.drain();
  annotations.clear();
  await made.poll();
  app.write("stdout", "for others");
  await made.drain();
  assert.deepEqual(made.bodies(), ["for others"]);
});
