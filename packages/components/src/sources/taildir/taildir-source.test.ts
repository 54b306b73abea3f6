import {
  type Clock,
  type EventBatch,
  MillraceError,
  type PollableSource,
  type SourceContext,
  systemClock,
  systemRuntime,
} from "@millrace/core";
import { optionsOf, sourceContext, sourceContract, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import {
  appendFile,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { source as definition } from "./index.ts";

const never = new AbortController().signal;
const lost = "millrace_source_unread_lost_bytes_total";
const rotated = "millrace_source_files_rotated_total";
const truncated = "millrace_source_files_truncated_total";

/** Timers fire at the next turn and move the clock by what they waited. */
function createHastyClock(): Clock & { skip(ms: number): void; readonly waited: number } {
  let elapsed = 0;
  let waited = 0;
  return {
    now: systemClock.now,
    monotonic: () => elapsed,
    setTimer(ms, fire) {
      const timer = setImmediate(() => {
        elapsed += ms;
        waited += ms;
        fire();
      });
      return { cancel: () => clearImmediate(timer) };
    },
    skip: (ms) => void (elapsed += ms),
    get waited() {
      return waited;
    },
  };
}

type Made = Awaited<ReturnType<typeof make>>;

/** A source over `<dir>/.*[.]log` with its state in `<dir>/state`. */
async function make(
  dir: string,
  properties: Record<string, string> = {},
  overrides: Partial<SourceContext> = {},
) {
  const clock = createHastyClock();
  const runtime = { ...systemRuntime, clock, ...overrides.runtime };
  const context = sourceContext({ ...overrides, runtime: { ...runtime, clock } });
  const options = optionsOf(definition.options, {
    filegroups: "g",
    "filegroups.g": `${dir}/.*[.]log`,
    positionFile: `${dir}/state/positions.json`,
    ...properties,
  });
  const source = (await definition.create(options, context)) as PollableSource;
  return { clock, context, source, bodies: () => bodiesOf(context.batches) };
}

async function started(test: TestContext, ...given: Parameters<typeof make>): Promise<Made> {
  const made = await make(...given);
  test.after(() => made.source.stop(never));
  await made.source.start(never);
  return made;
}

async function pollAll({ source }: Made): Promise<void> {
  while ((await source.poll(never)) === "ready");
}

/** What came since the last call. */
async function next(made: Made): Promise<string[]> {
  const before = made.context.batches.length;
  await pollAll(made);
  return bodiesOf(made.context.batches.slice(before));
}

function bodiesOf(batches: readonly EventBatch[]): string[] {
  return batches.flatMap((batch) => [...batch].map((event) => event.body.toString()));
}

async function positionsOf(dir: string): Promise<{ inode: number; pos: number; file: string }[]> {
  return JSON.parse(await readFile(join(dir, "state/positions.json"), "utf8")) as never;
}

sourceContract("taildir", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "line\n");
  return (await make(dir)).source;
});

void test("all lines of all files come, and lines appended later (T884, T886)", async (test) => {
  const dir = await tempDirectory(test);
  const made = await started(test, dir);
  assert.deepEqual(await next(made), []);
  await writeFile(join(dir, "a.log"), "a1\na2\n");
  await writeFile(join(dir, "b.log"), "b1\n");
  assert.deepEqual((await next(made)).sort(), ["a1", "a2", "b1"]);
  await appendFile(join(dir, "a.log"), "a3\n");
  assert.deepEqual(await next(made), ["a3"]);
  assert.equal(await made.source.poll(never), "backoff");
});

void test("deleted files are no error, and their rest is read (T885)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "a1\n");
  const made = await started(test, dir);
  await appendFile(join(dir, "a.log"), "a2\n");
  await rm(join(dir, "a.log"));
  assert.deepEqual(await next(made), ["a1", "a2"]);
  made.clock.skip(120_000);
  await pollAll(made);
  assert.deepEqual(await positionsOf(dir), []);
  assert.equal(made.context.metrics.value(rotated), 1);
  assert.equal(made.context.metrics.value(lost), 0);
});

void test("an empty file is skipped and followed (T889)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "");
  const made = await started(test, dir);
  assert.deepEqual(await next(made), []);
  await appendFile(join(dir, "a.log"), "a1\n");
  assert.deepEqual(await next(made), ["a1"]);
});

