import {
  type EventBatch,
  MillraceError,
  type PollableSource,
  type SourceContext,
} from "@millrace/core";
import {
  createFakeClock,
  createSeededRandom,
  optionsOf,
  partMaker,
  sourceContext,
  sourceContract,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import avro from "avsc";
import assert from "node:assert/strict";
import {
  appendFile,
  chmod,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { deserializer } from "../../deserializers/line/index.ts";
import { source as definition } from "./index.ts";

const never = new AbortController().signal;
const stateFile = ".flumespool/.flumespool-main.meta";
const setAsideTotal = "millrace_source_files_set_aside_total";

type Made = Awaited<ReturnType<typeof make>>;

async function make(
  dir: string,
  properties: Record<string, string> = {},
  overrides: Partial<SourceContext> = {},
) {
  const context = sourceContext({ makePart: partMaker(deserializer), ...overrides });
  const options = optionsOf(definition.options, { spoolDir: dir, ...properties });
  const source = (await definition.create(options, context)) as PollableSource;
  return { context, source, bodies: () => bodiesOf(context.batches) };
}

/** Started; stopped when the test ends. */
async function started(test: TestContext, ...given: Parameters<typeof make>): Promise<Made> {
  const made = await make(...given);
  await made.source.start(never);
  test.after(() => made.source.stop(never));
  return made;
}

async function pollAll({ source }: Made): Promise<void> {
  while ((await source.poll(never)) === "ready");
}

function bodiesOf(batches: readonly EventBatch[]): string[] {
  return batches.flatMap((batch) => [...batch].map((event) => event.body.toString()));
}

/** Writes the file with a modification time of `second`. */
async function put(dir: string, name: string, content: string, second?: number): Promise<void> {
  await writeFile(join(dir, name), content);
  if (second !== undefined) await utimes(join(dir, name), second, second);
}

async function visible(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => !name.startsWith(".")).sort();
}

function errorsOf({ context }: Made): string[] {
  return context.log.lines
    .filter(({ level }) => level === "error")
    .map(({ detail }) => String(detail["code"]));
}

sourceContract("spooldir", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "line\n");
  return (await make(dir)).source;
});

void test("every line of every file comes once, and each file is marked (T367, T386, T397)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "one", "1a\n1b\n", 10);
  await put(dir, "two", "2a\n2b", 20);
  const made = await started(test, dir);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["1a", "1b", "2a", "2b"]);
  assert.deepEqual(await visible(dir), ["one.COMPLETED", "two.COMPLETED"]);
  assert.equal(await made.source.poll(never), "backoff");
  assert.deepEqual(await readdir(join(dir, ".flumespool")), [], "no state is left");
});

void test("files that come to an empty directory later are found (T387)", async (test) => {
  const dir = await tempDirectory(test);
  const made = await started(test, dir);
  assert.equal(await made.source.poll(never), "backoff");
  await put(dir, "late", "x\n");
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["x"]);
});

void test("a batch holds batchSize events, and never of two files (T395, T396)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "one", "1\n2\n3\n4\n5\n", 10);
  await put(dir, "two", "6\n", 20);
  const made = await started(test, dir, { batchSize: "3" });
  await pollAll(made);
  assert.deepEqual(
    made.context.batches.map((batch) => batch.length),
    [3, 2, 1],
  );
  const { counters } = made.context;
  assert.equal(counters.EventReceivedCount, 6);
  assert.equal(counters.EventAcceptedCount, 6);
  assert.equal(counters.AppendBatchReceivedCount, 3);
  assert.equal(counters.AppendBatchAcceptedCount, 3);
});

