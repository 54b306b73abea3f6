import { MillraceError, type PollableSource, systemRuntime } from "@millrace/core";
import {
  createFakeKubelet,
  optionsOf,
  sourceContract,
  sourceContext,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import type { PodInfo } from "../../pods/pod-info.ts";
import { source as definition } from "./index.ts";
import { createKubernetesSource, type Surroundings } from "./kubernetes-source.ts";
import { options } from "./options.ts";

type Pods = ReturnType<Surroundings["acquirePods"]>;

const never = new AbortController().signal;

type KubeletOptions = Omit<Parameters<typeof createFakeKubelet>[0], "directory">;

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

interface Seen {
  readonly body: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** A fake kubelet and a source over it, on a clock of its own. */
async function given(
  test: TestContext,
  properties: Record<string, string> = {},
  kubeletOptions: KubeletOptions = {},
  directory?: Pods,
  environment: Record<string, string> = {},
) {
  const folder = await tempDirectory(test);
  const kubelet = createFakeKubelet({ directory: join(folder, "log"), ...kubeletOptions });
  const events: Seen[] = [];
  let elapsedMs = 0;
  let isFull = false;
  const clock = {
    now: systemRuntime.clock.now,
    monotonic: () => elapsedMs,
    setTimer(ms: number, fire: () => void) {
      const timer = setImmediate(() => {
        elapsedMs += ms;
        fire();
      });
      return { cancel: () => clearImmediate(timer) };
    },
  };
  const context = sourceContext({
    runtime: { ...systemRuntime, clock },
    channelProcessor: {
      async processEventBatch(batch) {
        if (isFull) throw new MillraceError("CHANNEL_FULL", "full");
        for (const { body, headers } of batch) {
          events.push({ body: body.toString(), headers });
        }
      },
    },
  });
  let source: PollableSource;
  const start = async (more: Record<string, string> = {}): Promise<void> => {
    source = await createKubernetesSource(
      optionsOf(options, {
        path: kubelet.podsDirectory,
        positionFile: join(folder, "positions.json"),
        podAnnotations: String(directory !== undefined),
        holdDirectory: join(folder, "hold"),
        ...properties,
        ...more,
      }),
      context,
      { environment, acquirePods: () => directory as Pods },
    );
    await source.start(never);
  };
  await start();
  test.after(() => source.stop(never));
  const made = {
    folder,
    kubelet,
    context,
    events,
    start,
    stop: () => source.stop(never),
    poll: () => source.poll(never),
    fill(full: boolean) {
      isFull = full;
    },
    pass(ms: number) {
      elapsedMs += ms;
    },
    /** Reads until nothing comes any more. */
    async drain(): Promise<void> {
      for (let quiet = 0; quiet < 3;)
        quiet = (await source.poll(never)) === "backoff" ? quiet + 1 : 0;
    },
    /** What came since the last call. */
    bodies: () => events.splice(0).map(({ body }) => body),
    value: (name: string) => context.metrics.value(name),
  };
  return made;
}

sourceContract("kubernetes", async (test) => {
  const folder = await tempDirectory(test);
  const { podsDirectory } = createFakeKubelet({ directory: folder });
  const properties = {
    path: podsDirectory,
    positionFile: join(folder, "positions.json"),
    podAnnotations: "false",
  };
  return definition.create(optionsOf(options, properties), sourceContext());
});

for (const format of ["cri", "docker-json"] as const) {
  void test(`events carry the line, whose it is, and its own time (${format})`, async (test) => {
    const made = await given(test, {}, { format, pieceBytes: 4 });
    const { container } = made.kubelet.pod({ namespace: "shop", name: "web-0", uid: "u-1" });
    container("app").write("stdout", "a line in pieces");
    container("app").write("stderr", "");
    await made.drain();
    const [line, empty] = made.events;
    assert.equal(line?.body, "a line in pieces");
    const { timestamp, ...headers } = Object.fromEntries(line?.headers ?? []);
    assert.ok(Math.abs(Number(timestamp) - Date.now()) < 60_000, timestamp);
    assert.deepEqual(headers, {
      namespace: "shop",
      pod: "web-0",
      uid: "u-1",
      container: "app",
      restarts: "0",
      stream: "stdout",
    });
    assert.equal(empty?.body, "");
    assert.equal(empty?.headers.get("stream"), "stderr");
    assert.equal(made.events.length, 2);
  });
}

void test("pieces of two streams are joined apart, over a rotation between them", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.writePiece("stdout", "out one, ");
  app.writePiece("stderr", "err one, ");
  app.rotate();
  app.write("stderr", "err two");
  app.write("stdout", "out two");
  await made.drain();
  assert.deepEqual(made.bodies(), ["err one, err two", "out one, out two"]);
});

void test("rotated and compressed logs are read in their order, each once", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  const wanted: string[] = [];
  for (let i = 0; i < 4; i++) {
    app.write("stdout", `line ${i}`);
    wanted.push(`line ${i}`);
    app.rotate();
  }
  app.write("stdout", "live");
  assert.equal(readdirSync(app.directory).filter((name) => name.endsWith(".gz")).length, 3);
  await made.drain();
  assert.deepEqual(made.bodies(), [...wanted, "live"]);
  for (let i = 0; i < 6; i++) {
    app.write("stdout", `more ${i}`);
    app.rotate();
    await made.drain();
    made.pass(6000);
    assert.deepEqual(made.bodies(), [`more ${i}`]);
  }
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), 0);
});

