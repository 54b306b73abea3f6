/**
 * One source over two channels, one of them direct to a collector that dies:
 *
 *     file -> taildir -+-> direct -> avro ==> collector: avro -> file -> file_roll
 *                      '-> file -> file_roll
 */
import { createAgentProcess, freePort, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

void test("a fan-out over a direct and a file channel whose collector is killed: both have every line, some twice [lost: direct | agent killed | nothing; some twice]", async (t) => {
  const folder = await tempDirectory(t);
  const own = join(folder, "own");
  const far = join(folder, "far");
  await mkdir(own);
  await mkdir(far);
  const port = await freePort();
  await writeFile(join(folder, "edge.conf"), edgeConfig(folder, own, port));
  await writeFile(join(folder, "far.conf"), collectorConfig(folder, far, port));
  const edge = await createAgentProcess(t, { name: "edge", configFile: join(folder, "edge.conf") });
  const collector = await createAgentProcess(t, {
    name: "far",
    configFile: join(folder, "far.conf"),
  });
  await Promise.all([edge.start(), collector.start()]);

  let written = 0;
  const write = async (count: number): Promise<void> => {
    const lines = Array.from({ length: count }, () => `line ${++written}\n`);
    await appendFile(join(folder, "a.log"), lines.join(""));
  };
  const both = async (): Promise<boolean> =>
    [await linesIn(own), await linesIn(far)].every((lines) => new Set(lines).size === written);

  await write(100);
  await waitFor("the first lines at both ends", both, 30_000);
  await collector.kill("SIGKILL");
  await write(30);
  await waitFor(
    "the file channel's copies of batches that were refused",
    async () => (await linesIn(own)).length > new Set(await linesIn(own)).size,
    30_000,
  );
  const farLines = new Set(await linesIn(far));
  assert.equal(farLines.size, 100, "nothing reaches a collector that is dead");
  const positions = JSON.parse(await readFile(join(folder, "positions.json"), "utf8")) as {
    readonly pos: number;
  }[];
  const acknowledged = positions[0]?.pos ?? 0;
  const first100 = Array.from({ length: 100 }, (_, i) => `line ${i + 1}\n`).join("").length;
  assert.ok(acknowledged <= first100, `what was refused is not acknowledged: ${acknowledged}`);
  await collector.start();
  await write(100);
  await waitFor("every line at both ends", both, 60_000);
  const expected = Array.from({ length: written }, (_, i) => `line ${i + 1}`);
  for (const directory of [own, far]) {
    assert.deepEqual([...new Set(await linesIn(directory))], expected, "each, in order");
  }
  const twice = (await linesIn(own)).length - written;
  assert.ok(twice >= 30, `${twice} lines came again to the file channel`);
});

/** The lines of all files, oldest file first. */
async function linesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  const bySequence = (name: string): number => Number(name.slice(name.lastIndexOf("-") + 1));
  names.sort((a, b) => a.length - b.length || bySequence(a) - bySequence(b));
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
  return texts.join("").split("\n").slice(0, -1);
}

const edgeConfig = (folder: string, own: string, port: number): string => `
edge.sources = logs
edge.channels = none disk
edge.sinks = next copy
edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = none disk
edge.sources.logs.filegroups = all
edge.sources.logs.filegroups.all = ${folder}/a[.]log
edge.sources.logs.positionFile = ${folder}/positions.json
edge.sources.logs.writePosInterval = 200
edge.sources.logs.backoffSleepIncrement = 100
edge.sources.logs.maxBackoffSleep = 500
edge.sources.logs.batchSize = 50
edge.channels.none.type = direct
edge.channels.none.keep-alive = 1
edge.channels.none.answerTimeout = 2
edge.channels.disk.type = file
edge.channels.disk.dataDirs = ${folder}/edge-data
edge.channels.disk.minimumRequiredSpace = 1048576
edge.sinks.next.type = avro
edge.sinks.next.channel = none
edge.sinks.next.hostname = 127.0.0.1
edge.sinks.next.port = ${port}
edge.sinks.next.batch-size = 50
edge.sinks.next.connect-timeout = 1000
edge.sinks.next.request-timeout = 2000
edge.sinks.copy.type = file_roll
edge.sinks.copy.channel = disk
edge.sinks.copy.sink.directory = ${own}
edge.sinks.copy.sink.rollInterval = 0
`;

const collectorConfig = (folder: string, far: string, port: number): string => `
far.sources = in
far.channels = disk
far.sinks = out
far.sources.in.type = avro
far.sources.in.channels = disk
far.sources.in.bind = 127.0.0.1
far.sources.in.port = ${port}
far.channels.disk.type = file
far.channels.disk.dataDirs = ${folder}/far-data
far.channels.disk.minimumRequiredSpace = 1048576
far.sinks.out.type = file_roll
far.sinks.out.channel = disk
far.sinks.out.sink.directory = ${far}
far.sinks.out.sink.rollInterval = 0
`;
