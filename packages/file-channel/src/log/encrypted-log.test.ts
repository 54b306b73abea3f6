import { MillraceError, readWholeFile } from "@millrace/core";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { decodeSegmentHeader } from "../format/segment-header.ts";
import { recordType } from "../format/record.ts";
import type { KeyProvider } from "../keys/key-provider.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { openRecords } from "./open-records.ts";

type Sim = ReturnType<typeof simDisk>;

/** Keys of those names; each is made of its name and `version`. */
function keysOf(names: readonly string[], version = 1): KeyProvider {
  return {
    async key(alias) {
      if (names.includes(alias)) return createHash("sha256").update(`${alias}${version}`).digest();
      throw new MillraceError("KEY_MISSING", `no ${alias}`);
    },
  };
}

const secret = { keys: keysOf(["a"]), activeKey: "a" };

async function segments(sim: Sim): Promise<{ path: string; bytes: Buffer }[]> {
  const { files } = sim.disk.boot();
  const paths = sim.disk.paths("/data/one").filter((path) => path.endsWith(".seg"));
  return Promise.all(
    paths.map(async (path) => ({ path, bytes: await readWholeFile(files, path) })),
  );
}

/** Key names of the segments on disk, "" for plain ones. */
async function aliases(sim: Sim): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { path, bytes } of await segments(sim)) {
    const header = path.includes("spare-") ? undefined : decodeSegmentHeader(bytes, path);
    if (header !== undefined) found.add(header.encryption?.keyAlias ?? "");
  }
  return found;
}

test("events are on disk encrypted only, and come back as they were (T774)", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  for (let id = 1; id <= 40; id += 4) await put(channel, sized(id, id + 3, 700));
  await channel.stop(never);
  const found = await segments(sim);
  assert.ok(found.length >= 2);
  for (const { path, bytes } of found) {
    assert.equal(bytes.includes("xxxxxxxx"), false, path);
    assert.equal(decodeSegmentHeader(bytes, path)?.encryption?.keyAlias, "a");
  }
  const again = await sim.open(secret);
  assert.deepEqual(await drain(again.channel, 40), range(1, 40));
  await again.channel.stop(never);
});

test("what a killed agent left unproven is decrypted and encrypted anew, in the run it was written in", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  await put(channel, sized(1, 6, 300));
  const take = await channel.beginTake(3);
  const { run } = take.batch.origin ?? {};
  await take.rollback();
  sim.disk.kill();
  const again = await sim.open(secret);
  sim.disk.powerCut("lose");
  assert.equal(again.channel.size, 6);
  for (const { path, bytes } of await segments(sim)) {
    assert.equal(bytes.includes("xxxxxxxx"), false, path);
  }
  const third = await sim.open({ keys: secret.keys });
  const back = await third.channel.beginTake(10);
  assert.deepEqual(idsOf(back.batch), range(1, 6));
  assert.equal(back.batch.origin?.run, run);
  await back.commit();
});

test("plain segments stay readable under encryption, and encrypted ones without it (T776)", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  await put(channel, sized(1, 3, 600));
  await channel.stop(never);
  const sealed = await sim.open(secret);
  await put(sealed.channel, sized(4, 6, 600));
  await sealed.channel.stop(never);
  const plain = await sim.open({ keys: secret.keys });
  await put(plain.channel, sized(7, 9, 600));
  await plain.channel.stop(never);
  assert.deepEqual(await aliases(sim), new Set(["", "a"]));
  const last = await sim.open({ keys: secret.keys });
  assert.deepEqual(await drain(last.channel, 9), range(1, 9));
  await last.channel.stop(never);
  const drained = await sim.open();
  assert.equal(drained.channel.size, 0, "once drained no key is needed");
  await drained.channel.stop(never);
});

test("another active key is used from the next start on; the old one is needed until its segments are drained", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  await put(channel, sized(1, 20, 600));
  await channel.stop(never);
  const both = { keys: keysOf(["a", "b"]), activeKey: "b" };
  const rotated = await sim.open(both);
  await put(rotated.channel, sized(21, 40, 600));
  await rotated.channel.stop(never);
  assert.deepEqual(await aliases(sim), new Set(["a", "b"]));
  const without = sim.make({ keys: keysOf(["b"]), activeKey: "b" });
  await assert.rejects(without.channel.start(never), { code: "KEY_MISSING" });
  await without.channel.stop(never);
  const again = await sim.open(both);
  const take = await again.channel.beginTake(25);
  assert.deepEqual(idsOf(take.batch), range(1, 20), "one run at a time");
  await take.commit();
  await again.channel.stop(never);
  const onlyNew = await sim.open({ keys: keysOf(["b"]), activeKey: "b" });
  assert.deepEqual(await drain(onlyNew.channel, 20), range(21, 40));
  await onlyNew.channel.stop(never);
});

