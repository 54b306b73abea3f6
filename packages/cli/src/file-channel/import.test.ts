import { type Event, nodeFileSystem, systemRuntime } from "@millrace/core";
import { createFileChannel } from "@millrace/file-channel";
import { createAvroServer } from "@millrace/rpc";
import { channelContext, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { silentLog } from "@millrace/core";
import { runFileChannel } from "../commands/file-channel.ts";
import { parseImportWords } from "./import-words.ts";
import type { Surroundings } from "./sub-command.ts";

/** 2,500 events in one Java data file. */
async function writeJavaChannel(folder: string, count = 2_500): Promise<string> {
  const directory = join(folder, "java", "data");
  await mkdir(directory, { recursive: true });
  let order = 1;
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    parts.push(entry(1, i, order++, putBody(`event ${i}`)));
    parts.push(entry(4, i, order++, int(1, 1)));
  }
  await writeFile(join(directory, "log-1"), Buffer.concat([...parts, Buffer.alloc(64, 0x80)]));
  const meta = Buffer.concat([int(1, 3), int(2, 1), long(3, 0), long(4, 0)]);
  await writeFile(join(directory, "log-1.meta"), delimited(meta));
  return directory;
}

function putBody(text: string): Buffer {
  const event = field(2, Buffer.from(text));
  return Buffer.concat([field(1, event), long(2, crc32(text))]);
}

function entry(type: number, transaction: number, order: number, body: Buffer): Buffer {
  const header = Buffer.concat([int(1, type), long(2, transaction), long(3, order)]);
  const payload = Buffer.concat([delimited(header), delimited(body), Buffer.from([0])]);
  const head = Buffer.from([0x7f, 0, 0, 0, 0]);
  head.writeInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

const delimited = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const field = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), delimited(bytes)]);
function int(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(5, (number << 3) | 5);
  bytes.writeInt32LE(value, 1);
  return bytes;
}
function long(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(9, (number << 3) | 1);
  bytes.writeBigInt64LE(BigInt(value), 1);
  return bytes;
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], around: Partial<Surroundings> = {}): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runFileChannel(["import", ...args], {
    program: "millrace",
    output: { out: (text) => void out.push(text), err: (text) => void err.push(text) },
    screen: { isTerminal: false, write: () => undefined },
    runtime: systemRuntime,
    home: "/home/nobody",
    interrupted: new AbortController().signal,
    systemProperties: new Map(),
    confirm: () => Promise.resolve(undefined),
    ...around,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

async function takeAll(directory: string): Promise<string[]> {
  const channel = createFileChannel({ dataDirs: [directory], keepAliveMs: 50 }, channelContext());
  await channel.start(new AbortController().signal);
  const found: string[] = [];
  while (channel.size > 0) {
    const transaction = await channel.beginTake(1_000);
    for (const { body } of transaction.batch) found.push(body.toString());
    await transaction.commit();
  }
  await channel.stop(new AbortController().signal);
  return found;
}

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `event ${index}`);

/** Ends as a killed process would: at the so-many-th write of the position, which does not happen. */
function dyingRuntime(writes: number): Surroundings["runtime"] {
  let left = writes;
  return {
    ...systemRuntime,
    files: {
      ...nodeFileSystem,
      async open(path, mode) {
        const handle = await nodeFileSystem.open(path, mode);
        if (!path.endsWith(".position")) return handle;
        return {
          ...handle,
          write(buffers, position) {
            if (left-- === 0) throw Object.assign(new Error("killed"), { code: "EIO" });
            return handle.write(buffers, position);
          },
        };
      },
    },
  };
}

void test("a Java channel goes into a new channel of ours, in order, and says what to configure", async (t) => {
  const folder = await tempDirectory(t);
  const java = await writeJavaChannel(folder);
  const ours = join(folder, "ours");
  const { code, out, err } = await run([java, "--into", ours]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /2500 events are waiting/);
  assert.match(out, /imported 2500 events/);
  assert.ok(out.includes(`<agent>.channels.<channel>.dataDirs = ${ours}`), out);
  assert.deepEqual(await takeAll(ours), numbered(2_500));
  assert.deepEqual((await readdir(java)).sort(), ["log-1", "log-1.meta"]);
});

void test("an import that was killed goes on and brings at most one transaction twice", async (t) => {
  const folder = await tempDirectory(t);
  const java = await writeJavaChannel(folder);
  const ours = join(folder, "ours");
  const words = [java, "--into", ours, "--batch-size", "100"];
  const killed = await run(words, { runtime: dyingRuntime(7) });
  assert.equal(killed.code, 2);
  const again = await run(words);
  assert.equal(again.code, 0);
  assert.match(again.out, /going on behind 700 events/);
  const got = await takeAll(ours);
  assert.equal(got.length, 2_600);
  assert.deepEqual([...new Set(got)], numbered(2_500));
});

void test("a second import after one that was done says so and brings nothing", async (t) => {
  const folder = await tempDirectory(t);
  const words = [await writeJavaChannel(folder, 10), "--into", join(folder, "ours")];
  await run(words);
  const { code, out } = await run(words);
  assert.equal(code, 0);
  assert.match(out, /the import was done before: 10 events/);
  assert.equal((await takeAll(join(folder, "ours"))).length, 10);
});

void test("the events are put behind those of a channel that is there", async (t) => {
  const folder = await tempDirectory(t);
  const ours = join(folder, "ours");
  await run([await writeJavaChannel(join(folder, "a"), 5), "--into", ours]);
  const { out } = await run([await writeJavaChannel(join(folder, "b"), 3), "--into", ours]);
  assert.match(out, /The channel holds 8 events/);
  assert.deepEqual(await takeAll(ours), [...numbered(5), ...numbered(3)]);
});

void test("an interrupted import ends between two transactions and goes on later", async (t) => {
  const folder = await tempDirectory(t);
  const words = [await writeJavaChannel(folder), "--into", join(folder, "ours")];
  const interrupted = new AbortController();
  const files = {
    ...nodeFileSystem,
    async open(path: string, mode: "read" | "write" | "create" | "append") {
      if (path.endsWith(".position")) interrupted.abort(130);
      return nodeFileSystem.open(path, mode);
    },
  };
  const cut = await run(words, {
    interrupted: interrupted.signal,
    runtime: { ...systemRuntime, files },
  });
  assert.equal(cut.code, 130);
  assert.match(cut.err, /0 of 2500 events are imported; run it again/);
  assert.equal((await run(words)).code, 0);
  assert.deepEqual(await takeAll(join(folder, "ours")), numbered(2_500));
});

void test("a dry run counts and writes nothing", async (t) => {
  const folder = await tempDirectory(t);
  const java = await writeJavaChannel(folder, 10);
  const { code, out } = await run([java, "--dry-run"]);
  assert.equal(code, 0);
  assert.match(out, /10 events of 90 bytes can be imported; nothing was written/);
  assert.deepEqual(await readdir(folder), ["java"]);
});

void test("damage is named, ends with exit code 1, and the rest is imported", async (t) => {
  const folder = await tempDirectory(t);
  const java = await writeJavaChannel(folder, 10);
  const path = join(java, "log-1");
  const bytes = await readFile(path);
  const at = bytes.indexOf("event 4");
  bytes.write("EVENT", at);
  await writeFile(path, bytes);
  const { code, out, err } = await run([java, "--into", join(folder, "ours")]);
  assert.equal(code, 1);
  assert.match(err, new RegExp(`damage in ${path} at \\d+: the event's body does not match`));
  assert.match(out, /imported 9 events; 1 places in the data files are damaged/);
  assert.equal((await takeAll(join(folder, "ours"))).length, 9);
});

void test("events are sent to an Avro source in their order, and the position lies where it is asked for", async (t) => {
  const folder = await tempDirectory(t);
  const got: Event[] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    handler(batch) {
      got.push(...batch);
      return Promise.resolve("OK");
    },
  });
  await server.start(new AbortController().signal);
  t.after(() => server.stop(AbortSignal.timeout(5_000)));
  const words = [
    await writeJavaChannel(folder),
    ...["--to", `avro://127.0.0.1:${server.port}`],
    ...["--position-file", join(folder, "position")],
  ];
  const { code, err } = await run(words);
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(
    got.map(({ body }) => body.toString()),
    numbered(2_500),
  );
  assert.match((await run(words)).out, /was done before: 2500 events/);
  const other = await writeJavaChannel(join(folder, "other"), 3);
  const mistaken = await run([other, ...words.slice(1)]);
  assert.match(
    mistaken.err,
    /POSITION_FILE_INVALID .* is not the position of an import from this Java/,
  );
});

