import { followFakeNode, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createKubernetesSource } from "./kubernetes-source.ts";
import { options } from "./options.ts";

const given = (test: TestContext, properties: Record<string, string> = {}) =>
  followFakeNode(test, {
    properties,
    create: (all, context) => createKubernetesSource(optionsOf(options, all), context),
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
  assert.equal(readdirSync(join(made.folder, "hold")).length, 1);
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
  assert.deepEqual(readdirSync(join(made.folder, "hold")), []);
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

void test("a container that is not read any more leaves no links", async (test) => {
  const made = await given(test, { hold: "true" });
  made.kubelet.pod({ name: "web-0" }).container("app").write("stdout", "one");
  await made.drain();
  const links = (): string[] => readdirSync(join(made.folder, "hold"));
  assert.equal(links().length, 1);
  await made.stop();
  await made.start({ excludePods: "web-.*" });
  await made.drain();
  assert.deepEqual(links(), []);
});
