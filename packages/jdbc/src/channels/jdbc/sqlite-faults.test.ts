import { EventBatch, MillraceError } from "@millrace/core";
import {
  numberedBatch,
  numbers,
  numbersOf,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import type { EventStore } from "./event-store.ts";
import { type Given, sqliteChannel, type SqliteChannel } from "./sqlite-kit.test.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

async function started(directory: string, given: Given = {}): Promise<SqliteChannel> {
  const made = sqliteChannel(directory, given);
  await within("start", made.channel.start(never));
  return made;
}

async function put({ channel }: SqliteChannel, batch: EventBatch): Promise<void> {
  const transaction = await within("beginPut", channel.beginPut(batch));
  await within("commit", transaction.commit());
}

async function takeNumbers({ channel }: SqliteChannel, count: number): Promise<number[]> {
  const taken: number[] = [];
  while (taken.length < count) {
    const take = await within("a take", channel.beginTake(count - taken.length));
    await take.commit();
    taken.push(...numbersOf(take.batch));
  }
  return taken;
}

/** Ends it as a crash does: nothing is told to the database any more. */
async function crash({ store, channel }: SqliteChannel): Promise<void> {
  store.abandon();
  await within("stop", channel.stop(now));
}

test("in a thread of its own, events outlive a stop in order, and none comes twice [lost: jdbc-sqlite | agent stops | nothing]", async (t) => {
  const directory = await tempDirectory(t);
  const first = await started(directory, { threaded: true });
  await put(first, numberedBatch(1, 1000));
  assert.deepEqual(await takeNumbers(first, 300), numbers(1, 300));
  const open = await first.channel.beginTake(50);
  await open.commit([{ from: 10, to: 20 }]);
  await first.channel.stop(never);

  const second = await started(directory, { threaded: true });
  assert.equal(second.channel.size, 690);
  const left = [...numbers(301, 310), ...numbers(321, 1000)];
  assert.deepEqual(await takeNumbers(second, 690), left);
  await second.channel.stop(never);
  const third = await started(directory, { threaded: true });
  assert.equal(third.channel.size, 0);
  await third.channel.stop(never);
});

test("events of many sizes and headers come back to the byte, from memory and from the file (T803)", async (t) => {
  const directory = await tempDirectory(t);
  const bodies = [0, 1, 16_383, 16_384, 16_385, 70_000, 1_000_000];
  const events = bodies.map((size, i) => ({
    headers: new Map([
      [`name ${"x".repeat(i * 50)}`, "v".repeat(size % 40_000)],
      ["größe", "日本 🌊"],
    ]),
    body: Buffer.alloc(size, i),
  }));
  const first = await started(directory);
  await put(first, EventBatch.fromEvents(events));
  const taken = await first.channel.beginTake(100);
  assert.deepEqual([...taken.batch], [...EventBatch.fromEvents(events)]);
  await taken.rollback();
  await first.channel.stop(never);
  const second = await started(directory);
  let at = 0;
  while (at < events.length) {
    const take = await within("a take", second.channel.beginTake(100));
    for (const event of take.batch) {
      assert.deepEqual(event.body, events[at]?.body);
      assert.deepEqual([...event.headers], [...(events[at]?.headers ?? [])]);
      at++;
    }
    await take.commit();
  }
  await second.channel.stop(never);
});

test("with a maximum of 10 an eleventh event is refused, and fits after a take (T800)", async (t) => {
  const given = { capacity: 10, keepAliveMs: 0 };
  const made = await started(await tempDirectory(t), given);
  for (let n = 1; n <= 10; n++) await put(made, numberedBatch(n, n));
  await assert.rejects(made.channel.beginPut(numberedBatch(11, 11)), { code: "CHANNEL_FULL" });
  assert.deepEqual(await takeNumbers(made, 1), [1]);
  await put(made, numberedBatch(11, 11));
  assert.deepEqual(await takeNumbers(made, 10), numbers(2, 11));
  await made.channel.stop(never);
});

test("what a crash finds unsettled is given again, in its place", async (t) => {
  const directory = await tempDirectory(t);
  const first = await started(directory);
  await put(first, numberedBatch(1, 10));
  const take = await first.channel.beginTake(6);
  await take.commit([{ from: 1, to: 3 }]);
  await first.clock.advance(100);
  await waitFor("the settled rows to go", () => gauge(first) === 0);
  await crash(first);
  const second = await started(directory);
  assert.equal(second.channel.size, 8);
  assert.deepEqual(await takeNumbers(second, 8), [1, ...numbers(4, 10)]);
  await second.channel.stop(never);
});

test("a file that cannot grow is DISK_FULL to puts, while takes go on and make room [lost: jdbc-sqlite | disk full | nothing]", async (t) => {
  const made = await started(await tempDirectory(t), { settings: { pagesMax: 40 } });
  const batch = (): EventBatch =>
    EventBatch.fromEvents(numbers(1, 20).map(() => ({ body: Buffer.alloc(1000) })));
  let stored = 0;
  let failure: unknown;
  while (failure === undefined) {
    await put(made, batch()).then(
      () => (stored += 20),
      (error: unknown) => (failure = error),
    );
  }
  assert.equal(codeOf(failure), "DISK_FULL");
  assert.ok(stored >= 60, `${stored} events fitted`);
  assert.equal(made.channel.size, stored);
  for (let round = 0; round < 3; round++) {
    const take = await within("a take", made.channel.beginTake(40));
    assert.equal(take.batch.length, 40);
    await take.commit();
    await put(made, batch());
    await put(made, batch());
    await assert.rejects(put(made, batch()), { code: "DISK_FULL" });
  }
  assert.equal(made.channel.size, stored);
  await made.channel.stop(never);
});

test("below minimumRequiredSpace puts are DISK_FULL, and delivered rows still go", async (t) => {
  let free = 10_000;
  const made = await started(await tempDirectory(t), {
    settings: { minimumFreeBytes: 5000 },
    files: { freeBytes: async () => free },
  });
  await put(made, numberedBatch(1, 10));
  free = 5010;
  await assert.rejects(put(made, numberedBatch(11, 20)), {
    code: "DISK_FULL",
    message: /5010 bytes are free for .*5000 alone/,
  });
  assert.deepEqual(await takeNumbers(made, 10), numbers(1, 10));
  await assert.rejects(put(made, numberedBatch(11, 20)), { code: "DISK_FULL" });
  await waitFor("the delivered rows to go", () => gauge(made) === 0);
  free = 10_000;
  await put(made, numberedBatch(11, 20));
  assert.equal(made.channel.size, 10);
  await made.channel.stop(never);
});

test("below minimumRequiredSpace puts go on where the file has vacant pages of its own", async (t) => {
  let free = 1_000_000;
  const made = await started(await tempDirectory(t), {
    settings: { minimumFreeBytes: 100_000 },
    files: { freeBytes: async () => free },
  });
  await put(made, EventBatch.fromEvents([{ body: Buffer.alloc(60_000) }]));
  free = 90_000;
  await assert.rejects(put(made, numberedBatch(1, 10)), { code: "DISK_FULL" });
  await (await within("a take", made.channel.beginTake(1))).commit();
  await assert.rejects(put(made, numberedBatch(1, 10)), { code: "DISK_FULL" });
  await waitFor("the delivered row to go", () => gauge(made) === 0);
  await put(made, numberedBatch(1, 10));
  free = 40_000;
  await assert.rejects(put(made, numberedBatch(11, 20)), { code: "DISK_FULL" });
  assert.deepEqual(await takeNumbers(made, 10), numbers(1, 10));
  await made.channel.stop(never);
});

test("a damaged file is refused as CHANNEL_CORRUPT or CHANNEL_FORMAT and left as it is", async (t) => {
  const directory = await tempDirectory(t);
  const made = await started(directory);
  await put(made, numberedBatch(1, 500));
  await made.channel.stop(never);
  const sound = await readFile(made.path);
  const damages: readonly (readonly [string, (bytes: Buffer) => Buffer, string])[] = [
    ["its magic", (bytes) => (bytes.write("nonsense"), bytes), "CHANNEL_CORRUPT"],
    ["its application id", (bytes) => (bytes.writeInt32BE(7, 68), bytes), "CHANNEL_FORMAT"],
    ["its version", (bytes) => (bytes.writeInt32BE(99, 60), bytes), "CHANNEL_FORMAT"],
    ["its schema", (bytes) => bytes.fill(0xff, 100, 400), "CHANNEL_CORRUPT"],
    ["its end, cut", (bytes) => bytes.subarray(0, bytes.length - 4096 * 3), "CHANNEL_CORRUPT"],
  ];
  for (const [what, damage, code] of damages) {
    const damaged = damage(Buffer.from(sound));
    await writeFile(made.path, damaged);
    const again = sqliteChannel(directory);
    await assert.rejects(within("start", again.channel.start(never)), (error: Error) => {
      assert.equal(codeOf(error), code, `${what}: ${error.message}`);
      assert.ok(error.message.includes(made.path));
      return true;
    });
    await again.channel.stop(never);
    assert.deepEqual(await readFile(made.path), damaged, what);
  }
});

test("an event whose bytes have changed is not given: takes end with CHANNEL_CORRUPT, puts go on [lost: jdbc-sqlite | bytes damaged | nothing else; takes stop there]", async (t) => {
  const directory = await tempDirectory(t);
  const made = await started(directory);
  const marked = (n: number) => ({ body: Buffer.from(`the body of event ${n}.`) });
  await put(made, EventBatch.fromEvents(numbers(1, 100).map(marked)));
  await made.channel.stop(never);
  const sound = await readFile(made.path);
  const bytes = Buffer.from(sound);
  // SQLite leaves old copies of what it has moved to other pages.
  let copies = 0;
  for (let at = 0; (at = bytes.indexOf("the body of event 41.", at + 1)) > 0; copies++) {
    bytes[at] = (bytes[at] as number) ^ 1;
  }
  assert.ok(copies > 0);
  await writeFile(made.path, bytes);

  const again = await started(directory);
  let taken = 0;
  while (taken < 40) {
    const take = await within("a take", again.channel.beginTake(100));
    taken += take.batch.length;
    await take.commit();
  }
  assert.equal(taken, 40);
  await assert.rejects(within("the take", again.channel.beginTake(1)), {
    code: "CHANNEL_CORRUPT",
    message: /sequence 41 in .*events\.sqlite.*DELETE FROM/,
  });
  assert.equal(again.channel.trouble?.code, "CHANNEL_CORRUPT");
  await put(again, numberedBatch(1, 1));
  assert.equal(again.channel.size, 61);
  await again.channel.stop(never);

  // The same channel starts again with its file mended.
  await writeFile(made.path, sound);
  await within("start", again.channel.start(never));
  assert.equal(again.channel.trouble, undefined);
  const whole = await within("a take", again.channel.beginTake(1));
  assert.equal(whole.batch.at(0).body.toString(), "the body of event 1.");
  await again.channel.stop(never);
});

test("a file that another channel or process has open is CHANNEL_LOCKED, and free after its stop", async (t) => {
  const directory = await tempDirectory(t);
  const first = await started(directory);
  const second = sqliteChannel(directory);
  await assert.rejects(within("start", second.channel.start(never)), { code: "CHANNEL_LOCKED" });
  await second.channel.stop(never);
  await put(first, numberedBatch(1, 2));
  await first.channel.stop(never);
  const third = await started(directory);
  assert.equal(third.channel.size, 2);
  await third.channel.stop(never);
});

test("a database of something else, and one of another channel, is not touched", async (t) => {
  const directory = await tempDirectory(t);
  const made = await started(directory);
  await made.channel.stop(never);
  const other = sqliteChannel(directory, { settings: { channel: "c2" } });
  await assert.rejects(other.channel.start(never), { code: "CHANNEL_DIRECTORY" });
  await other.channel.stop(never);
  const empty = sqliteChannel(directory, {
    settings: { path: `${directory}/new.sqlite`, createsSchema: false },
  });
  await assert.rejects(empty.channel.start(never), {
    code: "DATABASE_REFUSED",
    message: /create\.schema is false/,
  });
  await empty.channel.stop(never);
});

test("a Node without SQLite says at the start what is missing and how to get it: DATABASE_DRIVER_MISSING", async (t) => {
  const settings = { modules: ["better-sqlite3-that-is-not-there"] };
  const made = sqliteChannel(await tempDirectory(t), { settings, threaded: true });
  await assert.rejects(within("start", made.channel.start(never)), {
    code: "DATABASE_DRIVER_MISSING",
    message: /better-sqlite3-that-is-not-there: .*Node 22\.13 or newer.*compiler.*PostgreSQL/s,
  });
  await made.channel.stop(never);
});

test("a directory that cannot be made is PERMISSION_DENIED", async (t) => {
  const directory = await tempDirectory(t);
  await writeFile(`${directory}/file`, "");
  const made = sqliteChannel(directory, {
    settings: { path: `${directory}/file/x/events.sqlite` },
  });
  await assert.rejects(made.channel.start(never), { code: "PERMISSION_DENIED" });
  await made.channel.stop(never);
});

test("delivered events whose rows cannot be deleted are remembered, told, and deleted later", async (t) => {
  const directory = await tempDirectory(t);
  let fails = false;
  const made = await started(directory, {
    wrap: failing(() => (fails ? "DATABASE_FAILED" : undefined)),
  });
  await put(made, numberedBatch(1, 10));
  fails = true;
  assert.deepEqual(await takeNumbers(made, 4), [1, 2, 3, 4]);
  assert.equal(made.channel.size, 6);
  await made.clock.advance(100);
  await waitFor("the warning", () =>
    made.log.lines.some(({ message }) => /4 delivered events cannot be deleted/.test(message)),
  );
  assert.equal(gauge(made), 4);
  assert.equal(made.metrics.value("millrace_jdbc_channel_errors_total", { kind: "forget" }), 1);
  await assert.rejects(put(made, numberedBatch(11, 12)), { code: "DATABASE_FAILED" });
  fails = false;
  await made.clock.advance(5000);
  await waitFor("the rows to go", () => gauge(made) === 0);
  assert.deepEqual(await takeNumbers(made, 6), numbers(5, 10));
  await made.channel.stop(never);
  const again = await started(directory);
  assert.equal(again.channel.size, 0);
  await again.channel.stop(never);
});

test("a failed sync ends the channel: CHANNEL_FAILED to puts and takes [lost: jdbc-sqlite | disk fails | nothing; some twice]", async (t) => {
  const directory = await tempDirectory(t);
  let fails = false;
  const made = await started(directory, {
    wrap: failing(() => (fails ? "CHANNEL_FAILED" : undefined)),
  });
  await put(made, numberedBatch(1, 10));
  fails = true;
  await assert.rejects(put(made, numberedBatch(11, 12)), { code: "CHANNEL_FAILED" });
  await assert.rejects(made.channel.beginPut(numberedBatch(11, 12)), { code: "CHANNEL_FAILED" });
  await assert.rejects(made.channel.beginTake(1), { code: "CHANNEL_FAILED" });
  assert.equal(made.channel.trouble?.answer, "fatal");
  await made.channel.stop(never);
  const again = await started(directory);
  assert.deepEqual(await takeNumbers(again, 10), numbers(1, 10));
  await again.channel.stop(never);
});

test("a thread that dies is started anew, and what was stored is there", async (t) => {
  const made = await started(await tempDirectory(t));
  await put(made, numberedBatch(1, 5));
  await made.killThread("a bug in the library");
  assert.equal(made.channel.trouble?.code, "DATABASE_UNAVAILABLE");
  await assert.rejects(made.channel.beginPut(numberedBatch(6, 6)), {
    code: "DATABASE_UNAVAILABLE",
  });
  await waitFor("the channel to be back", async () => {
    await made.clock.advance(200);
    return made.channel.trouble === undefined;
  });
  await put(made, numberedBatch(6, 7));
  assert.deepEqual(await takeNumbers(made, 7), numbers(1, 7));
  await made.channel.stop(never);
});

test("a database that was set back behind what was stored is told of, and the channel goes on", async (t) => {
  const directory = await tempDirectory(t);
  const made = await started(directory, { ackMs: 1 });
  await put(made, numberedBatch(1, 5));
  await made.channel.stop(never);
  await copyFile(made.path, `${made.path}.old`);
  const again = await started(directory);
  await put(again, numberedBatch(6, 9));
  await again.killThread("the disk was swapped");
  await copyFile(`${made.path}.old`, made.path);
  await waitFor("the channel to be back", async () => {
    await again.clock.advance(200);
    return again.channel.trouble === undefined;
  });
  assert.ok(again.log.lines.some(({ message }) => /has forgotten stored events/.test(message)));
  await put(again, numberedBatch(10, 11));
  await again.channel.stop(now);
});

/** A store that answers writes with this code while there is one. */
function failing(code: () => "DATABASE_FAILED" | "CHANNEL_FAILED" | undefined) {
  return (store: EventStore): EventStore => ({
    place: store.place,
    open: (lost) => store.open(lost),
    async write(change) {
      const failure = code();
      if (failure !== undefined) throw new MillraceError(failure, "as the test wants it");
      await store.write(change);
    },
    read: (request) => store.read(request),
    close: () => store.close(),
    abandon: () => store.abandon(),
  });
}

function gauge({ metrics }: SqliteChannel): number | undefined {
  return metrics.value("millrace_jdbc_channel_settled_rows");
}

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : String(error);
}
