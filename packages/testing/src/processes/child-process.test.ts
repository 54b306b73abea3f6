import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../wait-for.ts";
import { programCommand } from "./agent-command.ts";
import { type Child, startChild } from "./child-process.ts";

const node = (script: string): readonly string[] => [process.execPath, "-e", script];
const forever = "setInterval(() => {}, 1000);";

void test("a child's output of both streams and its exit code are kept", async (t) => {
  const script =
    "console.log('out ' + process.env.WORD); console.error('err'); process.exitCode = 3";
  const child = startChild(t, { command: node(script), environment: { WORD: "hello" } });
  assert.deepEqual(await child.exited(), { code: 3, signal: null });
  assert.match(child.output(), /out hello/);
  assert.match(child.output(), /err/);
  assert.deepEqual(child.exit, { code: 3, signal: null });
  child.signal("SIGKILL");
});

void test("says waits for a text, and fails with the output when the child ends without it", async (t) => {
  const child = startChild(t, { command: node(`setTimeout(() => console.log("ready 7"), 20)`) });
  await child.says(/ready \d/);
  await assert.rejects(child.says("never"), /ended with .*before never; its output:\nready 7/s);
});

void test("a program that does not exist shows as an exit", async (t) => {
  const child = startChild(t, { command: ["/does/not/exist"] });
  assert.deepEqual(await child.exited(), { code: null, signal: null });
  assert.match(child.output(), /cannot start: .*ENOENT/);
});

void test("a signal reaches what the child started, too", async (t) => {
  const inner = `console.log("inner " + process.pid); ${forever}`;
  const script = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(inner)}], { stdio: "inherit" }); ${forever}`;
  const child = startChild(t, { command: node(script) });
  await child.says(/inner \d+/);
  const pid = Number(/inner (\d+)/.exec(child.output())?.[1]);
  child.signal("SIGKILL");
  assert.deepEqual(await child.exited(), { code: null, signal: "SIGKILL" });
  await waitFor("the inner process to end", () => !alive(pid));
});

void test("a child that runs on ends with its test", async (t) => {
  let child: Child | undefined;
  await t.test("starts one", async (inner) => {
    child = startChild(inner, { command: node(`console.log("up"); ${forever}`) });
    await child.says("up");
  });
  assert.deepEqual(child?.exit, { code: null, signal: "SIGKILL" });
});

void test("a program of this project is named by absolute paths, whatever the working directory", () => {
  const words = programCommand("cli/main");
  assert.equal(words[0], process.execPath);
  assert.match(words.at(-1) ?? "", /^\/.*packages\/cli\/(src\/main\.ts|dist\/main\.js)$/);
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
