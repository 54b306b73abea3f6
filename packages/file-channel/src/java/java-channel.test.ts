import { nodeFileSystem } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openJavaChannel } from "./java-channel.ts";
import {
  bodies,
  commit,
  createJavaWorld,
  encryptionOf,
  events,
  type JavaWorld,
  metaOf,
  put,
  record,
  rollback,
  take,
  writeCheckpoint,
} from "./java-world.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 200);

let order = 1000;
const stamp = (transaction: number): { transaction: number; order: number } => ({
  transaction,
  order: ++order,
});

/** Puts and commits; gives the places. */
function putAll(world: JavaWorld, id: number, transaction: number, ...texts: string[]): number[] {
  const log = world.log(id);
  const places = texts.map((text) => log.add(put(stamp(transaction), text)));
  log.add(commit(stamp(transaction), "put"));
  return places;
}

function takeAll(
  world: JavaWorld,
  id: number,
  transaction: number,
  file: number,
  ...places: (number | undefined)[]
): void {
  for (const place of places) world.log(id).add(take(stamp(transaction), file, place as number));
  world.log(id).add(commit(stamp(transaction), "take"));
}

void test("committed events come in the order of their commits, with headers and body (T721, T762)", async (t) => {
  const world = await createJavaWorld(t);
  const log = world.log(1);
  const first = stamp(7);
  log.add(put(stamp(8), "b", { k: "v", ключ: "значение" }));
  log.add(put(first, "a"));
  log.add(commit(stamp(8), "put"));
  log.add(commit(stamp(7), "put"));
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["b", "a"]);
  const [event] = await events(channel);
  assert.deepEqual(
    [...(event?.headers ?? [])],
    [
      ["k", "v"],
      ["ключ", "значение"],
    ],
  );
  assert.deepEqual([channel.notes, channel.damages], [[], []]);
});

void test("a header without a value has the empty one (T763)", async (t) => {
  const world = await createJavaWorld(t);
  world.log(1).add(put(stamp(1), "x", { empty: null }));
  world.log(1).add(commit(stamp(1), "put"));
  const [event] = await events(await world.open());
  assert.deepEqual([...(event?.headers ?? [])], [["empty", ""]]);
});

void test("what was rolled back or never committed is not delivered (T722, T728, T729, T730)", async (t) => {
  const world = await createJavaWorld(t);
  const log = world.log(1);
  log.add(put(stamp(1), "rolled back"));
  log.add(rollback(stamp(1)));
  log.add(put(stamp(2), "open"));
  log.add(commit(stamp(90), "put"));
  log.add(commit(stamp(91), "take"));
  log.add(rollback(stamp(92)));
  putAll(world, 1, 3, "kept");
  assert.deepEqual(await bodies(await world.open()), ["kept"]);
});

void test("what a committed transaction took is not delivered; what was given back or not committed is (T725, T726, T727)", async (t) => {
  const world = await createJavaWorld(t);
  const [a, b, c] = putAll(world, 1, 1, "a", "b", "c", "d");
  takeAll(world, 1, 2, 1, a);
  world.log(1).add(take(stamp(3), 1, b as number));
  world.log(1).add(rollback(stamp(3)));
  world.log(1).add(take(stamp(4), 1, c as number));
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["b", "c", "d"]);
  assert.match(channel.notes.join(), /1 events had been taken by a sink whose transaction/);
});

void test("files roll, and a transaction goes on in the next one (T720)", async (t) => {
  const world = await createJavaWorld(t);
  world.log(1).add(put(stamp(1), "in log-1"));
  world.log(3).add(put(stamp(1), "in log-3"));
  world.log(3).add(commit(stamp(1), "put"));
  world.log(2).dir = 1;
  putAll(world, 2, 2, "in the other directory");
  assert.deepEqual(await bodies(await world.open()), [
    "in log-1",
    "in log-3",
    "in the other directory",
  ]);
});

void test("records count in the order they were written in over all directories, whichever file they are in (T760)", async (t) => {
  const world = await createJavaWorld(t);
  world.log(2).dir = 1;
  const late = putAll(world, 2, 2, "second, in log-2");
  const early = order;
  world.log(1).add(put({ transaction: 1, order: early - 20 }, "first, in log-1"));
  world.log(1).add(commit({ transaction: 1, order: early - 19 }, "put"));
  const [third] = putAll(world, 2, 4, "third");
  // Its take lies in a file with a lower number than the put.
  takeAll(world, 1, 5, 2, third);
  assert.ok(late[0] === 0);
  assert.deepEqual(await bodies(await world.open()), ["first, in log-1", "second, in log-2"]);
});

