/** Every damage to stored bytes by its name, and what the channel says of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { recordHeadBytes } from "./format/record.ts";
import { segmentHeaderBytes } from "./format/segment-header.ts";
import { bytesOf, diskOf, flipBit, imageOf, newestOf, outcome, recordOf, segmentsOf, type Sim, threeGroups } from "./disk-image.test.ts"; // prettier-ignore
import { never, put, range, simDisk, sized } from "./sim-channel.test.ts";

/** The start is refused, and the message says where and what. */
async function refuses(sim: Sim, ...says: readonly RegExp[]): Promise<void> {
  const { error } = await outcome(sim);
  assert.equal(error?.code, "CHANNEL_CORRUPT");
  for (const what of says) assert.match(error.message, what);
}

test("torn tail: what was never synced is cut, and everything before it is kept", async () => {
  const sim = await threeGroups();
  const image = imageOf(sim);
  const { channel } = await sim.open();
  await put(channel, sized(16, 20, 300));
  const path = newestOf(sim);
  const whole = bytesOf(sim.disk, path);
  const start = recordOf(sim, 16).offset;
  assert.ok(image.size > 0 && start > segmentHeaderBytes);
  const lengths = range(start + 1, whole.length).filter((at) => at % 97 === 0);
  for (const length of lengths) {
    const torn = await diskOf(new Map([...imageOf(sim), [path, whole.subarray(0, length)]]));
    const { ids, error } = await outcome(torn);
    assert.equal(error, undefined);
    const isWhole = ids.length === 20;
    assert.deepEqual(ids, range(1, isWhole ? 20 : 15), `cut at ${length} of ${whole.length}`);
  }
  assert.ok(lengths.length > 10, `${lengths.length} cuts`);
});

test("torn middle: sectors of a synced group that are not there refuse the start with file, offset and sequences", async () => {
  const sim = await threeGroups();
  const { path, offset } = recordOf(sim, 6);
  sim.disk.file(path).damage(offset + 512, Buffer.alloc(512));
  await refuses(sim, new RegExp(`${path} does not verify at offset ${offset}\\b`), /from 6|6 to/);
});

const flips = [
  { where: "the head", at: 27 },
  { where: "the body", at: recordHeadBytes + 50 },
  { where: "the head's checksum", at: 1 },
  { where: "the body's checksum", at: 5 },
];
for (const { where, at } of flips) {
  test(`flipped bit in ${where} of the newest segment: the start is refused with file, offset and sequences [lost: file | bytes damaged | what stood there, named and counted]`, async () => {
    const sim = await threeGroups();
    const { path, offset } = recordOf(sim, 6);
    flipBit(sim, path, offset + at);
    await refuses(sim, new RegExp(`${path} does not verify at offset ${offset}\\b`), /from 6|6 to/);
  });

  test(`flipped bit in ${where} of the backlog: it starts, gives what is before, then names the damage`, async () => {
    const sim = await threeGroups(40);
    const { path, offset } = recordOf(sim, 21);
    flipBit(sim, path, offset + at);
    const { ids, error } = await outcome(sim);
    assert.equal(error?.code, "CHANNEL_CORRUPT");
    assert.ok(error.message.includes(`${path} does not verify at offset ${offset}`), error.message);
    assert.match(error.message, /sequences 21 to 25/);
    assert.deepEqual(ids, range(1, ids.length));
    assert.ok(ids.length <= 20);
  });
}

test("flipped bit in an event's bytes with fsyncPerTransaction = false is named just as well [lost: file-unsynced | bytes damaged | what stood there, named and counted]", async () => {
  const sim = simDisk();
  const options = { fsyncPerTransaction: false };
  const { channel, clock } = await sim.open(options);
  for (let id = 1; id <= 11; id += 5) {
    await put(channel, sized(id, id + 4, 300));
    await clock.advance(6000);
  }
  sim.disk.kill();
  const { path, offset } = recordOf(sim, 6);
  flipBit(sim, path, offset + recordHeadBytes + 50);
  const { error } = await outcome(sim, options);
  assert.equal(error?.code, "CHANNEL_CORRUPT");
});

test("short read: reads that give less than was asked change nothing", async () => {
  const sim = await threeGroups(40);
  const made = sim.make();
  const { files } = made.boot;
  let short = 0;
  const open = files.open.bind(files);
  files.open = async (...given) => {
    const handle = await open(...given);
    const read = handle.read.bind(handle);
    handle.read = (into, offset, length, position) => {
      short++;
      return read(into, offset, Math.min(length, 1 + (short % 700)), position);
    };
    return handle;
  };
  await made.channel.start(never);
  assert.equal(made.channel.size, 55);
  const got: number[] = [];
  while (got.length < 55) {
    const take = await made.channel.beginTake(1000);
    got.push(...[...take.batch].map(({ body }) => Number(body.toString("latin1", 0, 12))));
  }
  assert.deepEqual(got, range(1, 55));
  assert.ok(short > 50, `${short} short reads`);
});

