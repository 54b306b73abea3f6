import { nodeFileSystem } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { openJavaChannel } from "./java-channel.ts";
import { events } from "./java-world.test.ts";

/**
 * Directories of real file channels, as JSON of path and content (latin1), gzipped. Made with OpenJDK
 * 17 and test/conformance/java/ChannelDriver.java, which is killed at the end:
 *
 *     java -cp <driver>:<flume>/lib/* millrace.conformance.ChannelDriver c.properties \
 *         put:20:100 put:10:30 take:12 rollback-put:3 rollback-take:4 sleep:1500 put:15:60 take:6 \
 *         open-put:2 open-take:3 sleep:1500 put:20:20 take:4 put:5:200 halt
 *
 *     checkpointDir = checkpoint, dataDirs = data1,data2, capacity = 200, transactionCapacity = 100,
 *     maxFileSize = 4000, checkpointInterval = 1000
 *
 * Opened again, each Flume delivered the events below, those of the open take (18 to 20) in another
 * order.
 */
const numbers = [...[18, 19, 20, ...range(25, 30), ...range(33, 48)], ...range(50, 75)];

function range(from: number, end: number): number[] {
  return Array.from({ length: end - from }, (_, index) => from + index);
}

async function unpack(t: TestContext, version: string): Promise<(name: string) => string> {
  const folder = await tempDirectory(t);
  const here = dirname(fileURLToPath(import.meta.url));
  const packed = await readFile(join(here, "golden", `flume-${version}.json.gz`));
  const files = JSON.parse(gunzipSync(packed).toString("latin1")) as Record<string, string>;
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content, "latin1");
  }
  return (name) => join(folder, name);
}

for (const version of ["1.11.0", "1.9.0"]) {
  for (const checkpointDir of ["checkpoint", "none"]) {
    void test(`a killed Flume ${version} channel gives the events it gives to Java, checkpoint: ${checkpointDir} (T681)`, async (t) => {
      const path = await unpack(t, version);
      const channel = await openJavaChannel(nodeFileSystem, {
        dataDirs: [path("data1"), path("data2")],
        checkpointDir: path(checkpointDir),
      });
      const got = await events(channel);
      assert.deepEqual(
        got.map(({ headers }) => Number(headers.get("n"))),
        numbers,
      );
      for (const { headers, body } of got) {
        assert.match(body.toString(), new RegExp(`^event ${headers.get("n") ?? "?"}[.]*$`));
      }
      assert.deepEqual(channel.damages, []);
      const isUsed = !channel.notes.some((note) => note.startsWith("the checkpoint is not used"));
      assert.equal(isUsed, checkpointDir === "checkpoint");
    });
  }
}
