/**
 * Two agents wired in a ring by mistake:
 *
 *     lines -> one: taildir -> memory -> avro ==> two: avro, loop_guard -> memory -> file_roll
 *                               ^                                  '----> memory -> avro ==.
 *                               '-- avro, loop_guard <====================================='
 */
import {
  type AgentProcess,
  createAgentProcess,
  freePort,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

/** One batch: with more, some of the lines may wait behind those that come back. */
const lineCount = 100;

void test("a ring of agents is noticed and named, nothing multiplies in it, and a hop taken out ends it", async (t) => {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "out"));
  const [onePort, twoPort] = [await freePort(), await freePort()];
  const one = await agent("one", ring(folder, onePort, twoPort));
  const two = await agent("two", receiver(folder, twoPort, true) + sendBack(onePort));
  await Promise.all([one.start(), two.start()]);

  const wanted = Array.from({ length: lineCount }, (_, i) => `line ${i}`);
  await writeFile(join(folder, "lines"), `${wanted.join("\n")}\n`);
  await rename(join(folder, "lines"), join(folder, "in.log"));
  const named = /agents are wired in a ring, two\/two\/in -> one\/one\/in -> two\/two\/in/;
  await waitFor("the ring to be named", () => named.test(two.output()), 30_000);

  // It stands still: refused again and again, with each line stored once.
  const refusals = async (): Promise<number> =>
    Number((await two.metrics())["SOURCE.in"]?.["ChannelWriteFail"] ?? 0);
  const before = await refusals();
  await waitFor("more refusals", async () => (await refusals()) >= before + 1, 30_000);
  assert.match(two.output(), /answered FAILED: EVENT_LOOP/);
  assert.deepEqual(await arrived(folder), wanted);
  assert.equal((await two.metrics())["SOURCE.in"]?.["EventAcceptedCount"], String(lineCount));
  assert.equal((await one.metrics())["SOURCE.in"]?.["EventAcceptedCount"], String(lineCount));
  assert.equal((await one.metrics())["CHANNEL.c"]?.["ChannelSize"], String(lineCount));

  // One hop less, and what still circles is let go by name.
  await two.kill("SIGTERM", 30_000);
  await writeFile(join(folder, "two.conf"), receiver(folder, twoPort, false));
  await two.start();
  const fresh = "a line behind the ring";
  await writeFile(join(folder, "in.log"), `${fresh}\n`, { flag: "a" });
  await waitFor("the fresh line", async () => (await arrived(folder)).includes(fresh), 30_000);
  assert.deepEqual(await arrived(folder), [...wanted, fresh]);
  const url = `http://127.0.0.1:${two.monitoringPort}/metrics/prometheus`;
  const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
  const lost = text.split("\n").find((line) => line.includes(`reason="loop"`)) ?? "";
  assert.match(lost, /intended="false"/);
  assert.equal(lost.split(" ").at(-1), String(lineCount));

  async function agent(name: string, config: string): Promise<AgentProcess> {
    const configFile = join(folder, `${name}.conf`);
    await writeFile(configFile, config);
    return createAgentProcess(t, { name, configFile });
  }
});

/** The bodies in the output, in order, from all files. */
async function arrived(folder: string): Promise<string[]> {
  const names = (await readdir(join(folder, "out"))).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, "out", name), "utf8")));
  const lines = texts.join("").split("\n");
  return lines.filter((line) => line !== "").sort((a, b) => numberOf(a) - numberOf(b));
}

function numberOf(line: string): number {
  const number = Number(line.slice("line ".length));
  return Number.isNaN(number) ? Infinity : number;
}

const ring = (folder: string, port: number, next: number): string => `
one.sources = logs in
one.channels = c
one.sinks = next
one.sources.logs.type = TAILDIR
one.sources.logs.channels = c
one.sources.logs.filegroups = all
one.sources.logs.filegroups.all = ${folder}/in[.]log
one.sources.logs.positionFile = ${folder}/positions.json
one.sources.logs.backoffSleepIncrement = 100
one.sources.logs.maxBackoffSleep = 500
one.sources.logs.interceptors = guard
one.sources.logs.interceptors.guard.type = loop_guard
one.sources.logs.interceptors.guard.identity = one
${guarded("one", port, "c", "refuse")}
one.channels.c.type = memory
one.channels.c.capacity = 10000
one.sinks.next.type = avro
one.sinks.next.channel = c
one.sinks.next.hostname = 127.0.0.1
one.sinks.next.port = ${next}
one.sinks.next.batch-size = 100
one.sinks.next.maxBackoff = 500
`;

const receiver = (folder: string, port: number, isRing: boolean): string => `
two.sources = in
two.channels = ${isRing ? "c back" : "c"}
two.sinks = ${isRing ? "out back" : "out"}
${guarded("two", port, isRing ? "c back" : "c", isRing ? "refuse" : "discard")}
two.channels.c.type = memory
two.channels.c.capacity = 10000
two.sinks.out.type = file_roll
two.sinks.out.channel = c
two.sinks.out.sink.directory = ${folder}/out
two.sinks.out.sink.rollInterval = 0
`;

const sendBack = (port: number): string => `
two.channels.back.type = memory
two.channels.back.capacity = 10000
two.sinks.back.type = avro
two.sinks.back.channel = back
two.sinks.back.hostname = 127.0.0.1
two.sinks.back.port = ${port}
`;

const guarded = (name: string, port: number, channels: string, onLoop: string): string => `
${name}.sources.in.type = avro
${name}.sources.in.channels = ${channels}
${name}.sources.in.bind = 127.0.0.1
${name}.sources.in.port = ${port}
${name}.sources.in.interceptors = guard
${name}.sources.in.interceptors.guard.type = loop_guard
${name}.sources.in.interceptors.guard.identity = ${name}
${name}.sources.in.interceptors.guard.onLoop = ${onLoop}
`;
