import { programCommand, projectRoot, startChild, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const withinMs = 120_000;

void test("--once delivers the samples and the written lines, checks each, and exits 0", async (t) => {
  const folder = await tempDirectory(t);
  const run = startChild(t, {
    command: [
      ...programCommand("cli/quickstart/main"),
      "--once",
      "--lines",
      "6000",
      "--rate",
      "4000",
    ],
    cwd: folder,
    environment: { INIT_CWD: folder },
  });
  assert.deepEqual(await run.exited(withinMs), { code: 0, signal: null }, run.output());
  const samples = await lineCount(join(projectRoot, "examples", "logs"));
  const wanted = (samples + 6_000).toLocaleString("en-US");
  assert.ok(samples > 1_000);
  assert.match(
    run.output(),
    new RegExp(`${wanted} lines read, ${wanted} distinct lines in the output, 0 missing`),
  );
  assert.doesNotMatch(run.output(), /\u001B/, "no escape sequences in a pipe");
  const delivered =
    (await lineCount(join(folder, ".millrace/quickstart/out/collector-1"))) +
    (await lineCount(join(folder, ".millrace/quickstart/out/collector-2")));
  assert.ok(delivered >= samples + 6_000, `${delivered} lines in the files`);
});

void test("a folder of the user's is delivered whole and not touched; what is no text is listed", async (t) => {
  const folder = await tempDirectory(t);
  const logs = await tempDirectory(t);
  const text = Array.from({ length: 700 }, (_, index) => `line ${index}, again and again\n`).join(
    "",
  );
  await writeFile(join(logs, "app (1).log"), `${text}${text}`);
  await writeFile(join(logs, "größe.txt"), "zeile\r\nohne\n\nende");
  await writeFile(join(logs, "wtmp"), Buffer.alloc(100));
  const before = await Promise.all((await readdir(logs)).map((name) => stat(join(logs, name))));
  const run = startChild(t, {
    command: [...programCommand("cli/quickstart/main"), "--once", logs],
    cwd: folder,
  });
  assert.deepEqual(await run.exited(withinMs), { code: 0, signal: null }, run.output());
  assert.match(run.output(), /skipped .*wtmp: not text/);
  assert.match(run.output(), /1,403 lines read, 1,403 distinct lines in the output, 0 missing/);
  assert.match(run.output(), /1 files end in a line without its end/);
  assert.deepEqual((await readdir(logs)).sort(), ["app (1).log", "größe.txt", "wtmp"].sort());
  const after = await Promise.all((await readdir(logs)).map((name) => stat(join(logs, name))));
  assert.deepEqual(
    after.map(({ mtimeMs, size, ino }) => [mtimeMs, size, ino]),
    before.map(({ mtimeMs, size, ino }) => [mtimeMs, size, ino]),
  );
});

void test("a second quickstart in the same folder is refused while the first runs; SIGTERM drains it", async (t) => {
  const folder = await tempDirectory(t);
  const command = [...programCommand("cli/quickstart/main"), "--rate", "500"];
  const first = startChild(t, { command, cwd: folder });
  await waitFor(
    "lines in the output",
    () => first.exit !== undefined || /in output [1-9]/.test(first.output()),
    withinMs,
  );
  const second = startChild(t, { command: [...command, "--once"], cwd: folder });
  assert.equal((await second.exited(withinMs)).code, 1, second.output());
  assert.match(second.output(), /still runs\. End it first: kill \d+/);
  first.signal("SIGTERM");
  assert.equal((await first.exited(withinMs)).code, 0, first.output());
  assert.match(first.output(), /drained in .* 0 missing/);
});

void test("an output that was tampered with fails the run: file, line and hop are named", async (t) => {
  const folder = await tempDirectory(t);
  const command = [...programCommand("cli/quickstart/main"), "--rate", "500"];
  const run = startChild(t, { command, cwd: folder });
  const samples = await lineCount(join(projectRoot, "examples", "logs"));
  const arrived = (): number =>
    Math.max(0, ...[...run.output().matchAll(/in output ([\d,]+)/g)].map(([, n]) => plain(n)));
  await waitFor(
    "the samples in the output",
    () => run.exit !== undefined || arrived() > samples,
    withinMs,
  );
  const out = join(folder, ".millrace/quickstart/out/collector-1");
  const file = join(out, (await readdir(out))[0] ?? "");
  const [first = ""] = (await readFile(file, "utf8")).split("\n");
  const handle = await open(file, "r+");
  await handle.write("#", first.length - 1);
  await handle.close();
  run.signal("SIGTERM");
  assert.equal((await run.exited(withinMs)).code, 1, run.output());
  assert.match(run.output(), /[1-9] missing/);
  const name = /logs\/(\w+\.log), byteoffset=0|byteoffset=0, file=.*logs\/(\w+\.log)/.exec(first);
  const stream = name?.[1] ?? name?.[2] ?? "no name";
  assert.match(
    run.output(),
    new RegExp(`missing: .*${stream} line 1 \\(offset 0\\): behind the collectors' channels`),
  );
  assert.match(run.output(), new RegExp(`wrong: .*-1:1: not the bytes of .*${stream} line 1`));
});

void test("a wrong argument is named, with the usage and exit code 2", async (t) => {
  const run = startChild(t, { command: [...programCommand("cli/quickstart/main"), "--onec"] });
  assert.equal((await run.exited(withinMs)).code, 2);
  assert.match(run.output(), /--onec[\s\S]*npm start/);
});

const plain = (text = ""): number => Number(text.replaceAll(",", ""));

async function lineCount(folder: string): Promise<number> {
  let count = 0;
  for (const name of await readdir(folder)) {
    count += (await readFile(join(folder, name), "utf8")).split("\n").length - 1;
  }
  return count;
}