void test("an empty file is one event with an empty body (T358, T359, T360, T394)", async (test) => {
  for (const consumeOrder of ["oldest", "random"]) {
    const dir = await tempDirectory(test);
    await put(dir, "a", "", 10);
    await put(dir, "b", "x\n", 20);
    await put(dir, "c", "", 30);
    await put(dir, "d", "", 40);
    const made = await started(test, dir, { fileHeader: "true", consumeOrder });
    await pollAll(made);
    const seen = made.context.batches.flatMap((batch) => [...batch]);
    assert.deepEqual(
      seen.map((event) => `${event.headers.get("file")}=${event.body.toString()}`).sort(),
      [`${dir}/a=`, `${dir}/b=x`, `${dir}/c=`, `${dir}/d=`],
    );
    assert.deepEqual(errorsOf(made), []);
  }
});

void test("events carry the path and the name when asked for (T351, T352)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a.log", "x\n");
  const made = await started(test, `${dir}//`, {
    fileHeader: "true",
    fileHeaderKey: "path",
    basenameHeader: "true",
    basenameHeaderKey: "name",
  });
  await pollAll(made);
  const event = made.context.batches[0]?.at(0);
  assert.deepEqual(Object.fromEntries(event?.headers ?? []), {
    path: join(dir, "a.log"),
    name: "a.log",
  });
});

void test("directories inside are read only when asked for (T353, T354)", async (test) => {
  for (const [recursive, want] of [
    ["true", ["deep", "hi"]],
    ["false", ["hi"]],
  ] as const) {
    const dir = await tempDirectory(test);
    await mkdir(join(dir, "in/side"), { recursive: true });
    await mkdir(join(dir, ".hidden"));
    await mkdir(join(dir, "skipped"));
    await put(dir, "top", "hi\n");
    await put(dir, "in/side/file", "deep\n");
    await put(dir, ".hidden/file", "no\n");
    await put(dir, "skipped/file", "no\n");
    const made = await started(test, dir, {
      recursiveDirectorySearch: recursive,
      ignorePattern: "skip.*",
    });
    await pollAll(made);
    assert.deepEqual(made.bodies().sort(), want);
  }
});

const patternCases = [
  { given: { includePattern: "a.*" }, want: ["a1", "a2"], id: "T363" },
  { given: { ignorePattern: "a.*" }, want: ["b1"], id: "T364" },
  { given: { includePattern: "a.*", ignorePattern: "b.*" }, want: ["a1", "a2"], id: "T365" },
  { given: { includePattern: "a.*", ignorePattern: ".*1" }, want: ["a2"], id: "T366" },
  { given: { includePattern: "a" }, want: [], id: "a part of the name does not match" },
];
for (const { given, want, id } of patternCases) {
  void test(`${JSON.stringify(given)} of a1, a2, b1 reads ${want.join(", ")} (${id})`, async (test) => {
    const dir = await tempDirectory(test);
    for (const name of ["a1", "a2", "b1", ".a3", "a4.COMPLETED"]) await put(dir, name, `${name}\n`);
    const made = await started(test, dir, given);
    await pollAll(made);
    assert.deepEqual(made.bodies().sort(), want);
  });
}

const orderCases = [
  { order: "oldest", want: ["z", "b", "c", "a"], ids: "T375, T377, T379" },
  { order: "youngest", want: ["a", "b", "c", "z"], ids: "T376, T378, T380" },
  { order: "YOUNGEST", want: ["a", "b", "c", "z"], ids: "T350" },
];
for (const { order, want, ids } of orderCases) {
  for (const trackingPolicy of ["rename", "tracker_dir"]) {
    void test(`${order} goes by time, then by name, with ${trackingPolicy} (${ids}, T382, T383)`, async (test) => {
      const dir = await tempDirectory(test);
      await put(dir, "c", "c\n", 20);
      await put(dir, "b", "b\n", 20);
      await put(dir, "a", "a\n", 30);
      await put(dir, "z", "z\n", 10);
      const made = await started(test, dir, { consumeOrder: order, trackingPolicy });
      await pollAll(made);
      assert.deepEqual(made.bodies(), want);
    });
  }
}

