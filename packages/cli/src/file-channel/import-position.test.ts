import { systemRuntime } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openPositionFile } from "./import-position.ts";

const line = (position: number, channel = "c1"): string =>
  `${JSON.stringify({ channel, position, put: position, done: false })}\n`;

const cases = [
  { name: "is cut off", tail: '{"chan' },
  { name: "was cut off twice, the second time behind its line end", tail: '{"chan\n' },
  { name: "has lost its first sector to zeros", tail: `${"\0".repeat(40)}"done":false}\n` },
  { name: "is zeros", tail: "\0".repeat(60) },
];

for (const { name, tail } of cases) {
  test(`an import goes on from the line before one that ${name}`, async (context) => {
    const path = join(await tempDirectory(context), "x.position");
    await writeFile(path, `${line(1000)}${line(2000)}${tail}`);
    for (const position of [2000, 3000]) {
      const file = await openPositionFile(systemRuntime.files, path, "c1");
      assert.equal(file.left?.position, position);
      if (position === 2000) await file.write({ position: 3000, put: 3000, done: false });
      await file.close();
    }
    const text = await readFile(path, "utf8");
    assert.ok(text.endsWith(`\n${line(3000)}`), text);
  });
}

for (const { name, content } of [
  { name: "of another channel", content: line(1000, "c2") },
  { name: "of another channel behind one of this", content: line(1000) + line(2000, "c2") },
  { name: "that is none", content: "[client]\nname = x\n" },
  { name: "that is none and has no line end", content: "secret" },
]) {
  test(`a position file ${name} is refused and left as it is`, async (context) => {
    const path = join(await tempDirectory(context), "x.position");
    await writeFile(path, content);
    await assert.rejects(openPositionFile(systemRuntime.files, path, "c1"), {
      code: "POSITION_FILE_INVALID",
    });
    assert.equal(await readFile(path, "utf8"), content);
  });
}

test("a file whose only line was cut off begins again", async (context) => {
  const path = join(await tempDirectory(context), "x.position");
  await writeFile(path, '{"chan');
  const file = await openPositionFile(systemRuntime.files, path, "c1");
  assert.equal(file.left, undefined);
  await file.close();
});