void test("a last line without line feed waits for it, or for idleTimeout (T890)", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "whole\nbegin");
  const made = await started(test, dir, { idleTimeout: "60000" });
  assert.deepEqual(await next(made), ["whole"]);
  await appendFile(path, "-middle");
  assert.deepEqual(await next(made), []);
  await appendFile(path, "-end\nnext");
  assert.deepEqual(await next(made), ["begin-middle-end"]);
  made.clock.skip(50_000);
  assert.deepEqual(await next(made), []);
  made.clock.skip(12_000);
  assert.deepEqual(await next(made), ["next"]);
  await appendFile(path, "-rest\n");
  assert.deepEqual(await next(made), ["-rest"], "what follows is a line of its own, as in Flume");
});

void test("a batch holds batchSize lines of one file (T891)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n2\n3\n4\n5\n");
  await writeFile(join(dir, "b.log"), "6\n");
  const made = await started(test, dir, { batchSize: "2" });
  await pollAll(made);
  assert.deepEqual(made.context.batches.map((batch) => batch.length).sort(), [1, 1, 2, 2]);
  const { counters } = made.context;
  assert.equal(counters.EventReceivedCount, 6);
  assert.equal(counters.EventAcceptedCount, 6);
  assert.equal(counters.AppendBatchAcceptedCount, 4);
});

void test("many files: every line comes (T892)", async (test) => {
  const dir = await tempDirectory(test);
  const want: string[] = [];
  for (let i = 0; i < 300; i++) {
    await writeFile(join(dir, `f${i}.log`), `${i}a\n${i}b\n`);
    want.push(`${i}a`, `${i}b`);
  }
  const made = await started(test, dir);
  assert.deepEqual((await next(made)).sort(), want.sort());
  assert.equal((await positionsOf(dir)).length, 300);
});

void test("a restart goes on at the recorded positions (T893)", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "a1\na2\n");
  const first = await started(test, dir);
  await pollAll(first);
  await first.source.stop(never);
  const { ino } = await stat(path);
  assert.equal(
    await readFile(join(dir, "state/positions.json"), "utf8"),
    `[{"inode":${ino},"pos":6,"file":"${path}"}]`,
  );
  await appendFile(path, "a3\n");
  const second = await started(test, dir);
  assert.deepEqual(await next(second), ["a3"]);
});

void test("a position file of Flume's alone is gone on from by inode and path (T893)", async (test) => {
  const dir = await tempDirectory(test);
  for (const name of ["a.log", "b.log"]) await writeFile(join(dir, name), "1\n2\n");
  const { ino } = await stat(join(dir, "a.log"));
  const b = (await stat(join(dir, "b.log"))).ino;
  await mkdir(join(dir, "state"));
  await writeFile(
    join(dir, "state/positions.json"),
    `[{"inode":${ino},"pos":2,"file":"${dir}/a.log"},{"inode":${b},"pos":2,"file":"${dir}/c.log"}]`,
  );
  const made = await started(test, dir, { fileHeader: "true" });
  await pollAll(made);
  const seen = made.context.batches.flatMap((batch) =>
    [...batch].map((event) => `${event.headers.get("file")} ${event.body.toString()}`),
  );
  assert.deepEqual(seen.sort(), [`${dir}/a.log 2`, `${dir}/b.log 1`, `${dir}/b.log 2`]);
});

void test("from us to Java Flume and back nothing is lost and nothing repeated", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n");
  const first = await started(test, dir);
  await pollAll(first);
  await first.source.stop(never);
  // Java reads "2", and writes its three keys without touching the side file.
  await appendFile(path, "2\n");
  const [entry] = await positionsOf(dir);
  await writeFile(join(dir, "state/positions.json"), JSON.stringify([{ ...entry, pos: 4 }]));
  await appendFile(path, "3\n");
  const second = await started(test, dir);
  assert.deepEqual([...first.bodies(), ...(await next(second))], ["1", "3"]);
});

void test("a position file that is not Flume's stops the start: POSITION_FILE_INVALID", async (test) => {
  const dir = await tempDirectory(test);
  await mkdir(join(dir, "state"));
  await writeFile(join(dir, "state/positions.json"), '[{"inode":1,"pos":2}]');
  const { source } = await make(dir);
  await assert.rejects(source.start(never), (error) => {
    assert.equal((error as MillraceError).code, "POSITION_FILE_INVALID");
    assert.match((error as MillraceError).message, /state\/positions\.json/);
    return true;
  });
});