void test("the youngest of files that came meanwhile is next", async (test) => {
  const dir = await tempDirectory(test);
  const clock = createFakeClock();
  await put(dir, "a", "a\n", 10);
  await put(dir, "b", "b\n", 20);
  const context = sourceContext();
  const runtime = { ...context.runtime, clock };
  const made = await started(test, dir, { consumeOrder: "youngest" }, { runtime });
  await made.source.poll(never);
  await put(dir, "c", "c\n", 30);
  await clock.advance(500);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["b", "c", "a"]);
});

void test("random reads every file, new ones too, and lists only when all are read (T373, T374, T381, T384)", async (test) => {
  const dir = await tempDirectory(test);
  const context = sourceContext();
  let listings = 0;
  const runtime = {
    ...context.runtime,
    random: createSeededRandom(3),
    files: {
      ...context.runtime.files,
      readDirectory(path: string) {
        listings++;
        return context.runtime.files.readDirectory(path);
      },
    },
  };
  const names = Array.from({ length: 40 }, (_, i) => `f${String(i).padStart(2, "0")}`);
  for (const name of names) await put(dir, name, `${name}\n`);
  const made = await started(test, dir, { consumeOrder: "random", pollDelay: "1" }, { runtime });
  await made.source.poll(never);
  await put(dir, "new", "new\n");
  await pollAll(made);
  assert.deepEqual(made.bodies().slice(0, 40).sort(), names);
  assert.notDeepEqual(made.bodies().slice(0, 40), names);
  assert.deepEqual(made.bodies().slice(40), ["new"]);
  assert.equal(listings, 3);
});

void test("an order nobody knows is refused (T349)", () => {
  assert.throws(
    () => optionsOf(definition.options, { spoolDir: "/x", consumeOrder: "undefined" }),
    /consumeOrder/,
  );
});

void test("a charset nobody knows is refused by check", () => {
  const given = { spoolDir: "/x", inputCharset: "UTF-99" };
  const problems = definition.check?.(optionsOf(definition.options, given)) ?? [];
  assert.deepEqual(
    problems.map(({ key }) => key),
    ["inputCharset"],
  );
});

void test("deletePolicy immediate deletes files and state (T369)", async (test) => {
  for (const trackingPolicy of ["rename", "tracker_dir"]) {
    const dir = await tempDirectory(test);
    await put(dir, "a", "1\n2\n3\n");
    const given = { deletePolicy: "IMMEDIATE", trackingPolicy, batchSize: "1" };
    const made = await started(test, dir, given);
    await pollAll(made);
    assert.deepEqual(made.bodies(), ["1", "2", "3"]);
    assert.deepEqual(await visible(dir), []);
    assert.deepEqual(await readdir(join(dir, ".flumespool")), []);
  }
});

void test("tracker_dir leaves the files as they are and remembers them over a restart", async (test) => {
  const dir = await tempDirectory(test);
  await mkdir(join(dir, "sub"));
  await put(dir, "a", "a\n", 10);
  await put(dir, "sub/a", "b\n", 20);
  const given = {
    trackingPolicy: "tracker_dir",
    recursiveDirectorySearch: "true",
    trackerDir: "t",
  };
  const first = await started(test, dir, given);
  await pollAll(first);
  await first.source.stop(never);
  assert.deepEqual(await visible(dir), ["a", "sub", "t"]);
  assert.equal((await stat(join(dir, "t/sub/a.COMPLETED"))).size, 0);
  await put(dir, "c", "c\n");
  const second = await started(test, dir, given);
  await pollAll(second);
  assert.deepEqual([...first.bodies(), ...second.bodies()], ["a", "b", "c"]);
});

void test("a symbolic link to a file is read", async (test) => {
  const dir = await tempDirectory(test);
  const elsewhere = await tempDirectory(test);
  await put(elsewhere, "real", "x\n");
  await symlink(join(elsewhere, "real"), join(dir, "link"));
  await symlink(join(elsewhere, "gone"), join(dir, "dangling"));
  await symlink("loop", join(dir, "loop"));
  const made = await started(test, dir);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["x"]);
  assert.deepEqual(await visible(dir), ["dangling", "link.COMPLETED", "loop"]);
});

