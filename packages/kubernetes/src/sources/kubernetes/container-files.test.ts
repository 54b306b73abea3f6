import { type FollowedNode, followFakeNode, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { source as definition } from "./index.ts";
import { createKubernetesSource } from "./kubernetes-source.ts";
import { options } from "./options.ts";

const given = (
  test: TestContext,
  properties: Record<string, string> = {},
  kubelet: FollowedNode["kubelet"] = {},
) =>
  followFakeNode(test, {
    kubelet,
    properties,
    create: (all, context) => createKubernetesSource(optionsOf(options, all), context),
  });

/** Of held logs; beside them is the lock. */
const linksOf = ({ folder }: { readonly folder: string }): string[] =>
  readdirSync(join(folder, "hold")).filter((name) => /^[0-9a-f]{16}-\d+$/.test(name));

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
  assert.equal(linksOf(made).length, 1);
  await made.start();
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 0", "line 1", "line 2"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 0);
  assert.deepEqual(linksOf(made), []);
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

void test("Docker's rotation, behind a link, is followed", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  const target = join(made.folder, "id-json.log");
  const line = (log: string): string =>
    `${JSON.stringify({ log: `${log}\n`, stream: "stdout", time: "2026-01-02T15:04:05.1Z" })}\n`;
  writeFileSync(target, line("one"));
  rmSync(join(app.directory, "0.log"));
  symlinkSync(target, join(app.directory, "0.log"));
  await made.drain();
  writeFileSync(target, line("two"), { flag: "a" });
  renameSync(target, `${target}.1`);
  writeFileSync(target, line("three"));
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two", "three"]);
});

void test("what a cut log's stream has after the cut is read though an event from before was not ended", async (test) => {
  const made = await given(test, {
    "multiline.all.containers": ".*",
    "multiline.all.firstLine": "^\\S",
    multilineTimeout: "60000",
  });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stderr", "x".repeat(5000));
  app.write("stdout", "begun before the cut");
  await made.drain();
  truncateSync(join(app.directory, "0.log"), 0);
  app.write("stderr", "err 1");
  app.write("stderr", "err 2");
  await made.drain();
  app.write("stdout", "  indented, but of another content");
  app.write("stdout", "one");
  app.write("stdout", "two");
  await made.drain();
  made.pass(60_001);
  await made.drain();
  const stdout = made.events.filter(({ headers }) => headers.get("stream") === "stdout");
  assert.deepEqual(
    stdout.map(({ body }) => body),
    ["begun before the cut", "  indented, but of another content", "one", "two"],
  );
});

for (const code of ["EMFILE", "EACCES"]) {
  void test(`a closed log that cannot be opened for a while (${code}) is neither lost nor read twice`, async (test) => {
    const made = await given(test, { idleTimeout: "10000" });
    const app = made.kubelet.pod({ name: "web-0" }).container("app");
    app.write("stdout", "one");
    await made.drain();
    made.pass(20_000);
    await made.drain();
    made.failOpens((path) => (path.includes(app.directory) ? code : undefined));
    app.write("stdout", "two");
    app.rotate();
    app.write("stdout", "three");
    await made.drain();
    await made.drain();
    made.failOpens(() => undefined);
    await made.drain();
    assert.deepEqual(made.bodies(), ["one", "two", "three"]);
    assert.equal(made.value("millrace_source_files_lost_total"), 0);
  });
}

void test("a closed log that is renamed while its directory is listed is neither lost nor read twice", async (test) => {
  const made = await given(test, { idleTimeout: "10000" });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  app.write("stdout", "one");
  await made.drain();
  made.pass(20_000);
  await made.drain();
  app.write("stdout", "two");
  let isRenamed = false;
  made.failOpens((path) => {
    if (isRenamed || !path.includes(app.directory)) return undefined;
    isRenamed = true;
    app.rotate();
    return "ENOENT";
  });
  writeFileSync(join(app.directory, "changes-the-directory"), "");
  await made.drain();
  app.write("stdout", "three");
  await made.drain();
  assert.ok(isRenamed);
  assert.deepEqual(made.bodies(), ["one", "two", "three"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 0);
});

void test("links are released of a log that was compressed while no agent ran", async (test) => {
  const made = await given(test, { hold: "true", batchSize: "1", maxBatchCount: "1" });
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  for (let i = 0; i < 3; i++) app.write("stdout", `line ${i}`);
  await made.poll();
  await made.stop();
  app.rotate();
  app.rotate();
  app.write("stdout", "line 3");
  await made.start();
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies(), ["line 0", "line 1", "line 2", "line 3"]);
  assert.equal(linksOf(made).length, 1);
});

void test("a log that was empty when the agent stopped is read by its link when it is deleted then", async (test) => {
  const made = await given(test, { hold: "true" });
  const pod = made.kubelet.pod({ name: "web-0" });
  const app = pod.container("app");
  await made.drain();
  await made.stop();
  app.write("stdout", "only the link has it");
  pod.delete();
  await made.start();
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies(), ["only the link has it"]);
  assert.deepEqual(linksOf(made), []);
});