void test("skipToEnd gives new lines of files that are there at start, all of later ones (T894)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "old\n");
  const made = await started(test, dir, { skipToEnd: "true" });
  await appendFile(join(dir, "a.log"), "new\n");
  await writeFile(join(dir, "b.log"), "b1\n");
  assert.deepEqual((await next(made)).sort(), ["b1", "new"]);
  await made.source.stop(never);
  await appendFile(join(dir, "a.log"), "while down\n");
  const second = await started(test, dir, { skipToEnd: "true" });
  assert.deepEqual(await next(second), ["while down"]);
});

void test("byteOffsetHeader is where the line begins (T895)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "é\n\r\nlong line\nx\n");
  const made = await started(test, dir, { byteOffsetHeader: "true", batchSize: "2" });
  await pollAll(made);
  const seen = made.context.batches.flatMap((batch) =>
    [...batch].map((event) => [event.headers.get("byteoffset"), event.body.toString()]),
  );
  assert.deepEqual(seen, [
    ["0", "é"],
    ["3", ""],
    ["5", "long line"],
    ["15", "x"],
  ]);
});

void test("a line ends at \\n, and \\r is taken off before it only (T896)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "a\rb\r\n\r\r\n\n\r\nplain\n");
  const made = await started(test, dir);
  assert.deepEqual(await next(made), ["a\rb", "\r", "", "", "plain"]);
});

void test("an append that leaves the modification time as it was is seen (T897)", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n");
  await utimes(path, 1000, 1000);
  const made = await started(test, dir);
  assert.deepEqual(await next(made), ["1"]);
  await appendFile(path, "2\n");
  await utimes(path, 1000, 1000);
  assert.deepEqual(await next(made), ["2"]);
});

void test("a group's files are found by its pattern, whole names only (T899, T900, T901, T903, T904, T905)", async (test) => {
  const dir = await tempDirectory(test);
  await mkdir(join(dir, "dir.log"));
  for (const name of ["a.log", "a.log.1", "xb.txt", "b.txt", ".hidden.log"])
    await writeFile(join(dir, name), `${name}\n`);
  const made = await started(test, dir, {
    filegroups: "one two none",
    "filegroups.one": `${dir}/a[.]log`,
    "filegroups.two": `${dir}/(?i)B\\.TXT`,
    "filegroups.none": `${dir}/nothing\\-like\\_this`,
    cachePatternMatching: "false",
  });
  assert.deepEqual((await next(made)).sort(), ["a.log", "b.txt"]);
});

void test("with caching a directory is listed again once it has changed (T898)", async (test) => {
  const dir = await tempDirectory(test);
  await mkdir(join(dir, "in"));
  await writeFile(join(dir, "in/a.log"), "a1\n");
  await utimes(join(dir, "in"), 1000, 1000);
  let listings = 0;
  const files = {
    ...systemRuntime.files,
    readDirectory(path: string) {
      listings++;
      return systemRuntime.files.readDirectory(path);
    },
  };
  const made = await started(
    test,
    dir,
    { "filegroups.g": `${dir}/in/.*[.]log` },
    { runtime: { ...systemRuntime, files } },
  );
  await pollAll(made);
  const before = listings;
  for (let i = 0; i < 5; i++) await made.source.poll(never);
  assert.equal(listings, before, "nothing changed");
  await writeFile(join(dir, "in/b.log"), "b1\n");
  assert.deepEqual(await next(made), ["b1"]);
  assert.ok(listings > before);
});

void test("headers are set by group, keys with dots too; a group without has none (T906)", async (test) => {
  const dir = await tempDirectory(test);
  for (const name of ["a", "b", "c"]) await writeFile(join(dir, name), `${name}\n`);
  const made = await started(test, dir, {
    filegroups: "a b c",
    "filegroups.a": `${dir}/a`,
    "filegroups.b": `${dir}/b`,
    "filegroups.c": `${dir}/c`,
    "headers.a.key": "one",
    "headers.b.key": "two",
    "headers.b.with.dots": "three",
  });
  await pollAll(made);
  const seen = made.context.batches.flatMap((batch) =>
    [...batch].map((event) => ({
      body: event.body.toString(),
      ...Object.fromEntries(event.headers),
    })),
  );
  assert.deepEqual(seen, [
    { body: "a", key: "one" },
    { body: "b", key: "two", "with.dots": "three" },
    { body: "c" },
  ]);
});