void test("start and stop repeated read what comes in between (T355, T356)", async (test) => {
  const dir = await tempDirectory(test);
  const made = await make(dir, { batchSize: "2" });
  for (let round = 0; round < 3; round++) {
    await put(dir, `f${round}`, `${round}a\n${round}b\n${round}c\n`);
    await made.source.start(never);
    await made.source.poll(never);
    await made.source.stop(never);
    await made.source.start(never);
    await pollAll(made);
    await made.source.stop(never);
  }
  assert.deepEqual(made.bodies(), ["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c"]);
  assert.deepEqual(errorsOf(made), []);
});

void test("a full channel gets the same batch again, after 250 ms doubling to maxBackoff (T357, T368, T392)", async (test) => {
  const dir = await tempDirectory(test);
  const lines = Array.from({ length: 8 }, (_, i) => `event${i}`);
  await put(dir, "a", `${lines.join("\n")}\n`);
  const clock = createFakeClock();
  const attempts: { atMs: number; batch: EventBatch }[] = [];
  const taken: EventBatch[] = [];
  let refusals = 5;
  const made = await started(
    test,
    dir,
    { batchSize: "4", maxBackoff: "1500" },
    {
      runtime: { ...sourceContext().runtime, clock },
      channelProcessor: {
        processEventBatch(batch) {
          attempts.push({ atMs: clock.monotonic(), batch });
          if (refusals-- > 0) return Promise.reject(new MillraceError("CHANNEL_FULL", "full"));
          taken.push(batch);
          return Promise.resolve();
        },
      },
    },
  );
  let polled: string | undefined;
  void made.source.poll(never).then((answer) => (polled = answer));
  await waitFor("the poll", async () => {
    await clock.advance(50);
    return polled !== undefined;
  });
  assert.equal(polled, "ready");
  const waits = attempts.slice(1).map(({ atMs }, i) => atMs - (attempts[i]?.atMs ?? 0));
  assert.deepEqual(waits, [250, 500, 1000, 1500, 1500]);
  assert.equal(new Set(attempts.map(({ batch }) => batch)).size, 1, "never read again");
  assert.deepEqual(await readdir(join(dir, ".flumespool")), [".flumespool-main.meta"]);
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken), lines);
  assert.equal(made.context.counters.ChannelWriteFail, 5);
  assert.equal(made.context.counters.EventReceivedCount, 8);
});

void test("told to stop while the channel is full it returns, and keeps the batch", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n");
  const seen: EventBatch[] = [];
  let isFull = true;
  const made = await started(
    test,
    dir,
    {},
    {
      channelProcessor: {
        processEventBatch(batch) {
          seen.push(batch);
          return isFull
            ? Promise.reject(new MillraceError("CHANNEL_FULL", "full"))
            : Promise.resolve();
        },
      },
    },
  );
  const stop = new AbortController();
  const answer = made.source.poll(stop.signal);
  stop.abort();
  assert.equal(await answer, "backoff");
  isFull = false;
  await pollAll(made);
  assert.equal(bodiesOf(seen).at(-1), "1");
  assert.deepEqual(await visible(dir), ["a.COMPLETED"]);
});

void test("failures are counted by kind, and nothing is lost by them (T361)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n");
  const failures: Error[] = [
    new MillraceError("CHANNEL_FULL", "full"),
    new MillraceError("TRANSACTION_TOO_LARGE", "too large"),
    new Error("an interceptor's mistake"),
  ];
  const taken: EventBatch[] = [];
  const made = await started(
    test,
    dir,
    { maxBackoff: "1" },
    {
      channelProcessor: {
        processEventBatch(batch) {
          const failure = failures.shift();
          if (failure !== undefined) return Promise.reject(failure);
          taken.push(batch);
          return Promise.resolve();
        },
      },
    },
  );
  const poll = (): Promise<string> => within("poll", made.source.poll(never));
  await assert.rejects(poll(), { code: "TRANSACTION_TOO_LARGE" });
  await assert.rejects(poll(), /mistake/);
  await pollAll(made);
  assert.deepEqual(bodiesOf(taken), ["1"]);
  assert.equal(made.context.counters.ChannelWriteFail, 2);
  assert.equal(made.context.counters.GenericProcessingFail, 1);
});

