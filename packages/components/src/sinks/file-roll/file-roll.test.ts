import {
  EventBatch,
  type EventSerializer,
  type FileHandle,
  type FileSystem,
  MillraceError,
  nodeFileSystem,
  type SinkContext,
  systemRuntime,
} from "@millrace/core";
import {
  createFakeClock,
  numberedBatch,
  optionsOf,
  sinkContext,
  sinkContract,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createFileRollSink } from "./file-roll.ts";
import { sink as definition } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;
const startMs = 1_700_000_000_000;

const lines = (): EventSerializer => ({
  header: () => Buffer.alloc(0),
  write: ({ body }, into) => void into.push(body, Buffer.from("\n")),
  footer: () => Buffer.alloc(0),
});

interface Call {
  readonly name: "open" | "write" | "datasync" | "truncate" | "syncDirectory" | "unlink" | "stat";
  readonly path: string;
}

/** The machine's files; `before` sees each call first, and fails it by throwing. */
function watchedFiles(before: (call: Call) => void): FileSystem {
  const wrap = (handle: FileHandle, path: string): FileHandle => ({
    ...handle,
    async write(buffers, position) {
      before({ name: "write", path });
      return handle.write(buffers, position);
    },
    async datasync() {
      before({ name: "datasync", path });
      return handle.datasync();
    },
    async truncate(length) {
      before({ name: "truncate", path });
      return handle.truncate(length);
    },
  });
  return {
    ...nodeFileSystem,
    async open(path, mode) {
      before({ name: "open", path });
      return wrap(await nodeFileSystem.open(path, mode), path);
    },
    async stat(path) {
      before({ name: "stat", path });
      return nodeFileSystem.stat(path);
    },
    async unlink(path) {
      before({ name: "unlink", path });
      return nodeFileSystem.unlink(path);
    },
    async syncDirectory(path) {
      before({ name: "syncDirectory", path });
      return nodeFileSystem.syncDirectory(path);
    },
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the test wants it`), { code });
}

interface Made {
  readonly properties?: Record<string, string>;
  readonly before?: (call: Call) => void;
  readonly serializer?: () => EventSerializer;
}

async function make(test: TestContext, { properties = {}, before, serializer = lines }: Made = {}) {
  const directory = await tempDirectory(test);
  const clock = createFakeClock(startMs);
  const calls: Call[] = [];
  const files = watchedFiles((call) => {
    calls.push(call);
    before?.(call);
  });
  const context = sinkContext({ runtime: { ...systemRuntime, clock, files } });
  const values = optionsOf(options, { "sink.directory": directory, ...properties });
  const sink = createFileRollSink(values, context, serializer);
  await sink.start(never);
  calls.length = 0;
  const content = async (): Promise<Record<string, string>> => {
    const names = (await readdir(directory)).sort();
    const texts = names.map(async (name) => [name, await readFile(join(directory, name), "utf8")]);
    return Object.fromEntries(await Promise.all(texts)) as Record<string, string>;
  };
  return { sink, clock, calls, context, directory, content };
}

sinkContract("the file_roll sink", async (context) => (await make(context)).sink);

test("a batch is in the file, synced, before deliver resolves; the new file's name too", async (t) => {
  const { sink, calls, content } = await make(t);
  await sink.deliver(numberedBatch(1, 3), never);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["open", "syncDirectory", "write", "datasync"],
  );
  await sink.deliver(numberedBatch(4, 5), never);
  assert.deepEqual(
    calls.slice(4).map(({ name }) => name),
    ["write", "datasync"],
    "one write and one sync a batch",
  );
  assert.deepEqual(await content(), { [`${startMs}-1`]: "1\n2\n3\n4\n5\n" });
  await sink.stop(never);
  assert.deepEqual(Object.values(await content()), ["1\n2\n3\n4\n5\n"]);
});

test("files roll by time, and are closed also when nothing more comes (T456)", async (t) => {
  const { sink, clock, context, content } = await make(t, {
    properties: { "sink.rollInterval": "1", "sink.batchSize": "1" },
  });
  for (let n = 1; n <= 3; n++) {
    await sink.deliver(numberedBatch(n, n), never);
    await clock.advance(1000);
    await waitFor("the roll", () => context.counters.ConnectionClosedCount === n);
  }
  assert.deepEqual(await content(), {
    [`${startMs}-1`]: "1\n",
    [`${startMs}-2`]: "2\n",
    [`${startMs}-3`]: "3\n",
  });
  assert.equal(clock.timerCount, 0);
  assert.equal(context.counters.ConnectionCreatedCount, 3);
});

test("an idle sink leaves no files", async (t) => {
  const { sink, clock, content } = await make(t, { properties: { "sink.rollInterval": "1" } });
  await clock.advance(10_000);
  await sink.stop(never);
  assert.deepEqual(await content(), {});
});

test("with rollInterval 0 there is one file (T457)", async (t) => {
  const { sink, clock, content } = await make(t, { properties: { "sink.rollInterval": "0" } });
  for (let n = 1; n <= 3; n++) {
    await sink.deliver(numberedBatch(n, n), never);
    await clock.advance(100_000);
  }
  assert.deepEqual(await content(), { [`${startMs}-1`]: "1\n2\n3\n" });
});

test("a roll, and the next delivery, wait for the delivery under way", async (t) => {
  const { directory, content } = await make(t);
  const clock = createFakeClock(startMs);
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  let writes = 0;
  const files: FileSystem = {
    ...nodeFileSystem,
    async open(path, mode) {
      const handle = await nodeFileSystem.open(path, mode);
      return {
        ...handle,
        async write(buffers, position) {
          writes++;
          await gate;
          return handle.write(buffers, position);
        },
      };
    },
  };
  const context = sinkContext({ runtime: { ...systemRuntime, clock, files } });
  const values = optionsOf(options, { "sink.directory": directory, "sink.rollInterval": "1" });
  const sink = createFileRollSink(values, context, lines);
  const first = sink.deliver(numberedBatch(1, 2), never);
  await waitFor("the write", () => writes === 1);
  await clock.advance(1000);
  const second = sink.deliver(numberedBatch(3, 3), never);
  await clock.advance(0);
  assert.equal(writes, 1);
  open();
  await Promise.all([first, second]);
  assert.deepEqual(await content(), { [`${startMs}-1`]: "1\n2\n", [`${startMs}-2`]: "3\n" });
  await sink.stop(never);
});

test("files that are there are never written over, also after a restart", async (t) => {
  const { sink, directory, content } = await make(t);
  await writeFile(join(directory, `${startMs}-1`), "mine");
  await writeFile(join(directory, `${startMs}-2`), "mine too");
  await sink.deliver(numberedBatch(1, 1), never);
  assert.deepEqual(await content(), {
    [`${startMs}-1`]: "mine",
    [`${startMs}-2`]: "mine too",
    [`${startMs}-3`]: "1\n",
  });
});

test("a write that fails half way is cut off, so that the retry does not duplicate", async (t) => {
  let fail = false;
  const given = await make(t);
  const { directory, clock } = given;
  const files: FileSystem = {
    ...nodeFileSystem,
    async open(path, mode) {
      const handle = await nodeFileSystem.open(path, mode);
      return {
        ...handle,
        async write(buffers, position) {
          if (!fail) return handle.write(buffers, position);
          fail = false;
          await handle.write(buffers.slice(0, 3), position);
          throw systemError("ENOSPC");
        },
      };
    },
  };
  const values = optionsOf(options, { "sink.directory": directory });
  const context = sinkContext({ runtime: { ...systemRuntime, clock, files } });
  const sink = createFileRollSink(values, context, lines);
  await sink.deliver(numberedBatch(1, 2), never);
  fail = true;
  await assert.rejects(sink.deliver(numberedBatch(3, 6), never), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "SINK_WRITE_FAILED");
    assert.match(error.message, /sink k1 could not write to .*-1: ENOSPC/);
    return true;
  });
  assert.deepEqual(await given.content(), { [`${startMs}-1`]: "1\n2\n" });
  await sink.deliver(numberedBatch(3, 6), never);
  assert.deepEqual(await given.content(), { [`${startMs}-1`]: "1\n2\n3\n4\n5\n6\n" });
  assert.equal(context.counters.ConnectionCreatedCount, 1);
  await sink.stop(never);
});

test("a short write is gone on with, and is one delivery", async (t) => {
  const { directory, content } = await make(t);
  let writes = 0;
  const files: FileSystem = {
    ...nodeFileSystem,
    async open(path, mode) {
      const handle = await nodeFileSystem.open(path, mode);
      return {
        ...handle,
        write(buffers, position) {
          writes++;
          const first = buffers[0] as Buffer;
          return handle.write([first.subarray(0, Math.max(1, first.length >> 1))], position);
        },
      };
    },
  };
  const context = sinkContext({
    runtime: { ...systemRuntime, clock: createFakeClock(startMs), files },
  });
  const values = optionsOf(options, { "sink.directory": directory });
  const sink = createFileRollSink(values, context, lines);
  await sink.deliver(numberedBatch(98, 102), never);
  assert.deepEqual(await content(), { [`${startMs}-1`]: "98\n99\n100\n101\n102\n" });
  assert.ok(writes > 10, `${writes} short writes`);
});

test("a file that cannot be cut back is left, and the retry goes to a new one", async (t) => {
  let broken = false;
  const { sink, calls, content } = await make(t, {
    before({ name }) {
      if (broken && (name === "write" || name === "truncate")) throw systemError("EIO");
    },
  });
  await sink.deliver(numberedBatch(1, 2), never);
  broken = true;
  await assert.rejects(sink.deliver(numberedBatch(3, 3), never), { code: "SINK_WRITE_FAILED" });
  broken = false;
  calls.length = 0;
  await sink.deliver(numberedBatch(3, 3), never);
  assert.deepEqual(await content(), { [`${startMs}-1`]: "1\n2\n", [`${startMs}-2`]: "3\n" });
  assert.ok(calls.every(({ path }) => !path.endsWith("-1")));
});

test("a file whose sync failed is never written again", async (t) => {
  let failures = 1;
  const { sink, calls, clock, content, context } = await make(t, {
    before({ name, path }) {
      if (name === "datasync" && path.endsWith("-2") && failures-- > 0) throw systemError("EIO");
    },
    properties: { "sink.pathManager.extension": "" },
  });
  await sink.deliver(numberedBatch(1, 1), never);
  await sink.stop(never);
  await assert.rejects(sink.deliver(numberedBatch(2, 2), never), { code: "SINK_WRITE_FAILED" });
  calls.length = 0;
  await sink.deliver(numberedBatch(2, 2), never);
  assert.deepEqual(
    calls.filter(({ path }) => path.endsWith("-2")),
    [],
  );
  assert.deepEqual(
    await content(),
    { [`${startMs}-1`]: "1\n", [`${startMs}-3`]: "2\n" },
    "nothing was promised in the second file: it is gone",
  );
  assert.equal(context.counters.ConnectionClosedCount, 2);
  assert.equal(clock.timerCount, 1, "only the third file waits for its end");
});

test("a file with synced batches stays when a later sync fails", async (t) => {
  let failing = false;
  const { sink, content } = await make(t, {
    before({ name }) {
      if (failing && name === "datasync") throw systemError("EIO");
    },
  });
  await sink.deliver(numberedBatch(1, 1), never);
  failing = true;
  await assert.rejects(sink.deliver(numberedBatch(2, 2), never), { code: "SINK_WRITE_FAILED" });
  failing = false;
  await sink.deliver(numberedBatch(2, 2), never);
  const files = await content();
  assert.ok(files[`${startMs}-1`]?.startsWith("1\n"));
  assert.equal(files[`${startMs}-2`], "2\n");
});

test("a new file whose name cannot be synced is removed, and the batch not delivered", async (t) => {
  let failing = true;
  const { sink, content, context } = await make(t, {
    before({ name }) {
      if (failing && name === "syncDirectory") throw systemError("EIO");
    },
  });
  await assert.rejects(sink.deliver(numberedBatch(1, 1), never), { code: "SINK_WRITE_FAILED" });
  assert.deepEqual(await content(), {});
  assert.equal(context.counters.ConnectionFailedCount, 1);
  failing = false;
  await sink.deliver(numberedBatch(1, 1), never);
  assert.deepEqual(Object.values(await content()), ["1\n"]);
});

test("a serializer is made per file, opens it once and ends it", async (t) => {
  const { sink, clock, context, content } = await make(t, {
    properties: { "sink.rollInterval": "1" },
    serializer: () => ({
      ...lines(),
      header: () => Buffer.from("<"),
      footer: () => Buffer.from(">"),
    }),
  });
  await sink.deliver(numberedBatch(1, 1), never);
  await sink.deliver(numberedBatch(2, 2), never);
  await clock.advance(1000);
  await waitFor("the roll", () => context.counters.ConnectionClosedCount === 1);
  await sink.deliver(numberedBatch(3, 3), never);
  await sink.stop(never);
  assert.deepEqual(Object.values(await content()), ["<1\n2\n>", "<3\n>"]);
});

test("a large batch of many small events is written whole", async (t) => {
  const { sink, content } = await make(t);
  await sink.deliver(numberedBatch(1, 5000), never);
  const [text = ""] = Object.values(await content());
  assert.equal(text.split("\n").length, 5001);
  assert.ok(text.endsWith("4999\n5000\n"));
});

const refusals = [
  {
    code: "PATH_MISSING",
    directory: "none",
    says: /sink k1: sink.directory .*none does not exist/,
  },
  { code: "PATH_MISSING", directory: "file", says: /is not a directory/ },
  { code: "PATH_MISSING", directory: "file/below", says: /does not exist/ },
];

for (const { code, directory, says } of refusals) {
  test(`sink.directory ${directory} is ${code} at start`, async (t) => {
    const root = await tempDirectory(t);
    await writeFile(join(root, "file"), "");
    const values = optionsOf(options, { "sink.directory": join(root, directory) });
    const sink = createFileRollSink(values, sinkContext(), lines);
    await assert.rejects(sink.start(never), (error) => {
      assert.ok(error instanceof MillraceError);
      assert.equal(error.code, code);
      assert.match(error.message, says);
      return true;
    });
  });
}

for (const code of ["EACCES", "EROFS"]) {
  test(`a directory that refuses new files with ${code} is PERMISSION_DENIED at start`, async (t) => {
    const directory = await tempDirectory(t);
    const files = watchedFiles(({ name }) => {
      if (name === "open") throw systemError(code);
    });
    const context: SinkContext = sinkContext({ runtime: { ...systemRuntime, files } });
    const values = optionsOf(options, { "sink.directory": directory });
    const sink = createFileRollSink(values, context, lines);
    await assert.rejects(sink.start(never), { code: "PERMISSION_DENIED" });
  });
}

test("start leaves nothing in the directory, also where a crash left its test file", async (t) => {
  const directory = await tempDirectory(t);
  await writeFile(join(directory, ".millrace-write-test"), "");
  await mkdir(join(directory, "sub"));
  const values = optionsOf(options, { "sink.directory": directory });
  const sinks = [1, 2].map(() => createFileRollSink(values, sinkContext(), lines));
  await Promise.all(sinks.map((sink) => sink.start(never)));
  assert.deepEqual(await readdir(directory), ["sub"]);
});

test("the definition makes the serializer that its options name (T455)", async (t) => {
  const directory = await tempDirectory(t);
  const asked: string[] = [];
  const context = sinkContext({
    makePart: <T>(ref: { type: string; properties: ReadonlyMap<string, string> }) => {
      asked.push(ref.type, ...ref.properties.keys());
      return Promise.resolve(lines as T);
    },
  });
  const values = optionsOf(options, {
    "sink.directory": directory,
    "sink.serializer.appendNewline": "true",
  });
  const sink = await definition.create(values, context);
  assert.deepEqual(asked, ["TEXT", "appendNewline"]);
  assert.equal(definition.batchSize?.(values), 100);
  await sink.start(never);
  await sink.deliver(EventBatch.fromEvents([{ body: Buffer.from("x") }]), never);
  await sink.stop(never);
  assert.equal((await readdir(directory)).length, 1);
});

test("with retentionBytes the oldest of its own closed files go, and nothing else", async (t) => {
  const { sink, clock, content, context, directory } = await make(t, {
    properties: {
      "sink.retentionBytes": "160",
      "sink.pathManager.prefix": "out-",
      "sink.pathManager.extension": "log",
    },
  });
  await writeFile(join(directory, "notes.log"), "x".repeat(1000));
  await writeFile(join(directory, `out-${startMs}-1.log.bak`), "x".repeat(1000));
  // 20 bytes are an eighth: each file is closed behind its first batch of 50.
  for (let n = 0; n < 5; n++) {
    await sink.deliver(numberedBatch(1000 + n * 10, 1009 + n * 10), never);
    await clock.advance(1);
  }
  const held = await content();
  assert.deepEqual(Object.keys(held).sort(), [
    "notes.log",
    `out-${startMs}-1.log.bak`,
    `out-${startMs}-3.log`,
    `out-${startMs}-4.log`,
    `out-${startMs}-5.log`,
  ]);
  assert.equal(held[`out-${startMs}-5.log`]?.startsWith("1040\n"), true);
  const removed = context.log.lines.filter(({ message }) => message.includes("removed a file"));
  assert.equal(removed.length, 2);
});

test("files that a run before left count for retentionBytes, from the start on", async (t) => {
  const directory = await tempDirectory(t);
  for (let n = 1; n <= 4; n++) {
    await writeFile(join(directory, `${startMs}-${n}`), "x".repeat(50));
  }
  const properties = { "sink.directory": directory, "sink.retentionBytes": "100" };
  const { sink } = await make(t, { properties });
  assert.equal((await readdir(directory)).length, 2);
  await sink.stop(never);
});

test("an old file that cannot be removed is said once, and events are delivered all the same", async (t) => {
  const { sink, context, directory } = await make(t, {
    properties: { "sink.retentionBytes": "60" },
    before({ name, path }) {
      if (name === "unlink" && !path.endsWith(".millrace-write-test")) throw systemError("EPERM");
    },
  });
  for (let n = 0; n < 3; n++) await sink.deliver(numberedBatch(1000, 1009), never);
  const warned = context.log.lines.filter(({ level }) => level === "warn");
  assert.deepEqual(
    warned.map(({ detail }) => detail["code"]),
    ["EPERM"],
  );
  assert.equal((await readdir(directory)).length, 3);
});