void test("start and stop three times go on each time (T907)", async (test) => {
  const dir = await tempDirectory(test);
  const made = await make(dir);
  for (let round = 0; round < 3; round++) {
    await made.source.start(never);
    await appendFile(join(dir, "a.log"), `${round}\n`);
    await pollAll(made);
    await made.source.stop(never);
    assert.equal(await made.source.poll(never), "backoff");
  }
  assert.deepEqual(made.bodies(), ["0", "1", "2"]);
});

void test("files are read by modification time (T908)", async (test) => {
  const dir = await tempDirectory(test);
  for (const [name, second] of [
    ["c", 10],
    ["a", 30],
    ["b", 20],
  ] as const) {
    await writeFile(join(dir, `${name}.log`), `${name}\n`);
    await utimes(join(dir, `${name}.log`), second, second);
  }
  assert.deepEqual(await next(await started(test, dir)), ["c", "b", "a"]);
});

void test("fileHeader is the path, under fileHeaderKey (T909)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n");
  const made = await started(test, dir, { fileHeader: "true", fileHeaderKey: "path" });
  await pollAll(made);
  assert.deepEqual(
    [...(made.context.batches[0]?.at(0).headers ?? [])],
    [["path", join(dir, "a.log")]],
  );
});

/**
 * Files on which opening some paths fails with EACCES, or reading them behind their first byte,
 * while `broken` holds their end.
 */
function breakable() {
  const broken = { open: "", read: "" };
  const { files } = systemRuntime;
  const refuse = (): Promise<never> =>
    Promise.reject(Object.assign(new Error("EACCES: no"), { code: "EACCES" }));
  return {
    broken,
    runtime: {
      ...systemRuntime,
      files: {
        ...files,
        async open(path: string, mode: "read" | "write" | "create" | "append") {
          if (broken.open !== "" && path.endsWith(broken.open)) return refuse();
          const handle = await files.open(path, mode);
          return {
            ...handle,
            read: (...given: Parameters<typeof handle.read>) =>
              broken.read !== "" && path.endsWith(broken.read) && given[3] > 0
                ? refuse()
                : handle.read(...given),
          };
        },
      },
    },
  };
}

void test("a file that cannot be read stops no other: READ_FAILED, logged once (T910)", async (test) => {
  const dir = await tempDirectory(test);
  const { broken, runtime } = breakable();
  await writeFile(join(dir, "a.log"), "a1\n");
  await writeFile(join(dir, "b.log"), "b1\n");
  broken.open = "a.log";
  const made = await started(test, dir, {}, { runtime });
  assert.deepEqual(await next(made), ["b1"]);
  broken.open = "";
  assert.deepEqual(await next(made), ["a1"]);
  broken.read = "a.log";
  await appendFile(join(dir, "a.log"), "a2\n");
  await appendFile(join(dir, "b.log"), "b2\n");
  assert.deepEqual(await next(made), ["b2"]);
  const failures = made.context.counters.EventReadFail;
  await made.source.poll(never);
  assert.equal(made.context.counters.EventReadFail, failures + 1);
  broken.read = "";
  assert.deepEqual(await next(made), ["a2"]);
  const warnings = made.context.log.lines.filter(({ level }) => level === "warn");
  assert.deepEqual(
    warnings.map(({ detail }) => [detail["code"], detail["path"]]),
    [
      ["READ_FAILED", join(dir, "a.log")],
      ["READ_FAILED", join(dir, "a.log")],
    ],
  );
});

void test("a position is kept for a file that cannot be opened at start", async (test) => {
  const dir = await tempDirectory(test);
  const { broken, runtime } = breakable();
  await writeFile(join(dir, "a.log"), "1\n");
  const first = await started(test, dir);
  await pollAll(first);
  await first.source.stop(never);
  await appendFile(join(dir, "a.log"), "2\n");
  broken.open = "a.log";
  const second = await started(test, dir, {}, { runtime });
  assert.deepEqual(await next(second), []);
  broken.open = "";
  assert.deepEqual(await next(second), ["2"]);
});

