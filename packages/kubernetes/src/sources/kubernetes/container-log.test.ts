import { type FollowedNode, followFakeNode, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
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

for (const format of ["cri", "docker-json"] as const) {
  void test(`a carriage return ends a line with its line feed, and is kept within a line (${format})`, async (test) => {
    const made = await given(test, {}, { format, pieceBytes: 4 });
    const app = made.kubelet.pod({ name: "web-0" }).container("app");
    app.write("stdout", "10%\r20%\r30%\r\r\rx");
    app.write("stdout", "ab\r");
    app.write("stdout", "a\r\r");
    app.write("stdout", "\r");
    await made.drain();
    assert.deepEqual(made.bodies(), ["10%\r20%\r30%\r\r\rx", "ab", "a\r", ""]);
  });
}