void test("what the runtime still writes to a renamed log comes before the new log's lines", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "one");
  await made.drain();
  app.beginRotation();
  app.write("stdout", "two, into the renamed log");
  await made.poll();
  app.write("stdout", "three, too");
  app.reopen();
  app.write("stdout", "four");
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two, into the renamed log", "three, too", "four"]);
});

void test("a log half read when it is compressed goes on at the same line, also in the next run", async (test) => {
  const made = await given(test, { batchSize: "2", maxBatchCount: "1" });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  for (let i = 0; i < 5; i++) app.write("stdout", `line ${i}`);
  await made.poll();
  await made.stop();
  assert.deepEqual(made.bodies(), ["line 0", "line 1"]);
  app.rotate();
  app.write("stdout", "line 5");
  app.rotate();
  app.write("stdout", "line 6");
  await made.start();
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 2", "line 3", "line 4", "line 5", "line 6"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 0);
});

void test("a log that is deleted while it is open is read to its end", async (test) => {
  const made = await given(test, { batchSize: "1", maxBatchCount: "1" });
  const pod = made.kubelet.pod({ name: "web-0" });
  for (let i = 0; i < 3; i++) pod.container("app").write("stdout", `line ${i}`);
  await made.poll();
  pod.delete();
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 0", "line 1", "line 2"]);
  made.pass(6000);
  await made.drain();
  assert.equal(made.context.metrics.value("millrace_source_containers", { state: "followed" }), 0);
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), 0);
});

void test("the last line of a deleted pod is sent though it lacks its end", async (test) => {
  const made = await given(test, { idleTimeout: "1000000" });
  const pod = made.kubelet.pod({ name: "web-0" });
  pod.container("app").writePiece("stdout", "begun");
  pod.container("app").writeRaw("2026-01-02T15:04:05.000000001Z stderr F torn");
  await made.poll();
  pod.delete();
  await made.drain();
  made.pass(6000);
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies().sort(), ["begun", "torn"]);
  assert.equal(made.context.metrics.value("millrace_source_containers", { state: "followed" }), 0);
});

void test("what is gone unread since the last run is counted", async (test) => {
  const made = await given(test, { batchSize: "1", maxBatchCount: "1" });
  const pod = made.kubelet.pod({ name: "web-0" });
  pod.container("app").write("stdout", "line 0");
  pod.container("app").write("stdout", "line 1");
  await made.poll();
  await made.stop();
  pod.delete();
  await made.start();
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 0"]);
  assert.equal(
    made.value("millrace_source_unread_lost_bytes_total"),
    30 + " stdout F line 1\n".length,
  );
  assert.equal(made.value("millrace_source_files_lost_total"), 1);
});

void test("a held log is read by the next run though it is deleted, and its link removed then", async (test) => {
  const made = await given(test, { hold: "true", batchSize: "1", maxBatchCount: "1" });
  const pod = made.kubelet.pod({ name: "web-0" });
  for (let i = 0; i < 3; i++) pod.container("app").write("stdout", `line ${i}`);
  await made.poll();
  await made.stop();
  pod.delete();
  assert.equal(readdirSync(join(made.folder, "hold")).length, 1);
  await made.start();
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 0", "line 1", "line 2"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 0);
  assert.deepEqual(readdirSync(join(made.folder, "hold")), []);
});

void test("deleted logs beyond holdBytes are given up, oldest first, and counted", async (test) => {
  const made = await given(test, { holdBytes: "100" });
  const pods = [1, 2].map((i) => made.kubelet.pod({ name: `web-${i}` }));
  for (const pod of pods) pod.container("app").write("stdout", "x".repeat(40));
  made.fill(true);
  await made.poll();
  pods[0]?.delete();
  await made.poll();
  made.pass(1);
  pods[1]?.delete();
  await made.poll();
  assert.equal(made.value("millrace_source_files_lost_total"), 1);
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), 40 + 41);
});