void test("a file that changes while it is read is set aside: FILE_CHANGED; the next goes on (T388)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "growing", "1\n2\n3\n", 10);
  await put(dir, "next", "x\n", 20);
  const made = await started(test, dir, { batchSize: "1" });
  await made.source.poll(never);
  await appendFile(join(dir, "growing"), "4\n");
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["1", "2", "3", "x"]);
  assert.deepEqual(await visible(dir), ["growing", "next.COMPLETED"]);
  assert.deepEqual(errorsOf(made), ["FILE_CHANGED"]);
  assert.equal(made.context.metrics.value(setAsideTotal, { reason: "changed" }), 1);
  assert.equal(made.context.counters.EventReadFail, 1);

  await rm(join(dir, "growing"));
  await put(dir, "other", "o\n");
  await new Promise((resolve) => setTimeout(resolve, 1));
  await pollAll(made);
  await put(dir, "growing", "new\n");
  await pollAll(made);
  assert.deepEqual(made.bodies().slice(4), ["o", "new"], "a new file of that name is read");
});

void test("a file that vanishes while it is read is set aside as changed", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n2\n");
  const made = await started(test, dir, { batchSize: "1" });
  await made.source.poll(never);
  await rm(join(dir, "a"));
  await pollAll(made);
  assert.deepEqual(errorsOf(made), ["FILE_CHANGED"]);
  assert.deepEqual(made.bodies(), ["1", "2"]);
});

void test("a taken name is noticed before the file is read: TARGET_EXISTS (T390, T391)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "a\n", 10);
  await put(dir, "a.COMPLETED", "a\n", 10);
  await put(dir, "b", "b\n", 20);
  const made = await started(test, dir);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["b"]);
  assert.deepEqual(await visible(dir), ["a", "a.COMPLETED", "b.COMPLETED"]);
  assert.deepEqual(errorsOf(made), ["TARGET_EXISTS"]);
  assert.equal(made.context.metrics.value(setAsideTotal, { reason: "target_exists" }), 1);
});

void test("a name taken while the file is read overwrites nothing: TARGET_EXISTS", async (test) => {
  for (const given of [{}, { trackingPolicy: "tracker_dir" }]) {
    const dir = await tempDirectory(test);
    await put(dir, "a", "1\n2\n");
    const made = await started(test, dir, { batchSize: "1", ...given });
    await made.source.poll(never);
    const target = "trackingPolicy" in given ? ".flumespool/a.COMPLETED" : "a.COMPLETED";
    await put(dir, target, "precious");
    await pollAll(made);
    assert.equal(await readFile(join(dir, target), "utf8"), "precious");
    assert.deepEqual(errorsOf(made), ["TARGET_EXISTS"]);
  }
});

void test("a file that is not text of its charset is set aside from the bad line on: UNDECODABLE", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "bad"), Buffer.from("good\nbad \xff\nmore\n", "latin1"));
  await utimes(join(dir, "bad"), 10, 10);
  await put(dir, "next", "x\n", 20);
  const made = await started(test, dir);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["good", "x"]);
  assert.deepEqual(await visible(dir), ["bad", "next.COMPLETED"]);
  assert.deepEqual(errorsOf(made), ["UNDECODABLE"]);
  assert.equal(made.context.metrics.value(setAsideTotal, { reason: "undecodable" }), 1);

  await made.source.stop(never);
  const again = await started(test, dir, { decodeErrorPolicy: "REPLACE" });
  await pollAll(again);
  assert.deepEqual(again.bodies(), ["good", "bad \ufffd", "more"], "tried again after a restart");
});