for (const { name, options, code } of [
  { name: "without a key provider (T775)", options: {}, code: "KEY_MISSING" },
  { name: "without its key (T781)", options: { keys: keysOf(["b"]), activeKey: "b" }, code: "KEY_MISSING" }, // prettier-ignore
  { name: "with another key of that name", options: { keys: keysOf(["a"], 2), activeKey: "a" }, code: "KEY_WRONG" }, // prettier-ignore
  { name: "with an active key that is not there", options: { keys: keysOf(["a"]), activeKey: "b" }, code: "KEY_MISSING" }, // prettier-ignore
  { name: "with an active key and no provider", options: { activeKey: "a" }, code: "KEY_MISSING" },
  { name: "in format 1 with an active key", options: { ...secret, formatVersion: 1 as const }, code: "CONFIG_INVALID" }, // prettier-ignore
]) {
  test(`an encrypted channel ${name} is refused with ${code}, untouched`, async () => {
    for (const orderly of [true, false]) {
      const sim = simDisk();
      const { channel } = await sim.open(secret);
      await put(channel, sized(1, 3, 600));
      if (orderly) await channel.stop(never);
      else sim.disk.kill();
      const before = await segments(sim);
      const refused = sim.make(options);
      await assert.rejects(refused.channel.start(never), { code });
      await refused.channel.stop(never);
      assert.deepEqual(await segments(sim), before);
      const again = await sim.open(secret);
      assert.deepEqual(await drain(again.channel, 3), range(1, 3));
      await again.channel.stop(never);
    }
  });
}

test("records of an encrypted segment verify without a key, and show their events only with it", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  await put(channel, sized(1, 3, 600));
  await channel.stop(never);
  const [{ path, bytes } = { path: "", bytes: Buffer.alloc(0) }] = await segments(sim);
  const header = decodeSegmentHeader(bytes, path);
  assert.ok(header !== undefined);
  const handle = await sim.disk.boot().files.open(path, "read");
  const limit = bytes.length;
  const isPut = ({ type }: { type: number }): boolean => type === recordType.put;
  const blind = await openRecords(handle, header, { limit, windowBytes: 4096 });
  const sealed = await blind.find(4096, 8, isPut);
  assert.ok(sealed?.sealed === true && sealed.head.count === 3);
  assert.equal(sealed.body.includes("xxxx"), false);
  const seeing = await openRecords(handle, header, { limit, windowBytes: 4096, keys: secret.keys });
  const opened = await seeing.read(sealed.offset);
  assert.ok(opened?.sealed === false && opened.body.includes("xxxx"));
  const wrong = openRecords(handle, header, { limit, windowBytes: 4096, keys: keysOf(["a"], 2) });
  await assert.rejects(wrong, { code: "KEY_WRONG", message: /bring back the key/ });
});

test("a damaged encrypted event is set aside as a plain one is, and the rest goes on", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  for (const id of [1, 4, 7]) await put(channel, sized(id, id + 2, 600));
  await channel.stop(never);
  await (await sim.open(secret)).channel.stop(never);
  const [segment] = (await segments(sim)).filter(({ bytes }) => bytes.length > 4096 + 3 * 1800);
  assert.ok(segment !== undefined);
  const handle = await sim.disk.boot().files.open(segment.path, "write");
  await handle.write([Buffer.from([1, 2, 3, 4])], 4096 + 1024 + 200);
  const again = await sim.open({ ...secret, onCorruption: "quarantine" });
  assert.deepEqual(await drain(again.channel, 6), range(4, 9));
  const labels = { reason: "corrupt_record", intended: "false" };
  assert.equal(again.context.metrics.value("millrace_events_discarded_total", labels), 3);
  await again.channel.stop(never);
});

test("many producers and consumers at once lose and repeat nothing under encryption (T771, T772)", async () => {
  const sim = simDisk();
  const { channel, clock } = await sim.open({ ...secret, memoryBytes: 65_536 });
  const got: number[] = [];
  let takes = 0;
  let stopped = false;
  const consume = async (): Promise<void> => {
    while (got.length < 600 && !stopped) {
      const take = await channel.beginTake(7);
      if (++takes % 3 === 0) await take.rollback();
      else {
        got.push(...idsOf(take.batch));
        await take.commit();
      }
    }
  };
  const produce = async (from: number): Promise<void> => {
    for (let id = from; id < from + 100; id += 4) await put(channel, sized(id, id + 3, 90));
  };
  const takers = [consume(), consume(), consume()];
  await Promise.all([1, 101, 201, 301, 401, 501].map(produce));
  for (let waits = 0; got.length < 600 && waits < 1000; waits++) await clock.advance(1);
  stopped = true;
  await channel.stop(never);
  await Promise.all(takers);
  assert.deepEqual(
    [...got].sort((a, b) => a - b),
    range(1, 600),
  );
});