void test("a full channel loses nothing, and rotation is followed meanwhile", async (test) => {
  const made = await given(test, { batchSize: "2" }, { maxFiles: 3 });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  made.fill(true);
  const wanted: string[] = [];
  for (let i = 0; i < 8; i++) {
    app.write("stdout", `line ${i}`);
    wanted.push(`line ${i}`);
    assert.equal(await made.poll(), "backoff");
    app.rotate();
  }
  assert.deepEqual(made.bodies(), []);
  assert.ok((made.value("millrace_source_backlog_bytes") ?? 0) > 8 * 40);
  made.fill(false);
  await made.drain();
  assert.deepEqual(made.bodies(), wanted);
  assert.equal(made.value("millrace_source_backlog_bytes"), 0);
  assert.equal(
    made.context.log.lines.filter(({ message }) => /waiting for/.test(message)).length,
    1,
  );
});

void test("a restarted container's log follows the last one's, and does not go on with its lines", async (test) => {
  const made = await given(test, {
    "multiline.all.containers": ".*",
    "multiline.all.firstLine": "^\\S",
  });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "Error: a");
  app.write("stdout", "  at b");
  app.restart();
  app.write("stdout", "  indented, but of another life");
  await made.drain();
  made.pass(4000);
  await made.drain();
  assert.deepEqual(
    made.events.map(({ body, headers }) => [headers.get("restarts"), body]),
    [
      ["0", "Error: a\n  at b"],
      ["1", "  indented, but of another life"],
    ],
  );
});

void test("an event of several lines that is not ended is kept over a restart, and sent when no line comes", async (test) => {
  const rules = {
    "multiline.all.containers": "default/web-.*/app",
    "multiline.all.firstLine": "^\\S",
  };
  const made = await given(test, rules);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  made.kubelet.pod({ name: "web-0" }).container("other").write("stdout", " each line is one");
  app.write("stdout", "Error: a");
  app.write("stderr", "other stream");
  app.write("stdout", "  at b");
  await made.poll();
  assert.deepEqual(made.bodies(), [" each line is one"]);
  await made.stop();
  app.write("stdout", "  at c");
  await made.start();
  await made.poll();
  made.pass(3001);
  await made.drain();
  assert.deepEqual(made.bodies(), ["Error: a\n  at b\n  at c", "other stream"]);
});

void test("a long line is cut into marked parts", async (test) => {
  const made = await given(test, { maxLineBytes: "10" }, { pieceBytes: 7 });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "0123456789abcdefghijKLM");
  app.write("stdout", "0123456789");
  await made.drain();
  assert.deepEqual(
    made.events.map(({ body, headers }) => [body, headers.get("part"), headers.get("more")]),
    [
      ["0123456789", "1", "true"],
      ["abcdefghij", "2", "true"],
      ["KLM", "3", "false"],
      ["0123456789", undefined, undefined],
    ],
  );
  assert.equal(made.value("millrace_source_lines_cut_total"), 3);
});

void test("a line that a runtime did not split is one line however long it is", async (test) => {
  const made = await given(test, { maxLineBytes: "100000" }, { pieceBytes: 1e9 });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  const line = "abcdefghij".repeat(150_000);
  app.write("stdout", line);
  app.write("stdout", "next");
  await made.drain();
  assert.equal(made.events.length, 16);
  assert.equal(made.bodies().join(""), `${line}next`);
});

void test("a line of no known form is sent as it is", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.writeRaw("\0\0\0 torn by a power cut\n");
  app.write("stdout", "good");
  await made.drain();
  assert.deepEqual(
    made.events.map(({ body, headers }) => [body, headers.get("stream"), headers.get("pod")]),
    [
      ["\0\0\0 torn by a power cut", undefined, "web-0"],
      ["good", "stdout", "web-0"],
    ],
  );
  assert.equal(made.value("millrace_source_lines_unparsed_total"), 1);
});

void test("a damaged compressed log is read as far as it goes, the rest is counted, and the next follow", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  const line = (text: string): string => `2026-01-02T15:04:05.000000001Z stdout F ${text}\n`;
  const good = Array.from({ length: 20_000 }, (_, i) => line(`line ${Math.sin(i)}`)).join("");
  const packed = gzipSync(good);
  packed.fill(0xff, packed.length - 2000, packed.length - 1000);
  writeFileSync(join(app.directory, "0.log.20260102-150405.gz"), packed);
  app.write("stdout", "live");
  await made.drain();
  const bodies = made.bodies();
  assert.ok(bodies.length > 1000, `${bodies.length} events`);
  assert.equal(bodies.at(-1), "live");
  assert.ok((made.value("millrace_source_unread_lost_bytes_total") ?? 0) > 1000);
});