void test("a compressed log that is damaged from its first byte is counted, once", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  writeFileSync(join(app.directory, "0.log.20260102-150405.gz"), Buffer.alloc(500));
  app.write("stdout", "live");
  await made.drain();
  app.rotate();
  for (let i = 0; i < 3; i++) {
    made.pass(6000);
    await made.drain();
  }
  assert.deepEqual(made.bodies(), ["live"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 1);
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), 500);
});

void test("a log that could never be opened is counted when it is gone", async (test) => {
  const made = await given(test);
  const pod = made.kubelet.pod({ name: "web-0" });
  const app = pod.container("app");
  made.failOpens((path) => (path.includes(app.directory) ? "EACCES" : undefined));
  app.write("stdout", "nobody may read this");
  const size = readFileSync(join(app.directory, "0.log")).length;
  await made.drain();
  pod.delete();
  await made.drain();
  assert.equal(made.value("millrace_source_files_lost_total"), 1);
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), size);
});

void test("a log that could not be opened until it was compressed is read, and not counted as lost", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  made.failOpens((path) => (path.includes(app.directory) ? "EMFILE" : undefined));
  app.write("stdout", "one");
  // Its inode is nobody else's afterwards.
  linkSync(join(app.directory, "0.log"), join(made.folder, "kept"));
  await made.drain();
  for (const line of ["two", "three"]) {
    app.rotate();
    app.write("stdout", line);
    await made.drain();
  }
  made.failOpens(() => undefined);
  await made.drain();
  made.pass(6000);
  await made.drain();
  assert.deepEqual(made.bodies(), ["one", "two", "three"]);
  assert.equal(made.value("millrace_source_files_lost_total"), 0);
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), 0);
});

void test("a log that could never be opened is counted though another one has its inode by now", async (test) => {
  const made = await given(test);
  const app = made.kubelet.pod({ name: "web-0" }).container("app");
  made.failOpens((path) => (path.includes(app.directory) ? "EACCES" : undefined));
  app.write("stdout", "nobody may read this");
  const path = join(app.directory, "0.log");
  const size = readFileSync(path).length;
  await made.drain();
  // As where a file system gives the inode of a removed log to the next one.
  renameSync(path, join(app.directory, "1.log"));
  truncateSync(join(app.directory, "1.log"), 0);
  await made.drain();
  assert.equal(made.value("millrace_source_unread_lost_bytes_total"), size);
  assert.equal(made.value("millrace_source_files_lost_total"), 1);
});

void test("a container that is not read any more leaves no links", async (test) => {
  const made = await given(test, { hold: "true" });
  made.kubelet.pod({ name: "web-0" }).container("app").write("stdout", "one");
  await made.drain();
  const links = (): string[] => linksOf(made);
  assert.equal(links().length, 1);
  await made.stop();
  await made.start({ excludePods: "web-.*" });
  await made.drain();
  assert.deepEqual(links(), []);
});

void test("two sources do not take each other's links away: the second is refused", async (test) => {
  const made = await given(test, { hold: "true" });
  made.kubelet.pod({ name: "web-0" }).container("app").write("stdout", "one");
  await made.drain();
  assert.equal(linksOf(made).length, 1);
  const other = await given(test);
  const shared = { hold: "true", holdDirectory: join(made.folder, "hold") };
  await assert.rejects(other.start(shared), {
    code: "HOLD_LOCKED",
    message: /^process \d+ on .* holds holdDirectory .*hold$/,
  });
  assert.equal(linksOf(made).length, 1);
  await made.stop();
  await other.start(shared);
});

void test("links in the directory of pods, where kubelet would remove them, are refused", async (test) => {
  const made = await given(test);
  const inside = join(made.kubelet.podsDirectory, ".hold");
  mkdirSync(inside);
  made.kubelet.collectGarbage();
  assert.equal(existsSync(inside), false, "as kubelet does with what is no pod's");
  const problemsOf = (properties: Record<string, string>) =>
    definition.check?.(optionsOf(options, { path: "/var/log/pods", hold: "true", ...properties }));
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(problemsOf({ holdDirectory: "/var/log/pods-of-mine" }), []);
  assert.deepEqual(problemsOf({ hold: "false", holdDirectory: "/var/log/pods/.hold" }), []);
  for (const holdDirectory of ["/var/log/pods", "/var/log/pods/.hold", "/var/log/x/../pods/y/z"]) {
    const [problem, ...others] = problemsOf({ holdDirectory }) ?? [];
    assert.equal(others.length, 0);
    assert.equal(problem?.key, "holdDirectory");
    assert.match(problem?.message ?? "", /kubelet removes .* such as \/var\/log\/millrace-hold$/);
  }
});