void test("a file that cannot even be looked at for a while is not taken for gone", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n");
  let isBroken = false;
  const { files } = systemRuntime;
  const runtime = {
    ...systemRuntime,
    files: {
      ...files,
      stat: (wanted: string) =>
        isBroken && wanted === path
          ? Promise.reject(Object.assign(new Error("EMFILE"), { code: "EMFILE" }))
          : files.stat(wanted),
    },
  };
  const made = await started(test, dir, { idleTimeout: "1000" }, { runtime });
  await pollAll(made);
  made.clock.skip(2000);
  await pollAll(made);
  isBroken = true;
  await pollAll(made);
  isBroken = false;
  await appendFile(path, "2\n");
  assert.deepEqual(await next(made), ["2"]);
  assert.equal(made.context.metrics.value(rotated), 0);
});

/** A channel that refuses while `error` is set. */
function refusing() {
  const state: { error: Error | undefined } = { error: undefined };
  const tries: EventBatch[] = [];
  const taken: EventBatch[] = [];
  const channelProcessor = {
    processEventBatch(batch: EventBatch) {
      tries.push(batch);
      if (state.error !== undefined) return Promise.reject(state.error);
      taken.push(batch);
      return Promise.resolve();
    },
  };
  return { state, tries, taken, channelProcessor };
}

void test("a batch that a full channel refuses is kept and tried again (T887, T888, T912)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n2\n3\n");
  const { state, tries, taken, channelProcessor } = refusing();
  const made = await started(test, dir, { batchSize: "2" }, { channelProcessor });
  state.error = new MillraceError("CHANNEL_FULL", "full");
  assert.equal(await made.source.poll(never), "backoff");
  assert.equal(await made.source.poll(never), "backoff");
  assert.equal(new Set(tries).size, 1);
  assert.equal(made.context.counters.ChannelWriteFail, 2);
  assert.equal((await positionsOf(dir))[0]?.pos, 0);
  state.error = undefined;
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken), ["1", "2", "3"]);
  assert.equal(made.context.counters.EventReceivedCount, 3);
});

void test("while the channel is full, rotation and deletion lose nothing", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n");
  const { state, taken, channelProcessor } = refusing();
  const made = await started(test, dir, { batchSize: "1" }, { channelProcessor });
  state.error = new MillraceError("CHANNEL_FULL", "full");
  for (let i = 2; i < 8; i++) {
    await made.source.poll(never);
    await rename(path, `${path}.1`);
    await writeFile(path, `${i}\n`);
  }
  await made.source.poll(never);
  state.error = undefined;
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken).sort(), ["1", "2", "3", "4", "5", "6", "7"]);
  assert.equal(made.context.metrics.value(lost), 0);
  assert.equal(made.context.metrics.value(rotated), 6);
});

void test("what is not a full channel is thrown to the runner, and the batch is kept (T911)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n");
  const { state, taken, channelProcessor } = refusing();
  const made = await started(test, dir, {}, { channelProcessor });
  state.error = new Error("an interceptor's mistake");
  await assert.rejects(made.source.poll(never), /mistake/);
  assert.equal(made.context.counters.GenericProcessingFail, 1);
  state.error = new MillraceError("TRANSACTION_TOO_LARGE", "too large");
  await assert.rejects(made.source.poll(never), { code: "TRANSACTION_TOO_LARGE" });
  state.error = undefined;
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken), ["1"]);
});

void test("with maxBatchCount files share the rounds (T913, T914)", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "a1\na2\na3\na4\na5\n");
  await utimes(join(dir, "a.log"), 10, 10);
  await writeFile(join(dir, "b.log"), "b1\nb2\nb3\n");
  const made = await started(test, dir, { batchSize: "1", maxBatchCount: "2" });
  assert.equal(await made.source.poll(never), "ready");
  assert.deepEqual(made.bodies(), ["a1", "a2", "b1", "b2"]);
  assert.equal(await made.source.poll(never), "ready");
  assert.deepEqual(made.bodies().slice(4), ["a3", "a4", "b3"]);
  assert.equal(made.clock.waited, 0, "there is more: no wait");
  assert.equal(await made.source.poll(never), "ready");
  assert.equal(made.clock.waited, 1000, "caught up: one increment");
  assert.equal(await made.source.poll(never), "backoff");
});

