import assert from "node:assert/strict";
import { nodeFileSystem, systemRuntime } from "@millrace/core";
import { createFakeClock, startChild, tempDirectory } from "@millrace/testing";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findInputs, inputsConfig } from "./inputs.ts";
import { livingProcessIds, writeProcessIds } from "./process-ids.ts";
import { createWriter } from "./writer.ts";

void test("folders give their text files; what cannot be tailed is listed with its reason", async (t) => {
  const folder = await tempDirectory(t);
  const path = (name: string): string => join(folder, name);
  await writeFile(path("b.log"), "b\n");
  await writeFile(path("a.log"), "");
  await writeFile(path("wtmp"), Buffer.from([1, 2, 0, 3]));
  await writeFile(path(".hidden"), "x\n");
  await mkdir(path("sub"));
  await writeFile(path("sub/c.log"), "c\n");
  const inputs = await findInputs(nodeFileSystem, [
    folder,
    path("sub/c.log"),
    path("b.log"),
    path("gone"),
  ]);
  assert.deepEqual(inputs.files, [path("a.log"), path("b.log"), path("sub/c.log")]);
  assert.deepEqual(inputs.skipped, [
    { path: path(".hidden"), reason: "hidden" },
    { path: path("wtmp"), reason: "not text" },
    { path: path("gone"), reason: "does not exist" },
  ]);
});

void test("a file that this user may not read is skipped with that reason", async () => {
  const files = {
    ...nodeFileSystem,
    stat: () =>
      Promise.resolve({
        size: 1,
        modifiedMs: 0,
        device: 1,
        inode: 1,
        isFile: true,
        isDirectory: false,
      }),
    open: () => Promise.reject(Object.assign(new Error("EACCES: no"), { code: "EACCES" })),
  };
  assert.deepEqual(await findInputs(files, ["/var/log/secure"]), {
    files: [],
    skipped: [{ path: "/var/log/secure", reason: "this user may not read it" }],
  });
});

void test("the edge gets a filegroup a folder that matches exactly the named files", () => {
  const config = inputsConfig(["/var/log/a.log", "/srv/x/b[1].log", "/var/log/sys+log"]);
  assert.deepEqual(config.split("\n").slice(1), [
    "edge.sources.logs.filegroups = group1 group2",
    "edge.sources.logs.filegroups.group1 = /var/log/(?:a\\\\.log|sys\\\\+log)",
    "edge.sources.logs.filegroups.group2 = /srv/x/(?:b\\\\[1\\\\]\\\\.log)",
    "",
  ]);
  assert.match(inputsConfig(["/srv/${x}/a"]), /= \/srv\/\$\$\{x\}\//);
});

void test("the writer keeps its rate, numbers its lines and stops at its maximum", async (t) => {
  const path = join(await tempDirectory(t), "writer.log");
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock };
  const writer = createWriter(runtime, { path, linesPerSecond: 1_000, linesMax: 250 });
  let done = false;
  const running = writer.run(new AbortController().signal).then(() => (done = true));
  while (!done) await clock.advance(50);
  await running;
  const lines = (await readFile(path, "utf8")).split("\n").slice(0, -1);
  assert.deepEqual([writer.written, writer.finished, lines.length], [250, true, 250]);
  // The file is real and the clock is not: how far it was moved before the file was open is not known.
  assert.match(lines[0] ?? "", /^2023-11-\d\dT[\d:.]{12}Z INFO {2}\[writer\] line 000000001 /);
  assert.match(lines[249] ?? "", /line 000000250 /);
  const perTick = new Map<string, number>();
  for (const line of lines)
    perTick.set(line.slice(0, 24), (perTick.get(line.slice(0, 24)) ?? 0) + 1);
  assert.ok(perTick.size > 1, "250 lines take more than one tick");
  for (const count of perTick.values()) assert.ok(count <= 200, `${count} lines in one tick`);
});

void test("processes of an earlier run that live are found, others are not", async (t) => {
  const path = join(await tempDirectory(t), "processes.json");
  assert.deepEqual(await livingProcessIds(nodeFileSystem, path), []);
  const other = startChild(t, {
    command: [process.execPath, "-e", "setInterval(() => {}, 1000)"],
  });
  const noProcess = 4_194_304;
  await writeProcessIds(nodeFileSystem, path, [process.pid, other.pid, noProcess]);
  // This test's own command line names the folder it lies in: it stands for a quickstart.
  assert.deepEqual(await livingProcessIds(nodeFileSystem, path), [process.pid]);
});