void test("a log that is cut is read from its start again", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "before it was cut");
  await made.drain();
  truncateSync(join(app.directory, "0.log"), 0);
  app.write("stdout", "after");
  await made.drain();
  assert.deepEqual(made.bodies(), ["before it was cut", "after"]);
  assert.equal(made.value("millrace_source_files_truncated_total"), 1);
});

void test("a log that has long not grown is closed, and goes on when it grows", async (test) => {
  const made = await given(test, { idleTimeout: "10000" });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "one");
  await made.drain();
  made.pass(20_000);
  await made.drain();
  app.write("stdout", "two");
  app.rotate();
  app.write("stdout", "three");
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two", "three"]);
});

void test("a log of the last run that is silent after a start goes on when it grows", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "one");
  await made.drain();
  await made.stop();
  // Nothing has come into the directory for long, so it is not listed again.
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(app.directory, longAgo, longAgo);
  await made.start();
  await made.drain();
  made.pass(20_000);
  await made.drain();
  app.write("stdout", "two");
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two"]);
});

void test("skipToEnd leaves what is there at start, and reads what comes", async (test) => {
  const made = await given(test, { skipToEnd: "true" });
  await made.stop();
  rmSync(join(made.folder, "positions.json"), { force: true });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "old");
  app.rotate();
  app.write("stdout", "old, too");
  await made.start();
  await made.poll();
  app.write("stdout", "new");
  made.kubelet.pod({ name: "web-1" }).container("app").write("stdout", "a new pod's");
  await made.drain();
  assert.deepEqual(made.bodies().sort(), ["a new pod's", "new"]);
});

void test("Docker's rotation, behind a link, is followed", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  const target = join(made.folder, "id-json.log");
  const line = (log: string): string =>
    `${JSON.stringify({ log: `${log}\n`, stream: "stdout", time: "2026-01-02T15:04:05.1Z" })}\n`;
  writeFileSync(target, line("one"));
  const { symlinkSync } = await import("node:fs");
  rmSync(join(app.directory, "0.log"));
  symlinkSync(target, join(app.directory, "0.log"));
  await made.drain();
  writeFileSync(target, line("two"), { flag: "a" });
  renameSync(target, `${target}.1`);
  writeFileSync(target, line("three"));
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two", "three"]);
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
    const made = await given(test, properties, {}, undefined, environment);
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
  const made = await given(test, {}, {}, fakeDirectory(infos, answered));
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
  const made = await given(test, { release: "mill" }, {}, directory, environment);
  for (const pod of [own, sibling, other])
    made.kubelet.pod(pod).container("app").write("stdout", pod.name);
  await made.drain();
  assert.deepEqual(made.bodies(), ["mill-web"]);
});

void test("a container that is read again begins at its end", async (test) => {
  const annotations = new Map([["millrace.io/exclude", "true"]]);
  const pod = { namespace: "default", name: "web", uid: "u-1" };
  const made = await given(test, {}, {}, fakeDirectory([podInfo(pod, { annotations })]));
  const app = made.kubelet.pod(pod).container("app");
  app.write("stdout", "not for others");
  await made.drain();
  annotations.clear();
  await made.poll();
  app.write("stdout", "for others");
  await made.drain();
  assert.deepEqual(made.bodies(), ["for others"]);
});

void test("a position file that is not this source's stops the start (POSITION_FILE_INVALID)", async (test) => {
  const made = await given(test);
  await made.stop();
  for (const text of ["[]", "{", '{"version":2}', '{"version":1,"containers":[{}]}']) {
    writeFileSync(join(made.folder, "positions.json"), text);
    await assert.rejects(made.start(), { code: "POSITION_FILE_INVALID" });
  }
});

void test("a missing directory stops the start, and says what to do (PATH_MISSING)", async (test) => {
  const made = await given(test);
  await made.stop();
  await assert.rejects(made.start({ path: "/nowhere/pods" }), {
    code: "PATH_MISSING",
    message: /\/nowhere\/pods does not exist/,
  });
});

void test("the position file says in plain words where each container is", async (test) => {
  const made = await given(test);
  const pod = made.kubelet.pod({ name: "web-0", uid: "u-1" });
  pod.container("app").write("stdout", "one");
  await made.drain();
  await made.stop();
  assert.ok(existsSync(join(made.folder, "positions.json")));
  const saved = JSON.parse(readFileSync(join(made.folder, "positions.json"), "utf8")) as {
    containers: { directory: string; files: { name: string; positions: unknown }[] }[];
  };
  const [container] = saved.containers;
  assert.equal(container?.directory, "default_web-0_u-1/app");
  assert.equal(container?.files[0]?.name, "0.log");
  const offset = 30 + " stdout F one\n".length;
  assert.deepEqual(container?.files[0]?.positions, {
    stdout: { offset },
    stderr: { offset },
    other: { offset },
  });
});