void test("a channel whose lock file is open is refused with CHANNEL_LOCKED, also with --yes", async (t) => {
  const folder = await tempDirectory(t);
  const java = await writeJavaChannel(folder, 3);
  await writeFile(join(java, "in_use.lock"), "");
  const held = await nodeFileSystem.open(join(java, "in_use.lock"), "read");
  t.after(() => held.close());
  for (const yes of [[], ["--yes"]]) {
    const { code, err } = await run([java, "--dry-run", ...yes]);
    assert.equal(code, 2);
    assert.match(err, /CHANNEL_LOCKED whether a Java agent runs on .* is certain: process \d+ has/);
  }
});

const misunderstood = [
  { given: [], says: /name the dataDirs of the Java channel/ },
  { given: ["/a"], says: /say one of --into, --to and --dry-run/ },
  { given: ["/a", "--into", "/b", "--dry-run"], says: /say one of/ },
  { given: ["/a", "/a", "--dry-run"], says: /named twice/ },
  { given: ["/a", "--to", "http://x:1"], says: /is not avro:\/\/host:port/ },
  { given: ["/a", "--dry-run", "--batch-size", "0"], says: /--batch-size 0 is not a number/ },
  { given: ["/a", "--dry-run", "--key-store", "k"], says: /go together/ },
  { given: ["/a", "--into"], says: /--into needs a value/ },
  { given: ["/a", "--in", "x"], says: /unknown option --in/ },
  { given: ["/a", "--into", "/b", "--plain", "--active-key", "k"], says: /contradict/ },
];
for (const { given, says } of misunderstood) {
  void test(`import ${given.join(" ")} is answered with how it is called`, () => {
    assert.throws(() => parseImportWords(given, "/home/x"), says);
  });
}

void test("words are read with commas, blanks, = and ~", () => {
  const words = parseImportWords(
    [
      "~/a,/b",
      "/c",
      "--into=/d, /e",
      "--checkpoint-dir",
      "~/cp",
      "--key-password-file=k1=/p",
    ].concat(["--key-store", "/s", "--key-store-password-file", "/q", "--yes"]),
    "/home/x",
  );
  assert.deepEqual(words, {
    dataDirs: ["/home/x/a", "/b", "/c"],
    checkpointDir: "/home/x/cp",
    target: { kind: "channel", dataDirs: ["/d", "/e"], activeKey: undefined },
    keyStore: { file: "/s", passwordFile: "/q", keyPasswordFiles: new Map([["k1", "/p"]]) },
    batchSize: 1000,
    positionFile: undefined,
    yes: true,
  });
});