void test("a read that fails is tried again from the same byte: READ_FAILED; then set aside (T362)", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n2\n", 10);
  await put(dir, "b", "x\n", 20);
  for (const failures of [2, 1000]) {
    const { files } = sourceContext().runtime;
    let left = failures;
    const failing: typeof files = {
      ...files,
      async open(path, mode) {
        const handle = await files.open(path, mode);
        if (!path.endsWith("/a")) return handle;
        return {
          ...handle,
          read: (...given) =>
            left-- > 0
              ? Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" }))
              : handle.read(...given),
        };
      },
    };
    const runtime = { ...sourceContext().runtime, files: failing };
    const made = await started(test, dir, {}, { runtime });
    let rejections = 0;
    for (let i = 0; i < 20; i++) {
      await made.source.poll(never).catch((error: unknown) => {
        assert.equal((error as MillraceError).code, "READ_FAILED");
        rejections++;
      });
    }
    assert.equal(rejections, Math.min(failures, 4));
    assert.equal(made.context.counters.EventReadFail, Math.min(failures, 5));
    if (failures === 2) {
      assert.deepEqual(made.bodies(), ["1", "2", "x"]);
      await rm(join(dir, "a.COMPLETED"));
      await rm(join(dir, "b.COMPLETED"));
      await put(dir, "a", "1\n2\n", 10);
      await put(dir, "b", "x\n", 20);
    } else {
      assert.deepEqual(made.bodies(), ["x"]);
      assert.equal(made.context.metrics.value(setAsideTotal, { reason: "unreadable" }), 1);
    }
  }
});

void test("a spool directory that is missing is refused at start: PATH_MISSING", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "file", "");
  for (const path of [join(dir, "nowhere"), join(dir, "file")]) {
    const { source } = await make(path);
    await assert.rejects(source.start(never), (error) => {
      assert.equal((error as MillraceError).code, "PATH_MISSING");
      assert.match((error as MillraceError).message, new RegExp(path));
      return true;
    });
  }
});

void test("a spool directory that may not be changed is refused with rename: PERMISSION_DENIED (T370)", async (test) => {
  const dir = await tempDirectory(test);
  const { runtime } = readOnly(dir);
  for (const given of [{}, { trackingPolicy: "tracker_dir", deletePolicy: "immediate" }]) {
    const { source } = await make(dir, given, { runtime });
    await assert.rejects(source.start(never), { code: "PERMISSION_DENIED" });
  }
});

void test("with tracker_dir elsewhere a spool directory may be read-only (T371)", async (test) => {
  const dir = await tempDirectory(test);
  const trackerDir = join(await tempDirectory(test), "made");
  await put(dir, "a", "1\n2\n");
  const { runtime, refusals } = readOnly(dir);
  const given = { trackingPolicy: "tracker_dir", trackerDir, batchSize: "1" };
  const made = await started(test, dir, given, { runtime });
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["1", "2"]);
  assert.deepEqual(await readdir(trackerDir), ["a.COMPLETED"]);
  assert.equal(refusals(), 0);
});

/** A runtime on which nothing below the directory can be changed, also for root. */
function readOnly(dir: string) {
  const { runtime } = sourceContext();
  const { files } = runtime;
  let count = 0;
  const refuse = (path: string): void => {
    if (!path.startsWith(dir)) return;
    count++;
    throw Object.assign(new Error(`EROFS: read-only ${path}`), { code: "EROFS" });
  };
  return {
    refusals: () => count,
    runtime: {
      ...runtime,
      files: {
        ...files,
        async open(path: string, mode: "read" | "write" | "create" | "append") {
          if (mode !== "read") refuse(path);
          return files.open(path, mode);
        },
        async rename(from: string, to: string) {
          refuse(from);
          return files.rename(from, to);
        },
        async unlink(path: string) {
          refuse(path);
          return files.unlink(path);
        },
        async makeDirectory(path: string) {
          refuse(path);
          return files.makeDirectory(path);
        },
      },
    },
  };
}

