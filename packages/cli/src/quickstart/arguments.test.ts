import assert from "node:assert/strict";
import { test } from "node:test";
import { parseQuickstartArguments } from "./arguments.ts";
import { commandOf, listenToKeys } from "./keys.ts";

void test("without arguments the writer goes on for ever, with --once it writes 20,000 lines", () => {
  const live = { once: false, linesPerSecond: 10_000, linesMax: undefined, paths: [] };
  assert.deepEqual(parseQuickstartArguments([]), live);
  const once = parseQuickstartArguments(["--once"]);
  assert.deepEqual(once, { ...live, once: true, linesMax: 20_000 });
});

void test("paths, rate and lines are taken as they are given", () => {
  assert.deepEqual(
    parseQuickstartArguments(["/var/log", "--rate", "50", "--lines=7", "a.log", "--once"]),
    { once: true, linesPerSecond: 50, linesMax: 7, paths: ["/var/log", "a.log"] },
  );
  assert.equal(parseQuickstartArguments(["-h"]), "help");
});

for (const args of [["--rate", "0"], ["--rate", "fast"], ["--lines=1.5"], ["--onec"]]) {
  void test(`${args.join(" ")} is refused by name`, () => {
    const result = parseQuickstartArguments(args);
    assert.ok(typeof result === "object" && "problem" in result);
    assert.match(result.problem, /--(rate takes|lines takes|onec)/);
  });
}

void test("k, s, r and q are commands, ctrl-c and ctrl-d quit, anything else is nothing", () => {
  assert.deepEqual(["k", "s", "r", "q", "\u0003", "\u0004", "d", "K", "\r"].map(commandOf), [
    "kill",
    "stall",
    "restart",
    "quit",
    "quit",
    "quit",
    undefined,
    undefined,
    undefined,
  ]);
});

void test("keys of a terminal arrive one by one, and its raw mode is given back", () => {
  const modes: boolean[] = [];
  const commands: string[] = [];
  let type: (text: string) => void = () => assert.fail("nobody listens");
  let paused = false;
  const stop = listenToKeys(
    {
      isTTY: true,
      setRawMode: (raw) => modes.push(raw),
      setEncoding: () => undefined,
      on: (_event, listener) => (type = listener),
      resume: () => undefined,
      pause: () => (paused = true),
    },
    (command) => commands.push(command),
  );
  type("kx");
  type("sq");
  stop();
  assert.deepEqual([commands, modes, paused], [["kill", "stall", "quit"], [true, false], true]);
});
