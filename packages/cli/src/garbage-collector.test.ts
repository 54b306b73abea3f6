import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { collectorFlags } from "./garbage-collector.ts";

test("a V8 is told only of flags that its version has", () => {
  assert.equal(collectorFlags("11.3.244.8-node.33").length, 2);
  assert.equal(collectorFlags("13.6.233.17-node.28").length, 3);
});

test("this Node knows every flag it is given, at run time and on the command line", () => {
  const flags = collectorFlags(process.versions.v8);
  const script = `for (const flag of ${JSON.stringify(flags)}) require("node:v8").setFlagsFromString(flag)`;
  for (const given of [[], flags]) {
    const { status, stderr } = spawnSync(process.execPath, [...given, "-e", script], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    assert.deepEqual([status, stderr], [0, ""]);
  }
});
