import { nodeFileSystem } from "@millrace/core";
import { createCollectingLog, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createKeyFiles, parseKey } from "./key-files.ts";

test("a key is 32 bytes, 64 hexadecimal digits or 44 characters of base64, and nothing else", () => {
  const key = randomBytes(32);
  const texts = [key.toString("hex"), `${key.toString("hex").toUpperCase()}\n`, ` ${key.toString("base64")}\r\n`]; // prettier-ignore
  for (const content of [key, ...texts.map((text) => Buffer.from(text))]) {
    assert.deepEqual(parseKey(content), key);
  }
  const bad = ["", "password", key.toString("hex").slice(1), `${key.toString("hex")}0`, key.toString("base64").slice(0, 40)]; // prettier-ignore
  for (const text of bad) assert.equal(parseKey(Buffer.from(text)), undefined, text);
  assert.equal(parseKey(randomBytes(33)), undefined);
});

test("a key is found by its own property, then by its name in the directory; what is not there is KEY_MISSING", async (context) => {
  const directory = await tempDirectory(context);
  const [one, two] = [randomBytes(32), randomBytes(32)];
  await writeFile(join(directory, "one"), one, { mode: 0o400 });
  await writeFile(join(directory, "two"), randomBytes(32), { mode: 0o400 });
  await writeFile(join(directory, "elsewhere"), two.toString("base64"), { mode: 0o400 });
  const log = createCollectingLog();
  const paths = new Map([["two", join(directory, "elsewhere")]]);
  const keys = createKeyFiles({ directory, paths }, nodeFileSystem, log);
  assert.deepEqual(await keys.key("one"), one);
  assert.deepEqual(await keys.key("two"), two);
  assert.equal(log.lines.length, 0);
  await assert.rejects(keys.key("three"), {
    code: "KEY_MISSING",
    message: /three.*does not exist/,
  });
  for (const alias of ["../one", "..", "."]) {
    await assert.rejects(keys.key(alias), { code: "KEY_MISSING" }, alias);
  }
  await assert.rejects(createKeyFiles({}, nodeFileSystem, log).key("one"), {
    code: "KEY_MISSING",
    message: /keyDir/,
  });
});

test("a file that is no key is KEY_INVALID, and one that all may read is warned about", async (context) => {
  const directory = await tempDirectory(context);
  const log = createCollectingLog();
  const keys = createKeyFiles({ directory }, nodeFileSystem, log);
  await writeFile(join(directory, "short"), "secret\n", { mode: 0o400 });
  await writeFile(join(directory, "long"), Buffer.alloc(100_000), { mode: 0o400 });
  for (const alias of ["short", "long"]) {
    await assert.rejects(keys.key(alias), { code: "KEY_INVALID", message: /openssl rand/ });
  }
  assert.equal(log.lines.length, 0);
  await writeFile(join(directory, "open"), randomBytes(32));
  await chmod(join(directory, "open"), 0o644);
  await keys.key("open");
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0]?.message ?? "", /mode 0400/);
});