void test("nothing of the permission check is left or read", async (test) => {
  const dir = await tempDirectory(test);
  const made = await started(test, dir);
  assert.deepEqual(await readdir(dir), [".flumespool"]);
  await put(dir, ".flume-spooldir-perm-check-1234.canary", "left by a crash\n");
  await pollAll(made);
  assert.deepEqual(made.bodies(), []);
});

void test("a restart goes on behind the last recorded batch, that file first in any order (T420)", async (test) => {
  for (const consumeOrder of ["oldest", "youngest", "random"]) {
    const dir = await tempDirectory(test);
    const given = { batchSize: "2", consumeOrder };
    await put(dir, "half", "1\n2\n3\n4\n5\n", 20);
    const first = await started(test, dir, given);
    await first.source.poll(never);
    await first.source.poll(never);
    await first.source.stop(never);
    await put(dir, "older", "o\n", 10);
    await put(dir, "younger", "y\n", 30);
    const second = await started(test, dir, given);
    await pollAll(second);
    assert.deepEqual(first.bodies(), ["1", "2", "3", "4"]);
    assert.equal(second.bodies()[0], "5");
    assert.deepEqual(second.bodies().slice(1).sort(), ["o", "y"]);
  }
});

void test("a half-read file that was replaced meanwhile is read from its start", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n2\n3\n", 10);
  const first = await started(test, dir, { batchSize: "1" });
  await first.source.poll(never);
  await first.source.stop(never);
  await put(dir, "a", "x\ny\nz\n", 11);
  const second = await started(test, dir);
  await pollAll(second);
  assert.deepEqual(second.bodies(), ["x", "y", "z"]);
});

void test("the state file is an Avro container that Flume's schema reads", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "123\n45\n6\n");
  const made = await started(test, dir, { batchSize: "1" });
  await made.source.poll(never);
  await made.source.poll(never);
  const decoder = avro.createFileDecoder(join(dir, stateFile));
  const seen: unknown[] = [];
  let metadata: Record<string, Buffer> = {};
  let schema = "";
  decoder.on("metadata", (type: avro.Type, _codec: string, header: { meta: never }) => {
    schema = JSON.stringify(type.schema());
    metadata = header.meta;
  });
  for await (const record of decoder) seen.push({ ...(record as object) });
  assert.deepEqual(seen, [{ offset: 4 }, { offset: 7 }]);
  assert.equal(metadata["file"]?.toString(), join(dir, "a"));
  assert.deepEqual(JSON.parse(schema), {
    name: "org.apache.flume.serialization.TransferStateFileMeta",
    type: "record",
    fields: [{ name: "offset", type: "long" }],
  });
});

void test("a state file that Flume wrote is gone on from, as Java names the path", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "1\n2\n3\n");
  await mkdir(join(dir, ".flumespool"));
  await writeFile(join(dir, stateFile), await javaState(join(dir, "a"), [2, 4]));
  const made = await started(test, `${dir}/`);
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["3"]);
});

void test("a state file of another file, a foreign one or an empty one stops nothing (T385)", async (test) => {
  const cases = [
    await javaState("/elsewhere/b", [4]),
    Buffer.alloc(0),
    Buffer.from("Not a data file"),
    (await javaState("/x", [4])).subarray(0, 40),
  ];
  for (const content of cases) {
    const dir = await tempDirectory(test);
    await put(dir, "a", "1\n2\n3\n");
    await mkdir(join(dir, ".flumespool"));
    await writeFile(join(dir, stateFile), content);
    const made = await started(test, dir, { batchSize: "1" });
    await pollAll(made);
    assert.deepEqual(made.bodies(), ["1", "2", "3"]);
  }
});

