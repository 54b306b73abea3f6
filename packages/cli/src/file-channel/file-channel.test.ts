import { EventBatch, silentLog, systemRuntime } from "@millrace/core";
import { createFileChannel } from "@millrace/file-channel";
import { createAvroServer } from "@millrace/rpc";
import {
  channelContext,
  createFakeClock,
  freePort,
  programCommand,
  startChild,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { runFileChannel } from "../commands/file-channel.ts";
import { createProgressBar } from "./progress.ts";
import type { Surroundings } from "./sub-command.ts";

const never = new AbortController().signal;

/** A closed channel with events 1 to 30 in three records, 1 to 10 delivered. */
async function writtenChannel(context: TestContext): Promise<string> {
  const directory = join(await tempDirectory(context), "data");
  const options = { dataDirs: [directory], minimumRequiredSpaceBytes: 0, keepAliveMs: 10 };
  const channel = createFileChannel(options, channelContext());
  await channel.start(never);
  for (let i = 0; i < 3; i++) {
    const events = Array.from({ length: 10 }, (_, j) => ({
      headers: new Map([["n", String(i * 10 + j + 1)]]),
      body: Buffer.from(`event ${i * 10 + j + 1}`),
    }));
    await (await channel.beginPut(EventBatch.fromEvents(events))).commit();
  }
  await (await channel.beginTake(10)).commit();
  await channel.stop(never);
  return directory;
}

/** Flips a byte where the text stands. */
async function damage(directory: string, text: string): Promise<string> {
  for (const name of await readdir(directory)) {
    if (!/^0.*\.seg$/.test(name)) continue;
    const path = join(directory, name);
    const at = (await readFile(path)).indexOf(text);
    if (at < 0) continue;
    const handle = await open(path, "r+");
    await handle.write(Buffer.from("X"), 0, 1, at);
    await handle.close();
    return path;
  }
  throw new Error(`nothing holds ${text}`);
}

async function run(
  words: readonly string[],
  around: Partial<Surroundings> = {},
): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runFileChannel(words, {
    program: "millrace",
    output: { out: (text) => void out.push(text), err: (text) => void err.push(text) },
    screen: { isTerminal: false, write: (text) => void err.push(text) },
    runtime: systemRuntime,
    home: "/nowhere",
    interrupted: never,
    systemProperties: new Map(),
    confirm: () => Promise.resolve(undefined),
    ...around,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

test("verify says sound with 0, damaged with 1 and what with, and 2 where it could not look", async (context) => {
  const directory = await writtenChannel(context);
  const sound = await run(["verify", directory]);
  assert.equal(sound.code, 0);
  assert.match(sound.out, /20 events to be delivered\n(.*\n)*sound$/);
  const path = await damage(directory, "event 15");
  const damaged = await run(["verify", directory]);
  assert.equal(damaged.code, 1);
  assert.ok(damaged.out.includes(`DAMAGED  record: ${path} bytes `), damaged.out);
  assert.match(damaged.out, /sequences 11 to 20, 10 of them not delivered yet/);
  assert.match(damaged.out, /10 events not delivered yet cannot be read; stop the agent/);
  const json = await run(["verify", directory, "--json"]);
  const report = JSON.parse(json.out) as { isSound: boolean; affected: number };
  assert.deepEqual([json.code, report.isSound, report.affected], [1, false, 10]);
  const nothing = await run(["verify", "/nowhere/at/all"]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.err, /CHANNEL_DIRECTORY .*nothing of a file channel is here/);
});

test("repair asks first, does what it said, and leaves a sound channel", async (context) => {
  const directory = await writtenChannel(context);
  const none = await run(["repair", directory]);
  assert.equal(none.code, 0);
  assert.match(none.out, /sound: 20 events to be delivered, nothing to repair/);
  await damage(directory, "event 15");
  const dry = await run(["repair", directory, "--dry-run"]);
  assert.equal(dry.code, 1);
  assert.match(
    dry.out,
    /lost: 10 events.*\n {2}10 events at .* sequences 11 to 20\nkept: 10 events/,
  );
  assert.match(dry.out, /nothing was done \(--dry-run\)/);
  const silent = await run(["repair", directory]);
  assert.equal(silent.code, 2);
  assert.match(silent.err, /no terminal to ask on; say --yes/);
  const refused = await run(["repair", directory], { confirm: () => Promise.resolve(false) });
  assert.equal(refused.code, 1);
  assert.equal((await run(["verify", directory])).code, 1, "nothing was done until now");
  const done = await run(["repair", directory, "--yes"]);
  assert.equal(done.code, 0, done.err);
  assert.match(done.out, /set aside in .*set-aside-\S+ .*\nrepaired: .*10 lost events counted/);
  const after = await run(["verify", directory]);
  assert.equal(after.code, 0, after.out);
  const stats = await run(["stats", directory]);
  assert.match(stats.out, /30 events put, 10 events delivered, 10 events discarded/);
});

test("stats and dump show a channel that a configuration names", async (context) => {
  const directory = await writtenChannel(context);
  const file = join(directory, "..", "a1.conf");
  await writeFile(
    file,
    `a1.channels = c1 m1
a1.channels.c1.type = file
a1.channels.c1.dataDirs = ${directory}
a1.channels.m1.type = memory
a1.sources = r1
a1.sources.r1.type = seq
a1.sources.r1.channels = c1 m1
a1.sinks = k1 k2
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = m1
`,
  );
  const which = ["-n", "a1", "-f", file, "-c"];
  const stats = await run(["stats", ...which, "c1"]);
  assert.equal(stats.code, 0, stats.err);
  assert.match(stats.out, /events {4}20 events to be delivered/);
  assert.match(stats.out, /state {5}closed in order/);
  const dump = await run(["dump", ...which, "c1", "--max", "2"]);
  assert.equal(dump.code, 0, dump.err);
  const lines = dump.out.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    lines.map(({ sequence, body, headers, acknowledged }) => ({
      sequence,
      body,
      headers,
      acknowledged,
    })),
    [
      { sequence: 11, body: "event 11", headers: { n: "11" }, acknowledged: false },
      { sequence: 12, body: "event 12", headers: { n: "12" }, acknowledged: false },
    ],
  );
  assert.match(String(lines[0]?.["put"]), /^20\d\d-/);
  assert.match(String(lines[0]?.["run"]), /^[0-9a-f]{16}$/);
  const memory = await run(["stats", ...which, "m1"]);
  assert.equal(memory.code, 2);
  assert.match(memory.err, /CONFIG_INVALID m1 is of type memory/);
  assert.match((await run(["stats", ...which, "c9"])).err, /no channel c9/);
});

test("drain empties a channel into a file, or into an Avro source, and says what stays", async (context) => {
  const directory = await writtenChannel(context);
  const file = join(directory, "..", "out.json");
  const some = await run(["drain", directory, "--to", `file:${file}`, "--max", "10"]);
  assert.equal(some.code, 0, some.err);
  assert.match(some.out, /^10 events, .* delivered to .*out\.json; 10 events stay in the channel$/);
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  assert.deepEqual(JSON.parse(lines[0] ?? ""), { headers: { n: "11" }, body: "event 11" });
  assert.equal(lines.length, 10);

  const bodies: string[] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    handler: (batch) => {
      for (const { body } of batch) bodies.push(body.toString());
      return Promise.resolve("OK");
    },
  });
  await server.start(never);
  context.after(() => server.stop(never));
  const rest = await run(["drain", directory, "--to", `avro://127.0.0.1:${server.port}`]);
  assert.equal(rest.code, 0, rest.err);
  assert.match(rest.out, /^10 events.*the channel is empty$/);
  assert.deepEqual(
    bodies,
    Array.from({ length: 10 }, (_, i) => `event ${i + 21}`),
  );
});