void test("a take that points into a file that is gone changes nothing", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 5, 1, "kept");
  takeAll(world, 5, 2, 3, 4711);
  assert.deepEqual(await bodies(await world.open()), ["kept"]);
});

void test("the checkpoint knows of takes whose file is gone", async (t) => {
  const world = await createJavaWorld(t);
  world.log(4).dir = 1;
  const [, b] = putAll(world, 4, 1, "a: taken in log-1, which is gone", "b");
  world.log(6).dir = 1;
  const checkpoint = ++order;
  putAll(world, 6, 3, "c: after the checkpoint");
  world.log(5).dir = 0;
  putAll(world, 5, 2, "d");
  for (const id of [4, 5, 6]) world.log(id).meta = metaOf(id, { orders: [checkpoint, 0] });
  const without = await world.open();
  assert.equal(without.events, 4);
  assert.match(without.notes.join(), /log-1, log-2, log-3 are no longer there/);
  await writeCheckpoint(world.checkpointDir, {
    order: checkpoint,
    queue: [[4, b as number]],
    head: 19,
  });
  const channel = await world.open({ checkpointDir: world.checkpointDir });
  assert.deepEqual(await bodies(channel), ["b", "c: after the checkpoint", "d"]);
  assert.deepEqual(channel.notes, []);
});

const badCheckpoints = [
  { name: "of another version (T699)", bad: { version: 2 }, says: /has version 2/ },
  { name: "that was not completed (T700)", bad: { marker: 1 }, says: /was being written/ },
  {
    name: "whose meta is of another time (T703, T704)",
    bad: { metaOrder: 1 },
    says: /of one time/,
  },
  {
    name: "of another channel",
    bad: { order: 99_999 },
    says: /is not known to be of this channel/,
  },
];
for (const { name, bad, says } of badCheckpoints) {
  void test(`a checkpoint ${name} is not used, and every file is replayed`, async (t) => {
    const world = await createJavaWorld(t);
    putAll(world, 1, 1, "a", "b");
    const at = ++order;
    world.log(1).meta = metaOf(1, { orders: [at, 0] });
    await writeCheckpoint(world.checkpointDir, { order: at, queue: [], ...bad });
    const channel = await world.open({ checkpointDir: world.checkpointDir });
    assert.deepEqual(await bodies(channel), ["a", "b"]);
    assert.match(channel.notes.join(), says);
  });
}

void test("a checkpoint whose meta is cut off or damaged is not used (T705, T706)", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  const at = ++order;
  world.log(1).meta = metaOf(1, { orders: [at, 0] });
  for (const bend of [
    (bytes: Buffer) => bytes.subarray(0, 9),
    (bytes: Buffer) => bytes.fill(0xff),
  ]) {
    await writeCheckpoint(world.checkpointDir, { order: at, queue: [] });
    const path = join(world.checkpointDir, "checkpoint.meta");
    await writeFile(path, bend(await readFile(path)));
    const channel = await world.open({ checkpointDir: world.checkpointDir });
    assert.equal(channel.events, 1);
    assert.match(channel.notes.join(), /checkpoint.meta cannot be read/);
  }
});

void test("a torn record at the end ends its file quietly, and what is behind it in time goes on", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "whole");
  const torn = put(stamp(2), "torn");
  world.log(1).add(torn);
  world.log(1).parts[world.log(1).parts.length - 1] = torn.subarray(0, 12);
  putAll(world, 2, 3, "next file");
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["whole", "next file"]);
  assert.match(
    channel.notes.join(),
    /log-1 ends with 17 bytes of a record that was never finished/,
  );
  assert.deepEqual(channel.damages, []);
});

void test("a body that does not match its checksum is named with file and offset, and the rest goes on (T714)", async (t) => {
  const world = await createJavaWorld(t);
  const [, place] = putAll(world, 1, 1, "before", "flipped", "after");
  const bytes = world.log(1).parts[3] as Buffer;
  const at = bytes.indexOf("flipped");
  bytes[at] = (bytes[at] as number) ^ 1;
  const channel = await world.open();
  const read = [];
  for await (const batch of channel.read(0, { eventsMax: 10, bytesMax: 1000 })) read.push(batch);
  assert.equal(read.length, 1);
  assert.deepEqual(read[0]?.damages, [
    {
      file: join(world.dataDir(0), "log-1"),
      offset: place,
      what: "the event's body does not match its checksum",
    },
  ]);
  assert.deepEqual(await bodies(channel), ["before", "after"]);
  assert.equal(read[0]?.end, 3);
});