void test("a file renamed inside the pattern goes on where it was", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n2");
  const made = await started(test, dir, { fileHeader: "true" });
  await pollAll(made);
  await rename(join(dir, "a.log"), join(dir, "a.1.log"));
  await appendFile(join(dir, "a.1.log"), "2\n");
  await writeFile(join(dir, "a.log"), "3\n");
  assert.deepEqual((await next(made)).sort(), ["22", "3"]);
  assert.equal(made.context.metrics.value(rotated), 1);
  const event = made.context.batches
    .flatMap((batch) => [...batch])
    .find(({ body }) => body.toString() === "22");
  assert.equal(event?.headers.get("file"), join(dir, "a.1.log"));
});

void test("a file renamed out of the pattern is followed until it has not grown for idleTimeout", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n");
  const made = await started(test, dir, { idleTimeout: "60000" });
  await rename(join(dir, "a.log"), join(dir, "a.old"));
  await writeFile(join(dir, "a.log"), "3\n");
  assert.deepEqual(await next(made), ["1", "3"]);
  made.clock.skip(50_000);
  await appendFile(join(dir, "a.old"), "2\nlast");
  assert.deepEqual(await next(made), ["2"], "its writer had not noticed yet");
  assert.equal((await positionsOf(dir)).length, 2);
  made.clock.skip(61_000);
  assert.deepEqual(await next(made), ["last"]);
  await appendFile(join(dir, "a.old"), "too late\n");
  assert.deepEqual(await next(made), []);
  assert.equal((await positionsOf(dir)).length, 1);
});

void test("a file closed as idle is found again when it grows and is renamed out between two looks", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n");
  const made = await started(test, dir, { idleTimeout: "60000" });
  await pollAll(made);
  made.clock.skip(61_000);
  await pollAll(made);
  await appendFile(join(dir, "a.log"), "2\n");
  await rename(join(dir, "a.log"), join(dir, "a.old"));
  await writeFile(join(dir, "a.log"), "3\n");
  assert.deepEqual(await next(made), ["2", "3"]);
});

void test("a file renamed while the agent was down goes on: in the pattern, and out of it", async (test) => {
  for (const name of ["a.1.log", "a.old"]) {
    const dir = await tempDirectory(test);
    await writeFile(join(dir, "a.log"), "1\n");
    const first = await started(test, dir);
    await pollAll(first);
    await first.source.stop(never);
    await appendFile(join(dir, "a.log"), "2\n");
    await rename(join(dir, "a.log"), join(dir, name));
    await writeFile(join(dir, "a.log"), "3\n");
    const second = await started(test, dir);
    assert.deepEqual((await next(second)).sort(), ["2", "3"]);
    assert.equal(second.context.metrics.value(rotated), 1);
  }
});

void test("a file deleted while the agent was down costs what it was seen to hold unread", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n2\n3\n");
  const { state, channelProcessor } = refusing();
  const first = await started(test, dir, { batchSize: "1" }, { channelProcessor });
  await first.source.poll(new AbortController().signal);
  state.error = new MillraceError("CHANNEL_FULL", "full");
  await appendFile(join(dir, "a.log"), "4\n5\n");
  await first.source.poll(never);
  await first.source.stop(never);
  const before = (await positionsOf(dir))[0]?.pos ?? 0;
  await rm(join(dir, "a.log"));
  // Another file may get the inode: it must not be taken for the old one.
  await writeFile(join(dir, "b.log"), "something else, and longer\n");
  const second = await started(test, dir);
  assert.deepEqual(await next(second), ["something else, and longer"]);
  const seenSize = 6;
  assert.ok((second.context.metrics.value(lost) ?? 0) >= seenSize - before);
});

void test("a file that shrinks is read from its start, and what was unread is counted", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "one\ntwo\n");
  const { state, taken, channelProcessor } = refusing();
  const made = await started(test, dir, { batchSize: "1" }, { channelProcessor });
  await pollAll(made);
  await appendFile(path, "three\nfour\n");
  state.error = new MillraceError("CHANNEL_FULL", "full");
  await made.source.poll(never);
  await truncate(path, 0);
  await appendFile(path, "new\n");
  await made.source.poll(never);
  state.error = undefined;
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken), ["one", "two", "three", "new"]);
  assert.equal(made.context.metrics.value(truncated), 1);
  assert.equal(made.context.metrics.value(lost), "four\n".length);
});

