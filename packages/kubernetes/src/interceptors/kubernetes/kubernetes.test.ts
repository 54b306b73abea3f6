import { EventBatch, type InterceptBatch, parseOptions } from "@millrace/core";
import { createTestCluster, optionsOf, partContext, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { podDirectoryLimits } from "../../pods/pod-directory.ts";
import { interceptor } from "./index.ts";
import { createKubernetesInterceptor } from "./kubernetes.ts";
import { options } from "./options.ts";
import { findStretches } from "./stretches.ts";

const limits = {
  ...podDirectoryLimits,
  pauses: { firstMs: 10, maxMs: 50, livedMs: 10_000 },
  currentWaitMs: 200,
};

async function given(t: TestContext, properties: Record<string, string> = {}) {
  const cluster = await createTestCluster(t);
  const { server } = cluster;
  const context = partContext();
  const make = (): InterceptBatch => {
    const { tokenFile, caFile } = cluster;
    const where = { apiServer: server.url, tokenFile, caFile, nodeName: "n1", waitMs: "300" };
    const values = optionsOf(options, { ...where, ...properties });
    return createKubernetesInterceptor(values, context, limits);
  };
  return { cluster, server, context, intercept: make(), make };
}

type Headers = Readonly<Record<string, string>>;

function batchOf(...events: Headers[]): EventBatch {
  return EventBatch.fromEvents(
    events.map((headers, i) => ({
      headers: new Map(Object.entries(headers)),
      body: Buffer.from(`line ${i}`),
    })),
  );
}

const headersOf = (batch: EventBatch): Headers[] =>
  [...batch].map(({ headers }) => Object.fromEntries(headers));
const bodiesOf = (batch: EventBatch): string[] => [...batch].map(({ body }) => String(body));

const shop = {
  ...{ name: "web-0", namespace: "shop", uid: "u1", node: "n1" },
  labels: { "app.kubernetes.io/name": "web", tier: "front" },
  annotations: { owner: "ann", "kubectl.kubernetes.io/last-applied-configuration": "{}" },
  containers: { nginx: "nginx:1.27", proxy: "envoy:2" },
};

/** Waits until the interceptor knows what it can. */
async function warm({ server, intercept }: Awaited<ReturnType<typeof given>>): Promise<void> {
  await intercept(batchOf({ uid: "u1" }));
  await waitFor("the watch", () => server.watching === 1);
}

const choices = [
  { name: "none, when none are named", given: {}, want: {} },
  {
    name: "those that are named, with commas or spaces between",
    given: { labels: "tier, app.kubernetes.io/name missing", annotations: "owner" },
    want: {
      "label.tier": "front",
      "label.app.kubernetes.io/name": "web",
      "annotation.owner": "ann",
    },
  },
  {
    name: "all, without the manifest that kubectl repeats",
    given: { labels: "*", annotations: "*" },
    want: {
      "label.tier": "front",
      "label.app.kubernetes.io/name": "web",
      "annotation.owner": "ann",
    },
  },
  {
    name: "the repeated manifest when it is named",
    given: { annotations: "kubectl.kubernetes.io/last-applied-configuration" },
    want: { "annotation.kubectl.kubernetes.io/last-applied-configuration": "{}" },
  },
];

for (const { name, given: properties, want } of choices) {
  void test(`node and image are added, and of labels and annotations: ${name}`, async (t) => {
    const { server, intercept } = await given(t, properties as Headers);
    server.put(shop);
    const headers = { uid: "u1", container: "nginx", keep: "me" };
    const after = await intercept(batchOf(headers));
    assert.deepEqual(headersOf(after), [{ ...headers, node: "n1", image: "nginx:1.27", ...want }]);
    assert.deepEqual(bodiesOf(after), ["line 0"]);
  });
}

void test("a pod is found by its name too; an event that names no pod is left as it is", async (t) => {
  const { server, intercept, context } = await given(t);
  server.put(shop);
  const named = { namespace: "shop", pod: "web-0", container: "proxy" };
  const after = await intercept(batchOf(named, { host: "h" }, { namespace: "shop" }));
  assert.deepEqual(headersOf(after), [
    { ...named, node: "n1", image: "envoy:2" },
    { host: "h" },
    { namespace: "shop" },
  ]);
  assert.equal(context.metrics.value("millrace_kubernetes_pending_total"), 0);
});

void test("when the pods are known the answer is there at once, edited as a whole", async (t) => {
  const g = await given(t);
  g.server.put(shop);
  await warm(g);
  const batch = batchOf(...Array.from({ length: 1000 }, () => ({ uid: "u1", container: "nginx" })));
  assert.equal(findStretches(batch).length, 1);
  const after = g.intercept(batch);
  assert.ok(after instanceof EventBatch, "not a promise");
  assert.equal(after.runs.length, 1);
  assert.ok([...after].every(({ headers }) => headers.get("image") === "nginx:1.27"));
  assert.equal(after.length, 1000);
});

void test("events of several pods keep their order, in long stretches and in short ones", async (t) => {
  const g = await given(t, { labels: "tier" });
  g.server.put(shop);
  g.server.put({ name: "db-0", uid: "u2", node: "n1", labels: { tier: "back" } });
  await warm(g);
  for (const stretch of [1, 2, 10]) {
    const headers = Array.from({ length: 60 }, (_, i) =>
      i % 20 === 19
        ? { n: `${i}` }
        : { n: `${i}`, uid: Math.floor(i / stretch) % 2 === 0 ? "u1" : "u2" },
    );
    const after = headersOf(await g.intercept(batchOf(...headers)));
    assert.deepEqual(
      after.map(({ n }) => n),
      headers.map(({ n }) => n),
    );
    for (const { uid, ...rest } of after) {
      assert.equal(
        rest["label.tier"],
        uid === undefined ? undefined : uid === "u1" ? "front" : "back",
      );
    }
  }
});

void test("a batch waits for its pod until it appears", async (t) => {
  const g = await given(t, { waitMs: "10000" });
  const after = g.intercept(batchOf({ uid: "u1", container: "nginx" }));
  await waitFor("the question", () => g.server.requests.length > 0);
  g.server.put(shop);
  assert.equal(
    headersOf(await within("the batch", Promise.resolve(after)))[0]?.["image"],
    "nginx:1.27",
  );
});

void test("with the API server away one batch waits, and every event goes on, marked pending", async (t) => {
  const g = await given(t);
  await g.server.stop();
  g.server.put(shop);
  const beganMs = performance.now();
  const waiting = Promise.resolve(
    g.intercept(batchOf({ uid: "u1" }, { uid: "u2" }, { uid: "u3" })),
  );
  const first = await within("the batch", waiting);
  assert.ok(performance.now() - beganMs >= 290, "it waited");
  assert.deepEqual(
    headersOf(first).map(({ metadata }) => metadata),
    ["pending", "pending", "pending"],
  );
  const second = g.intercept(batchOf({ uid: "u1" }, { uid: "u4" }));
  assert.ok(second instanceof EventBatch, "the next batch does not wait again");
  assert.equal(g.context.metrics.value("millrace_kubernetes_pending_total"), 5);
  const why = g.context.log.lines.filter(({ message }) => /KUBERNETES_UNAVAILABLE/.test(message));
  assert.equal(why.length, 1);
  await g.server.listen();
  await waitFor("the metadata", async () => {
    const [headers] = headersOf(await g.intercept(batchOf({ uid: "u1", container: "nginx" })));
    return headers?.["node"] === "n1" && headers["metadata"] === undefined;
  });
  assert.equal(g.context.metrics.value("millrace_kubernetes_pods"), 1);
  assert.ok((g.context.metrics.value("millrace_kubernetes_watch_restarts_total") ?? 0) > 0);
});

void test("a pod that the API server does not know is awaited by one batch only", async (t) => {
  const g = await given(t);
  g.server.put(shop);
  await warm(g);
  const waited = g.intercept(batchOf({ uid: "gone" }));
  assert.ok(waited instanceof Promise);
  assert.equal(headersOf(await waited)[0]?.["metadata"], "pending");
  assert.ok(g.intercept(batchOf({ uid: "gone" })) instanceof EventBatch);
  assert.ok(g.intercept(batchOf({ uid: "another" })) instanceof Promise);
});

void test("an excluded pod's events are left out as excluded, or those of containers it names", async (t) => {
  const g = await given(t);
  const annotated = (name: string, exclude: string) => {
    const annotations = { "millrace.io/exclude": exclude };
    g.server.put({ name, uid: name, node: "n1", annotations, containers: { app: "a", side: "b" } });
  };
  annotated("all", "True");
  annotated("one", "side, other");
  annotated("not", "false");
  const events = ["all", "one", "not"].flatMap((uid) => [
    { uid, container: "app" },
    { uid, container: "side" },
  ]);
  const after = await g.intercept(batchOf(...events));
  assert.deepEqual(
    headersOf(after).map(({ uid, container }) => `${uid} ${container}`),
    ["one app", "not app", "not side"],
  );
  assert.deepEqual(g.intercept.discards, { reason: "excluded", intended: true });
  const whole = await g.intercept(batchOf({ uid: "all" }, { uid: "all" }));
  assert.equal(whole.length, 0);
});

void test("the channel annotation becomes the header channel, and changes with the pod", async (t) => {
  const g = await given(t);
  const channel = async () => headersOf(await g.intercept(batchOf({ uid: "u1" })))[0]?.["channel"];
  g.server.put({ ...shop, annotations: { "millrace.io/channel": "audit" } });
  assert.equal(await channel(), "audit");
  g.server.put({ ...shop, annotations: { "millrace.io/channel": "bulk" } });
  await waitFor("the change", async () => (await channel()) === "bulk");
});

void test("a long annotation is cut, as every event carries it", async (t) => {
  const g = await given(t, { annotations: "long" });
  const long = "x".repeat(100_000);
  g.server.put({ ...shop, annotations: { long, "millrace.io/channel": long } });
  const [headers] = headersOf(await g.intercept(batchOf({ uid: "u1" })));
  assert.equal(headers?.["annotation.long"]?.length, 4096);
  assert.equal(headers["channel"]?.length, 4096);
});

void test("interceptors of equal settings share one watch", async (t) => {
  const g = await given(t);
  g.server.put(shop);
  await warm(g);
  const other = g.make();
  assert.equal(headersOf(await other(batchOf({ uid: "u1" })))[0]?.["node"], "n1");
  assert.equal(g.server.requests.length, 2, "one list and one watch");
});

void test("the definition checks the address, and makes an interceptor that asks nobody yet", async () => {
  const { options: wrong } = parseOptions(options, new Map([["apiServer", "10.0.0.1:443"]]));
  assert.match(interceptor.check?.(wrong)[0]?.message ?? "", /not a URL/);
  const right = optionsOf(options, { apiServer: "https://10.0.0.1:443" });
  assert.deepEqual(interceptor.check?.(right), []);
  const made = await interceptor.create(right, partContext());
  assert.ok(typeof made === "function");
  const empty = await made(EventBatch.empty);
  assert.equal(empty.length, 0);
});
