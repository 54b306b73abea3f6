/** The configuration that the project began with, run as its note says. Only spoolDir is changed. */
import { flumeNgCommand, startChild, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const configuration = (spoolDir: string): string => `
a1.sources = source1
a1.sinks = sink1
a1.channels = c1

a1.sources.source1.channels = c1
a1.sinks.sink1.channel = c1

a1.sources.source1.type = spooldir
a1.sources.source1.spoolDir = ${spoolDir}

a1.sinks.sink1.type = logger

a1.channels.c1.type = file
`;

const lines = ["first line of the first file", "second line", "플룸은 이벤트를 나른다"];

void test("flume-ng runs the seed configuration: files are completed, events logged, SIGTERM exits 0", async (t) => {
  const home = await tempDirectory(t);
  const spool = join(home, "spooldir");
  await mkdir(spool);
  await mkdir(join(home, "conf"));
  await writeFile(join(home, "conf", "flume.conf"), configuration(spool));
  await writeFile(join(spool, "one.txt"), `${lines.slice(0, 2).join("\n")}\n`);
  await writeFile(join(spool, "two.txt"), `${lines[2]}\n`);
  const words = "agent -c conf -f conf/flume.conf -n a1 -Dflume.root.logger=INFO,console".split(
    " ",
  );
  const agent = startChild(t, {
    command: [...flumeNgCommand(), ...words],
    cwd: home,
    environment: { HOME: home },
  });
  const names = async (): Promise<string[]> =>
    (await readdir(spool)).filter((name) => !name.startsWith(".")).sort();
  await waitFor(
    "both files to be completed",
    async () => agent.exit !== undefined || (await names()).every((n) => n.endsWith(".COMPLETED")),
    60_000,
  );
  assert.deepEqual(await names(), ["one.txt.COMPLETED", "two.txt.COMPLETED"], agent.output());
  assert.equal(await readFile(join(spool, "two.txt.COMPLETED"), "utf8"), `${lines[2]}\n`);

  // The logger sink shows the first 16 bytes of each body, in hex and as text.
  await agent.says("first line of th");
  await agent.says("second line");
  await agent.says(hexOf(lines[2] ?? ""));
  const kept = await readdir(join(home, ".flume", "file-channel", "data"));
  assert.ok(kept.length > 0, "the channel lies where Flume has it");

  agent.signal("SIGTERM");
  assert.deepEqual(await agent.exited(), { code: 0, signal: null }, agent.output());

  await writeFile(join(spool, "three.txt"), "read after a restart\n");
  const again = startChild(t, {
    command: [...flumeNgCommand(), ...words],
    cwd: home,
    environment: { HOME: home },
  });
  await again.says("read after a res", 60_000);
  again.signal("SIGTERM");
  assert.equal((await again.exited()).code, 0, again.output());
  assert.doesNotMatch(again.output(), /second line/, "what was delivered is not delivered again");
});

function hexOf(text: string): string {
  const bytes = [...Buffer.from(text).subarray(0, 16)];
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}