void test("a file that was copied, cut and outgrew its position is noticed by its first bytes", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n2\n");
  const made = await started(test, dir);
  await pollAll(made);
  await truncate(path, 0);
  await appendFile(path, "new 1\nnew 2\nnew 3\n");
  assert.deepEqual(await next(made), ["new 1", "new 2", "new 3"]);
  assert.equal(made.context.metrics.value(truncated), 1);
});

void test("a file whose new content is just as long is noticed by its time", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n2\n");
  await utimes(path, 1000, 1000);
  const made = await started(test, dir);
  await pollAll(made);
  await truncate(path, 0);
  await appendFile(path, "3\n4\n");
  assert.deepEqual(await next(made), ["3", "4"]);
  await utimes(path, 2000, 2000);
  assert.deepEqual(await next(made), [], "a touch is nothing");
});

void test("another file with the inode of an idle one is read from its start", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "old 1\nold 2\n");
  const made = await started(test, dir, { idleTimeout: "1000" });
  await pollAll(made);
  made.clock.skip(2000);
  await pollAll(made);
  const { ino } = await stat(path);
  // Cutting and filling it while it is closed is what a reused inode looks like.
  await writeFile(path, "new 1\nnew 2\nnew 3\n");
  assert.equal((await stat(path)).ino, ino);
  assert.deepEqual(await next(made), ["new 1", "new 2", "new 3"]);
});

void test("a link is followed to its file, and to the next one when it is turned", async (test) => {
  const dir = await tempDirectory(test);
  const elsewhere = await tempDirectory(test);
  await writeFile(join(elsewhere, "0"), "1\n");
  await symlink(join(elsewhere, "0"), join(dir, "a.log"));
  const made = await started(test, dir);
  assert.deepEqual(await next(made), ["1"]);
  await appendFile(join(elsewhere, "0"), "2\n");
  await rename(join(elsewhere, "0"), join(elsewhere, "0.old"));
  await writeFile(join(elsewhere, "0"), "3\n");
  assert.deepEqual(await next(made), ["2", "3"]);
});

void test("a line over maxLineBytes is cut into parts, counted and logged once", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "12345\n1234567890a\r\nshort\n1234567890123");
  const made = await started(test, dir, { maxLineBytes: "5" });
  assert.deepEqual(await next(made), ["12345", "12345", "67890", "a", "short", "12345", "67890"]);
  await appendFile(join(dir, "a.log"), "45\n");
  assert.deepEqual(await next(made), ["12345"]);
  assert.equal(made.context.metrics.value("millrace_source_lines_cut_total"), 4);
  const warnings = made.context.log.lines.filter(({ level }) => level === "warn");
  assert.equal(warnings.length, 1);
});

void test("lines longer than any buffer come whole up to maxLineBytes", async (test) => {
  const dir = await tempDirectory(test);
  const sizes = [300_000, 5, 1_000_000, 1_000_001, 262_144, 262_143, 0, 524_288];
  const content = sizes.map((size, i) => `${String(i).repeat(size)}\n`).join("");
  await writeFile(join(dir, "a.log"), content);
  const made = await started(test, dir, { maxLineBytes: "1000000" });
  const bodies = await next(made);
  assert.deepEqual(
    bodies.map((body) => body.length),
    [300_000, 5, 1_000_000, 1_000_000, 1, 262_144, 262_143, 0, 524_288],
  );
  assert.ok(bodies.join("") === content.replaceAll("\n", ""));
});

void test("a file longer than one turn leaves the others their turn", async (test) => {
  const dir = await tempDirectory(test);
  const line = `${"x".repeat(999)}\n`;
  await writeFile(join(dir, "big.log"), line.repeat(20_000));
  await utimes(join(dir, "big.log"), 10, 10);
  await writeFile(join(dir, "small.log"), "small\n");
  const made = await started(test, dir, { batchSize: "1000" });
  assert.equal(await made.source.poll(never), "ready");
  const events = made.context.batches.reduce((sum, batch) => sum + batch.length, 0);
  assert.ok(events > 16_000 && events < 20_000, `${events} events`);
  assert.equal(made.context.batches.at(-1)?.at(0).body.toString(), "small");
  assert.ok((made.context.metrics.value("millrace_source_backlog_bytes") ?? 0) > 1_000_000);
  await pollAll(made);
  assert.equal(
    made.context.batches.reduce((sum, batch) => sum + batch.length, 0),
    20_001,
  );
  assert.equal(made.context.metrics.value("millrace_source_backlog_bytes"), 0);
});

