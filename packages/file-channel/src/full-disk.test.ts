import { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

/** Puts single batches until one is refused; returns how many events went in. */
async function fill(
  channel: Parameters<typeof put>[0],
  from: number,
  code: string,
): Promise<number> {
  for (let id = from; id < from + 10_000; id += 4) {
    try {
      await put(channel, sized(id, id + 3, 900));
    } catch (error) {
      assert.ok(error instanceof MillraceError, String(error));
      assert.equal(error.code, code);
      return id - from;
    }
  }
  return assert.fail("the disk never filled");
}

test("a full disk refuses puts, drains to empty, and takes as much again, ten times", async () => {
  const sim = simDisk({ capacityBytes: 300 * 1024 });
  let { channel, clock } = await sim.open();
  let next = 1;
  const amounts: number[] = [];
  for (let round = 0; round < 10; round++) {
    const count = await fill(channel, next, "DISK_FULL");
    amounts.push(count);
    assert.deepEqual(await drain(channel, count), range(next, next + count - 1));
    next += count;
    await clock.advance(5000);
    sim.disk.powerCut("lose");
    ({ channel, clock } = await sim.open());
    assert.equal(channel.size, 0, `round ${round}: the acknowledgements were stored`);
  }
  assert.ok(Math.min(...amounts) > 100, `each round took something: ${amounts.join(" ")}`);
  await channel.stop(never);
});

test("a disk that others fill to the last byte still drains, and nothing stored is lost", async () => {
  const sim = simDisk({ capacityBytes: 500 * 1024 });
  const { channel, clock, boot } = await sim.open();
  await put(channel, sized(1, 8, 900));
  for (let id = 9; id <= 60; id += 4) await put(channel, sized(id, id + 3, 900));
  const other = await boot.files.open("/data/other", "create");
  const free = await boot.files.freeBytes("/data");
  await other.write([Buffer.alloc(free)], 0);
  assert.equal(await boot.files.freeBytes("/data"), 0);
  await clock.advance(1001);
  await assert.rejects(put(channel, sized(61, 64, 900)), { code: "DISK_FULL" });
  assert.deepEqual(await drain(channel, 60), range(1, 60));
  await clock.advance(5000);
  await boot.files.unlink("/data/other");
  await clock.advance(5000);
  await put(channel, sized(61, 64, 900));
  await channel.stop(never);
  const again = await sim.open();
  assert.deepEqual(await drain(again.channel, again.channel.size), range(61, 64));
});

test("a disk that fills half way through a group rejects it with DISK_FULL and keeps the rest", async () => {
  let left = Infinity;
  const fault = ({ kind, bytes = 0 }: { kind: string; bytes?: number }) => {
    if (kind !== "write") return undefined;
    if (left <= 0) return "ENOSPC" as const;
    left -= bytes;
    return left < 0 ? ("short" as const) : undefined;
  };
  const sim = simDisk();
  const { channel } = await sim.open({}, { fault });
  await put(channel, sized(1, 4, 500));
  left = 1000;
  const late = await Promise.allSettled([5, 6, 7].map((id) => put(channel, sized(id, id, 1500))));
  for (const one of late) {
    assert.equal(one.status, "rejected");
    assert.equal((one.reason as MillraceError).code, "DISK_FULL");
  }
  left = Infinity;
  await put(channel, sized(8, 8, 100));
  sim.disk.powerCut("keep");
  const again = await sim.open();
  assert.deepEqual(await drain(again.channel, 5), [1, 2, 3, 4, 8]);
  assert.equal(again.channel.size, 0, "what was told to retry is not there as well");
});

test("a full directory is passed over for one with room", async () => {
  const dataDirs = ["/data/one", "/data/two"];
  const sim = simDisk();
  const fault = ({ kind, path }: { kind: string; path: string }) =>
    kind === "write" && path.startsWith("/data/one/0") && full ? ("ENOSPC" as const) : undefined;
  let full = false;
  const { channel } = await sim.open({ dataDirs }, { fault });
  for (let id = 1; id <= 20; id += 4) await put(channel, sized(id, id + 3, 900));
  full = true;
  for (let id = 21; id <= 60; id += 4) await put(channel, sized(id, id + 3, 900));
  assert.deepEqual(await drain(channel, 60), range(1, 60));
  await channel.stop(never);
  const again = await sim.open({ dataDirs });
  assert.equal(again.channel.size, 0);
});

test("segments go round the directories, and each comes back after a restart", async () => {
  const dataDirs = ["/data/one", "/data/two", "/data/three"];
  const sim = simDisk();
  const { channel } = await sim.open({ dataDirs });
  for (let id = 1; id <= 120; id += 4) await put(channel, sized(id, id + 3, 900));
  for (const directory of dataDirs) {
    const segments = sim.disk.paths(directory).filter((path) => /\/0.*seg$/.test(path));
    assert.ok(segments.length >= 2, `${directory} has ${segments.length}`);
  }
  sim.disk.kill();
  const again = await sim.open({ dataDirs });
  assert.deepEqual(await drain(again.channel, 120), range(1, 120));
  await again.channel.stop(never);
});

test("drained segments are used again: the disk holds what the channel holds (T629, T685, T720)", async () => {
  const sim = simDisk();
  const { channel, clock } = await sim.open();
  let next = 1;
  for (let round = 0; round < 40; round++) {
    await put(channel, sized(next, next + 9, 900));
    await drain(channel, 10);
    next += 10;
  }
  await clock.advance(1000);
  const used = sim.disk.usedBytes;
  assert.ok(used < 6 * 16 * 1024, `${used} bytes for an empty channel`);
  await channel.stop(never);
});

test("beside a small spare as much room is kept back for the next start as beside none", async () => {
  const options = { segmentBytes: 64 * 1024 };
  let spares = 0;
  for (let extra = 0; extra < 64; extra += 4) {
    const sim = simDisk({ capacityBytes: (128 + extra) * 1024 });
    // Each start frees the segment of the one before, which is hardly written.
    for (let start = 0; start < 3; start++) await (await sim.open(options)).channel.stop(never);
    const paths = sim.disk.paths("/data/one");
    if (paths.some((path) => path.includes("/spare-"))) spares++;
    let stored = 0;
    let { channel } = await sim.open(options);
    for (; ; stored++) {
      const [outcome] = await Promise.allSettled([
        put(channel, sized(stored + 1, stored + 1, 40_000)),
      ]);
      if (outcome?.status === "rejected") break;
    }
    assert.ok(stored >= 1, `${extra} KiB more hold ${stored}`);
    // Nothing behind the last one proves it, so the start copies it: 40 kB of a segment of its own.
    for (let start = 0; start < 3; start++) {
      sim.disk.kill();
      ({ channel } = await sim.open(options));
    }
    assert.deepEqual(await drain(channel, stored), range(1, stored), `${extra} KiB more`);
    await channel.stop(never);
  }
  assert.equal(spares, 16);
});

test("less room than minimumRequiredSpace starts, says DISK_FULL to puts, and drains (T723, T724, T736)", async () => {
  const sim = simDisk({ capacityBytes: 4 * 1024 * 1024 });
  const before = await sim.open();
  await put(before.channel, sized(1, 4, 100));
  await before.channel.stop(never);
  const tight = { minimumRequiredSpaceBytes: 8 * 1024 * 1024 };
  const { channel, context } = await sim.open(tight);
  await assert.rejects(channel.beginPut(sized(5, 5, 100)), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "DISK_FULL");
    assert.match(error.message, /usable space exhausted: \d+ bytes.*8388608/);
    return true;
  });
  assert.equal(context.metrics.value("millrace_file_channel_reserved_bytes"), 8 * 1024 * 1024);
  assert.deepEqual(await drain(channel, 4), range(1, 4));
  await channel.stop(never);
});
