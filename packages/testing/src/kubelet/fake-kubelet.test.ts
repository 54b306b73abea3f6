import assert from "node:assert/strict";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { tempDirectory } from "../temp-directory.ts";
import { createFakeKubelet } from "./fake-kubelet.ts";

void test("a log is rotated by rename, compressed at the next rotation, and removed when there are too many", async (test) => {
  const kubelet = createFakeKubelet({ directory: await tempDirectory(test), maxFiles: 4 });
  const pod = kubelet.pod({ name: "web-0" });
  const app = pod.container("app");
  const names = (): string[] => readdirSync(app.directory).sort();
  app.write("stdout", "one");
  assert.deepEqual(app.rotate(), []);
  assert.deepEqual(names(), ["0.log", "0.log.20260102-150405"]);
  app.write("stdout", "two");
  app.rotate();
  assert.deepEqual(names(), ["0.log", "0.log.20260102-150405.gz", "0.log.20260102-150406"]);
  const first = gunzipSync(readFileSync(join(app.directory, "0.log.20260102-150405.gz")));
  assert.match(first.toString(), /^\S{30} stdout F one\n$/);
  app.rotate();
  assert.deepEqual(app.rotate(), ["0.log.20260102-150405.gz"]);
  assert.equal(names().length, 4);
  app.restart();
  assert.ok(names().includes("1.log"));
  const [link = ""] = readdirSync(kubelet.containersDirectory);
  assert.match(link, /^web-0_default_app-[0-9a-f]{64}\.log$/);
  assert.equal(
    realpathSync(join(kubelet.containersDirectory, link)),
    realpathSync(join(app.directory, "1.log")),
  );
  pod.delete();
  assert.deepEqual(readdirSync(kubelet.podsDirectory), []);
});

void test("a long line is written in pieces, and in Docker's form as JSON", async (test) => {
  const directory = await tempDirectory(test);
  const kubelet = createFakeKubelet({ directory, format: "docker-json", pieceBytes: 4 });
  const app = kubelet.pod({ name: "web-0" }).container("app");
  app.write("stderr", "abcdefg");
  const lines = readFileSync(join(app.directory, "0.log"), "utf8").trimEnd().split("\n");
  const parsed = lines.map((line) => JSON.parse(line) as { log: string; stream: string });
  assert.deepEqual(
    parsed.map(({ log, stream }) => [stream, log]),
    [
      ["stderr", "abcd"],
      ["stderr", "efg\n"],
    ],
  );
});