void test("bytes in the middle that are no record are damage, and a commit that may lie there counts", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  const broken = world.log(1).length;
  world.log(1).add(put(stamp(2), "b"));
  world.log(1).add(commit(stamp(2), "put"));
  (world.log(1).parts.at(-2) as Buffer).fill(0x55);
  (world.log(1).parts.at(-1) as Buffer).fill(0x55);
  putAll(world, 1, 3, "c");
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["a", "b", "c"]);
  assert.equal(channel.damages.length, 1);
  assert.ok((channel.damages[0]?.offset ?? 0) > broken);
  assert.match(channel.notes.join(), /1 events lie before damaged bytes/);
});

void test("records that the integrity tool struck out are left out (T715, T716)", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  const struck = put(stamp(2), "struck out");
  world.log(1).add(struck, 0x00);
  world.log(1).add(put(stamp(2), "b"));
  world.log(1).add(commit(stamp(2), "put"));
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["a", "b"]);
  assert.deepEqual(channel.damages, []);
});

void test("a record of an unknown type is damage (T767)", async (t) => {
  const world = await createJavaWorld(t);
  world.log(1).add(record(9, stamp(1), Buffer.alloc(0)));
  putAll(world, 1, 2, "a");
  const channel = await world.open();
  assert.deepEqual(await bodies(channel), ["a"]);
  assert.equal(channel.damages.length, 1);
});

void test("a meta file is found under its temporary and its old name, and stays there (T711, T712)", async (t) => {
  for (const suffix of [".tmp", ".old"]) {
    const world = await createJavaWorld(t);
    putAll(world, 1, 1, "a");
    await world.write();
    const path = join(world.dataDir(0), "log-1.meta");
    await rename(path, path + suffix);
    const channel = await openJavaChannel(nodeFileSystem, { dataDirs: [world.dataDir(0)] });
    assert.deepEqual(await bodies(channel), ["a"]);
    assert.deepEqual((await readdir(world.dataDir(0))).sort(), ["log-1", `log-1.meta${suffix}`]);
  }
});

void test("an empty or missing meta of a file with content is CHANNEL_FORMAT; an unused file needs none (T732, T734)", async (t) => {
  for (const meta of [Buffer.alloc(0), undefined]) {
    const world = await createJavaWorld(t);
    putAll(world, 1, 1, "a");
    world.log(2).meta = meta;
    world.log(2).filler = 0;
    assert.deepEqual(await bodies(await world.open()), ["a"]);
    world.log(2).filler = 1;
    await assert.rejects(world.open(), {
      code: "CHANNEL_FORMAT",
      message: /log-2.meta is missing or empty/,
    });
  }
});

void test("format 2, and a format that is not known yet, are CHANNEL_FORMAT", async (t) => {
  const world = await createJavaWorld(t);
  world.log(1).meta = undefined;
  world.log(1).parts.push(Buffer.from("0000000200000001", "hex"), Buffer.alloc(16));
  await assert.rejects(world.open(), { code: "CHANNEL_FORMAT", message: /has format 2/ });
  world.log(1).meta = metaOf(1, { version: 4 });
  await assert.rejects(world.open(), { code: "CHANNEL_FORMAT", message: /says version 4/ });
});

void test("directories that are no whole channel are CHANNEL_DIRECTORY (T731)", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  await world.write();
  const refused = async (dataDirs: readonly string[], message: RegExp): Promise<void> =>
    assert.rejects(openJavaChannel(nodeFileSystem, { dataDirs }), {
      code: "CHANNEL_DIRECTORY",
      message,
    });
  await refused([join(world.folder, "nowhere")], /does not exist/);
  await writeFile(join(world.folder, "log-1.meta"), "");
  await refused([world.folder], /has no log-N/);
  world.log(1).dir = 1;
  await world.write();
  await refused([world.dataDir(0), world.dataDir(1)], /have the same number/);
});

void test("a data directory that was forgotten is refused, unless the user goes on", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  putAll(world, 4, 2, "b");
  await assert.rejects(world.open(), {
    code: "CHANNEL_DIRECTORY",
    message: /log-2, log-3 of the channel cannot be found/,
  });
  const channel = await world.open({ goOn: true });
  assert.deepEqual(await bodies(channel), ["a", "b"]);
  assert.match(channel.notes.join(), /cannot be found/);
});

