import {
  createFakeKubelet,
  type FollowedNode,
  followFakeNode,
  optionsOf,
  sourceContext,
  sourceContract,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
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