/** What Flume's DurablePositionTracker writes: one block a record. */
async function javaState(path: string, offsets: readonly number[]): Promise<Buffer> {
  const type = avro.Type.forSchema({
    type: "record",
    name: "org.apache.flume.serialization.TransferStateFileMeta",
    fields: [{ name: "offset", type: "long" }],
  });
  const encoder = new avro.streams.BlockEncoder(type, {
    blockSize: 0,
    metadata: { file: Buffer.from(path) },
  } as never);
  const chunks: Buffer[] = [];
  encoder.on("data", (chunk: Buffer) => chunks.push(chunk));
  for (const offset of offsets) encoder.write({ offset });
  encoder.end();
  await new Promise((resolve) => encoder.on("end", resolve));
  return Buffer.concat(chunks);
}

void test("long lines follow deserializer.maxLineLength, or Flume's old bufferMaxLineLength", async (test) => {
  for (const [given, want] of [
    [{ "deserializer.maxLineLength": "3" }, ["abc", "def", "g"]],
    [{ bufferMaxLineLength: "5" }, ["abcde", "fg"]],
    [{ bufferMaxLineLength: "5", "deserializer.maxLineLength": "3" }, ["abc", "def", "g"]],
    [{ bufferMaxLines: "7" }, ["abcdefg"]],
  ] as const) {
    const dir = await tempDirectory(test);
    await put(dir, "a", "abcdefg\n");
    const made = await started(test, dir, given);
    await pollAll(made);
    assert.deepEqual(made.bodies(), want);
  }
});

void test("a file in another charset comes as UTF-8", async (test) => {
  const dir = await tempDirectory(test);
  await writeFile(join(dir, "a"), Buffer.from("caf\xe9\n", "latin1"));
  const made = await started(test, dir, { inputCharset: "ISO-8859-1" });
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["café"]);
});

void test("the backlog is what is listed and not yet read, and reasons are exported from the start", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "a", "12\n34\n", 10);
  await put(dir, "b", "5678\n", 20);
  const made = await started(test, dir, { batchSize: "1" });
  const { metrics } = made.context;
  for (const reason of ["changed", "target_exists", "undecodable", "unreadable"])
    assert.equal(metrics.value(setAsideTotal, { reason }), 0);
  await made.source.poll(never);
  assert.equal(metrics.value("millrace_source_backlog_bytes"), 8);
  await pollAll(made);
  assert.equal(metrics.value("millrace_source_backlog_bytes"), 0);
});

void test("many directories at once: every event of each arrives (T1058)", async (test) => {
  const seen: string[] = [];
  for (let i = 0; i < 20; i++) {
    const dir = await tempDirectory(test);
    await put(dir, "file", `test data ${i}\n`);
    const made = await started(test, dir);
    await pollAll(made);
    seen.push(...made.bodies());
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, i) => `test data ${i}`),
  );
});

void test("a file this user may not read is set aside as unreadable: PERMISSION_DENIED", async (test) => {
  const dir = await tempDirectory(test);
  await put(dir, "secret", "s\n", 10);
  await chmod(join(dir, "secret"), 0);
  await put(dir, "b", "x\n", 20);
  const { files } = sourceContext().runtime;
  const runtime = {
    ...sourceContext().runtime,
    files: {
      ...files,
      // Root may read everything: the refusal is made here.
      open: (path: string, mode: "read" | "write" | "create" | "append") =>
        path.endsWith("/secret")
          ? Promise.reject(Object.assign(new Error("EACCES"), { code: "EACCES" }))
          : files.open(path, mode),
    },
  };
  const made = await started(test, dir, {}, { runtime });
  await pollAll(made);
  assert.deepEqual(made.bodies(), ["x"]);
  assert.deepEqual(errorsOf(made), ["PERMISSION_DENIED"]);
  assert.equal(made.context.metrics.value(setAsideTotal, { reason: "unreadable" }), 1);
});