void test("events of the last checkpoint whose file is missing are refused, and counted as lost when one goes on", async (t) => {
  const world = await createJavaWorld(t);
  const [a] = putAll(world, 4, 1, "a");
  const at = ++order;
  world.log(4).meta = metaOf(4, { orders: [at, 0] });
  await writeCheckpoint(world.checkpointDir, {
    order: at,
    queue: [
      [2, 0],
      [4, a as number],
    ],
  });
  const options = { checkpointDir: world.checkpointDir };
  await assert.rejects(world.open(options), { code: "CHANNEL_DIRECTORY", message: /log-2, log-3/ });
  const channel = await world.open({ ...options, goOn: true });
  assert.deepEqual(await bodies(channel), ["a"]);
  assert.match(channel.notes.join(), /1 events that were waiting in them are lost/);
  // The same checkpoint as a backup: a newer one let the file go, so its event was delivered.
  world.log(4).meta = metaOf(4, { orders: [at + 1, at] });
  assert.deepEqual(await bodies(await world.open(options)), ["a"]);
});

void test("encrypted files are read with the key of their meta, beside plain ones (T774, T775, T776)", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "plain");
  const key = Buffer.alloc(16, 9);
  world.log(2).key = key;
  world.log(2).meta = metaOf(2, { encryption: encryptionOf("key-0") });
  putAll(world, 2, 2, "secret", "x".repeat(3000));
  const asked: string[] = [];
  const keys = {
    key: (alias: string) => {
      asked.push(alias);
      return Promise.resolve(key);
    },
  };
  const channel = await world.open({ keys });
  assert.deepEqual(await bodies(channel), ["plain", "secret", "x".repeat(3000)]);
  assert.deepEqual([channel.encrypted, asked], [true, ["key-0"]]);
  await assert.rejects(world.open(), {
    code: "KEY_MISSING",
    message: /encrypted with the key key-0/,
  });
  const wrong = { key: () => Promise.resolve(Buffer.alloc(16, 8)) };
  await assert.rejects(world.open({ keys: wrong }), { code: "KEY_WRONG", message: /key key-0/ });
  const odd = { key: () => Promise.resolve(Buffer.alloc(5)) };
  await assert.rejects(world.open({ keys: odd }), { code: "KEY_INVALID" });
  world.log(2).meta = metaOf(2, { encryption: encryptionOf("key-0", "ROT13") });
  await assert.rejects(world.open({ keys }), {
    code: "CHANNEL_FORMAT",
    message: /the cipher ROT13/,
  });
});

void test("reading goes on from any position", async (t) => {
  const world = await createJavaWorld(t);
  const texts = Array.from({ length: 20 }, (_, index) => `event ${index}`);
  putAll(world, 1, 1, ...texts);
  const channel = await world.open();
  for (const from of [0, 1, 7, 19, 20]) {
    assert.deepEqual(await bodies(channel, from), texts.slice(from));
  }
});

void test("the Java directory is left as it was", async (t) => {
  const world = await createJavaWorld(t);
  putAll(world, 1, 1, "a");
  await world.write();
  const directory = world.dataDir(0);
  const state = async (): Promise<unknown[]> =>
    Promise.all(
      (await readdir(directory)).map(async (name) => {
        const { mtimeMs, size } = await stat(join(directory, name));
        return [name, mtimeMs, size];
      }),
    );
  const before = await state();
  const channel = await openJavaChannel(nodeFileSystem, { dataDirs: [directory] });
  assert.equal((await bodies(channel)).length, 1);
  assert.deepEqual(await state(), before);
});

void test("a damaged data file loses no event but those it damaged, and never hangs", async (t) => {
  const random = createSeededRandom(11);
  let damaged = 0;
  let delivered = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const world = await createJavaWorld(t);
    const texts = Array.from({ length: 12 }, (_, index) => `event ${seed} ${index}`);
    for (const [index, text] of texts.entries()) putAll(world, 1, index + 1, text);
    await world.write();
    const path = join(world.dataDir(0), "log-1");
    const bytes = await readFile(path);
    // A filler byte in place of an op looks like the end of the file.
    bytes[random.integer(bytes.length)] = random.integer(3) === 0 ? 0x80 : random.integer(256);
    await writeFile(path, bytes);
    const channel = await openJavaChannel(nodeFileSystem, { dataDirs: [world.dataDir(0)] });
    const got = (await bodies(channel)).filter((body) => texts.includes(body));
    assert.ok(got.length >= texts.length - 2, `seed ${seed}: ${got.length} left`);
    delivered += got.length;
    damaged += texts.length - got.length;
  }
  assert.ok(delivered > seeds * 10 && damaged > seeds / 10, `${delivered}, ${damaged} damaged`);
});