test("words that cannot be understood end with 2 and the sub-command's usage", async (context) => {
  const directory = await writtenChannel(context);
  for (const words of [
    ["verify"],
    ["verify", directory, "--what"],
    ["verify", directory, "-f", "x.conf"],
    ["dump", directory, "--max", "many"],
    ["drain", directory],
    ["drain", directory, "--to", "ftp://x"],
    ["mend", directory],
  ]) {
    const { code, err } = await run(words);
    assert.equal(code, 2, words.join(" "));
    assert.match(err, /usage: millrace file-channel/, words.join(" "));
  }
  for (const name of ["verify", "stats", "dump", "repair", "drain"]) {
    const { code, out } = await run([name, "--help"]);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^usage: millrace file-channel ${name} [\\s\\S]*\nexample`));
  }
});

test("progress is a bar on a terminal and a line a second elsewhere", async () => {
  for (const isTerminal of [true, false]) {
    const clock = createFakeClock();
    const written: string[] = [];
    const bar = createProgressBar(clock, { isTerminal, write: (text) => void written.push(text) });
    for (let i = 1; i <= 20; i++) {
      await clock.advance(100);
      bar.update({ what: "reading", bytes: i * 1024 * 1024, bytesTotal: 40 * 1024 * 1024 });
    }
    bar.clear();
    if (isTerminal) {
      assert.match(
        written[0] ?? "",
        /reading \[#+\.+\] \d+ % of 40\.0 MiB, 10\.0 MiB\/s, 3\.7 s left/,
      );
      assert.equal(written.at(-1), "\r\u001b[K");
    } else {
      assert.equal(written.length, 2);
      assert.match(written[0] ?? "", /^reading 25 % of 40\.0 MiB, 10\.0 MiB\/s, 3\.0 s left\n$/);
    }
  }
});

test("the real command verifies, and ends with its exit code", async (context) => {
  const directory = await writtenChannel(context);
  const command = [...programCommand("cli/main"), "file-channel"];
  const sound = startChild(context, { command: [...command, "verify", directory] });
  assert.deepEqual(await sound.exited(), { code: 0, signal: null });
  assert.match(sound.output(), /\nsound\n/);
  await damage(directory, "event 25");
  const damaged = startChild(context, { command: [...command, "verify", directory] });
  assert.deepEqual(await damaged.exited(), { code: 1, signal: null });
  const repaired = startChild(context, { command: [...command, "repair", directory, "--yes"] });
  assert.deepEqual(await repaired.exited(), { code: 0, signal: null }, repaired.output());
  const dumped = startChild(context, { command: [...command, "dump", directory] });
  assert.deepEqual(await dumped.exited(), { code: 0, signal: null }, dumped.output());
  assert.match(dumped.output(), /"body":"event 20"\}\n(.*\n)*10 events/);
});

test("a dump whose reader goes away, as head does, ends without a complaint", async (context) => {
  const directory = await writtenChannel(context);
  const words = [...programCommand("cli/main"), "file-channel", "dump", directory];
  // The reader has gone before the first event is written.
  const command = ["bash", "-c", `set -o pipefail; "$@" | true`, "-", ...words];
  const dumped = startChild(context, { command });
  assert.deepEqual(await dumped.exited(), { code: 0, signal: null }, dumped.output());
  assert.doesNotMatch(dumped.output(), /EPIPE/);
});

test("the real command's drain waits for a receiver that is not there yet", async (context) => {
  const directory = await writtenChannel(context);
  const port = await freePort();
  const words = ["file-channel", "drain", directory, "--to", `avro://127.0.0.1:${port}`];
  const drain = startChild(context, { command: [...programCommand("cli/main"), ...words] });
  // Nothing but its own timer is left between two attempts.
  await drain.says(/trying again in 0\.5 s[^]*trying again in 1 s/);
  let received = 0;
  const server = createAvroServer({
    host: "127.0.0.1",
    port,
    clock: systemRuntime.clock,
    log: silentLog,
    handler: (batch) => {
      received += batch.length;
      return Promise.resolve("OK");
    },
  });
  await server.start(never);
  context.after(() => server.stop(never));
  assert.deepEqual(await drain.exited(60_000), { code: 0, signal: null }, drain.output());
  assert.equal(received, 20);
});