void test("positions are written every writePosInterval, and at stop", async (test) => {
  const dir = await tempDirectory(test);
  const path = join(dir, "a.log");
  await writeFile(path, "1\n");
  const made = await started(test, dir, { writePosInterval: "60000" });
  await pollAll(made);
  assert.equal(
    (await positionsOf(dir))[0]?.pos,
    0,
    "the file is known at once, its position later",
  );
  made.clock.skip(60_000);
  await pollAll(made);
  assert.equal((await positionsOf(dir))[0]?.pos, 2);
  await appendFile(path, "2\n");
  await pollAll(made);
  assert.equal((await positionsOf(dir))[0]?.pos, 2);
  await made.source.stop(never);
  assert.equal((await positionsOf(dir))[0]?.pos, 4);
});

void test("a position file that cannot be written stops nothing: WRITE_FAILED, logged once", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a.log"), "1\n");
  const { broken, runtime } = breakable();
  const made = await started(test, dir, { writePosInterval: "1" }, { runtime });
  broken.open = "positions.json.tmp";
  for (let i = 2; i < 6; i++) {
    await appendFile(join(dir, "a.log"), `${i}\n`);
    await pollAll(made);
  }
  assert.deepEqual(made.bodies(), ["1", "2", "3", "4", "5"]);
  const errors = made.context.log.lines.filter(({ level }) => level === "error");
  assert.deepEqual(
    errors.map(({ detail }) => detail["code"]),
    ["WRITE_FAILED"],
  );
  broken.open = "";
  await made.source.stop(never);
  assert.equal((await positionsOf(dir))[0]?.pos, 10);
});

void test("a group's directory that is missing stops the start: PATH_MISSING (T902)", async (test) => {
  const dir = await tempDirectory(test);
  const { source } = await make(dir, { "filegroups.g": `${dir}/nowhere/x` });
  await assert.rejects(source.start(never), (error) => {
    assert.equal((error as MillraceError).code, "PATH_MISSING");
    assert.match((error as MillraceError).message, /filegroups\.g: .*\/nowhere /);
    return true;
  });
});

void test("a position file that may not be written stops the start: PERMISSION_DENIED", async (test) => {
  const dir = await tempDirectory(test);
  const { broken, runtime } = breakable();
  broken.open = ".tmp";
  const { source } = await make(dir, {}, { runtime });
  await assert.rejects(source.start(never), { code: "PERMISSION_DENIED" });
});

const checkCases = [
  { given: { filegroups: "a", "filegroups.a": "relative/x" }, key: "filegroups.a" },
  { given: { filegroups: "a", "filegroups.a": "/dir/" }, key: "filegroups.a" },
  { given: { filegroups: "a", "filegroups.a": "/dir/(" }, key: "filegroups.a" },
  { given: { filegroups: "a b" }, key: "filegroups.a" },
];
for (const { given, key } of checkCases) {
  void test(`check refuses ${JSON.stringify(given)}`, () => {
    const problems = definition.check?.(optionsOf(definition.options, given)) ?? [];
    assert.deepEqual(
      problems.map((problem) => problem.key),
      [key],
    );
  });
}

void test("a group without a path is left out, and Flume's largest maxBatchCount is taken", () => {
  const given = {
    filegroups: "a b",
    "filegroups.b": "/var/log/x",
    maxBatchCount: "9223372036854775807",
  };
  assert.deepEqual(definition.check?.(optionsOf(definition.options, given)), []);
});

void test("the position file stands in the home directory by default", async (test) => {
  const dir = await tempDirectory(test);
  const context = sourceContext({ home: dir });
  const options = optionsOf(definition.options, {
    filegroups: "g",
    "filegroups.g": `${dir}/.*[.]log`,
  });
  const source = await definition.create(options, context);
  await source.start(never);
  await source.stop(never);
  assert.equal(await readFile(join(dir, ".flume/taildir_position.json"), "utf8"), "[]");
});
