import { followFakeNode, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createKubernetesSource } from "./kubernetes-source.ts";
import { options } from "./options.ts";

const given = (test: TestContext, format: "cri" | "docker-json") =>
  followFakeNode(test, {
    kubelet: { format, pieceBytes: 4 },
    create: (all, context) => createKubernetesSource(optionsOf(options, all), context),
  });

for (const format of ["cri", "docker-json"] as const) {
  void test(`a carriage return ends a line with its line feed, and is kept within a line (${format})`, async (test) => {
    const made = await given(test, format);
    const app = made.kubelet.pod({ name: "web-0" }).container("app");
    app.write("stdout", "10%\r20%\r30%\r\r\rx");
    app.write("stdout", "ab\r");
    app.write("stdout", "a\r\r");
    app.write("stdout", "\r");
    await made.drain();
    assert.deepEqual(made.bodies(), ["10%\r20%\r30%\r\r\rx", "ab", "a\r", ""]);
  });
}