test("missing segment: the start is refused with its number and sequences", async () => {
  const sim = await threeGroups(40);
  const image = new Map(imageOf(sim));
  image.delete(segmentsOf(sim)[0] as string);
  await refuses(await diskOf(image), /segment \d+ with sequences 1 to \d+ is missing/);
});

test("damaged header: of the newest segment, of one that holds events, of all: each refuses the start", async () => {
  for (const which of ["newest", "oldest", "all"]) {
    const sim = await threeGroups(40);
    const paths = segmentsOf(sim);
    const hit = which === "all" ? paths : paths.slice(which === "newest" ? -1 : 0).slice(0, 1);
    for (const path of hit) flipBit(sim, path, 30);
    await refuses(sim, which === "all" ? /no segment|header/ : /header/);
  }
});

test("damaged snapshot: in any of its bytes, the start is refused with file and offset", async () => {
  const original = imageOf(await threeGroups(40));
  let tried = 0;
  for (const at of [0, 5, 10, 17, 23, 30, 41, 50, 60, 80, 100]) {
    const sim = await diskOf(original);
    flipBit(sim, newestOf(sim), segmentHeaderBytes + at);
    await refuses(sim, new RegExp(`${newestOf(sim)} does not verify at offset 4096`));
    tried++;
  }
  assert.equal(tried, 11);
});

const two = ["/data/one", "/data/two"];

test("swapped directories: named in another order, or their disks mounted in each other's place, nothing changes", async () => {
  const sim = await threeGroups(40, { dataDirs: two });
  const want = range(1, 55);
  const reversed = await outcome(await diskOf(imageOf(sim)), { dataDirs: [...two].reverse() });
  assert.deepEqual(reversed, { ids: want, error: undefined });
  const swap = (path: string): string =>
    path.includes("/one/") ? path.replace("/one/", "/two/") : path.replace("/two/", "/one/");
  const swapped = new Map([...imageOf(sim)].map(([path, bytes]) => [swap(path), bytes]));
  assert.deepEqual(await outcome(await diskOf(swapped), { dataDirs: two }), { ids: want, error: undefined }); // prettier-ignore
});

test("swapped directories of two channels: each refuses what is not its own", async () => {
  const first = imageOf(await threeGroups(40, { dataDirs: two }));
  const other = imageOf(await threeGroups(40, { dataDirs: ["/data/two"] }));
  const mixed = new Map([...first].filter(([path]) => path.includes("/one/")));
  for (const [path, bytes] of other) mixed.set(path, bytes);
  const { error } = await outcome(await diskOf(mixed), { dataDirs: two });
  assert.equal(error?.code, "CHANNEL_DIRECTORY");
});

test("unmounted directory: the start is refused, asks for the disk, and writes nothing into the mount point", async () => {
  const image = imageOf(await threeGroups(40, { dataDirs: two }));
  const mounted = new Map([...image].filter(([path]) => path.includes("/one/")));
  const sim = await diskOf(mounted);
  await sim.disk.boot().files.makeDirectory("/data/two");
  const { error } = await outcome(sim, { dataDirs: two });
  assert.equal(error?.code, "CHANNEL_DIRECTORY");
  assert.match(error.message, /mounted/);
  assert.deepEqual(sim.disk.paths("/data/two"), []);
});

test("any subset of the sectors of a group of five records: whole records from its front, or none, and nothing refused", async () => {
  const sim = await threeGroups();
  const { channel, clock } = await sim.open();
  await clock.advance(500);
  const path = newestOf(sim);
  const before = bytesOf(sim.disk, path);
  await Promise.all(range(16, 20).map((id) => put(channel, sized(id, id, 440))));
  const after = bytesOf(sim.disk, path);
  const image = imageOf(sim);
  const start = recordOf(sim, 16).offset;
  const sectors = Math.ceil((recordOf(sim, 20).offset + 520 - start) / 512);
  assert.ok(sectors >= 5 && sectors <= 8, `${sectors} sectors`);
  const old = Buffer.concat([before, before, before]).subarray(4096, 4096 + sectors * 512);
  const lengths = new Set<number>();
  for (let mask = 0; mask < 2 ** sectors; mask++) {
    for (const fill of [Buffer.alloc(512 * sectors), old]) {
      const bytes = Buffer.concat([before.subarray(0, start), fill]);
      for (let sector = 0; sector < sectors; sector++) {
        if ((mask & (1 << sector)) === 0) continue;
        const at = start + sector * 512;
        after.copy(bytes, at, at, at + 512);
      }
      const { ids, error } = await outcome(await diskOf(new Map([...image, [path, bytes]])));
      assert.equal(error, undefined, `sectors ${mask.toString(2)}`);
      assert.deepEqual(ids, range(1, ids.length));
      assert.ok(ids.length >= 15 && (ids.length === 20) === (mask === 2 ** sectors - 1));
      lengths.add(ids.length);
    }
  }
  assert.deepEqual([...lengths].sort(), range(15, 20));
});
