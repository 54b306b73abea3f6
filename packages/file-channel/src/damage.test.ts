import { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, outcome as startAndTake } from "./disk-image.test.ts";
import type { FileChannelOptions } from "./options.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

type Damage = "zero" | "flip" | "stale";
const sector = 512;

/**
 * Events 1 to 40 over several segments, some of them recycled, 1 to 7 and 9 delivered; everything
 * is proven by a mark.
 */
async function written(options: Partial<FileChannelOptions> = {}, killed = false) {
  const sim = simDisk();
  const before = await sim.open(options);
  for (let i = 0; i < 12; i++) {
    await put(before.channel, sized(1000 + i * 5, 1004 + i * 5, 700));
    await drain(before.channel, 5);
  }
  await before.channel.stop(never);
  const stale = new Map(sim.disk.paths("/data").map((path) => [path, bytesOf(sim.disk, path)]));
  const { channel, clock } = await sim.open(options);
  for (let i = 0; i < 8; i++) await put(channel, sized(1 + i * 5, 5 + i * 5, 700));
  const take = await channel.beginTake(9);
  await take.commit([
    { from: 0, to: 7 },
    { from: 8, to: 9 },
  ]);
  await clock.advance(500);
  if (killed) {
    // The last group is one of a put and not proven: the next start copies it into its opening.
    await put(channel, sized(41, 44, 700));
    sim.disk.kill();
    const copied = await sim.open(options);
    await copied.channel.stop(never);
    return { ...sim, stale };
  }
  // The mark of the close proves the group before it; damage of the last group is undecidable.
  await channel.stop(never);
  return { ...sim, stale };
}

type Written = Awaited<ReturnType<typeof written>>;

/** The same files on a disk of their own. */
async function copyOf(original: Written): Promise<Written> {
  const sim = simDisk();
  const { files } = sim.disk.boot();
  await files.makeDirectory("/data/one");
  for (const path of original.disk.paths("/data")) {
    const handle = await files.open(path, "create");
    await handle.write([bytesOf(original.disk, path)], 0);
    await handle.datasync();
  }
  return { ...sim, stale: original.stale };
}

const held = [8, ...range(10, 40)];

/** What a start and a drain show: everything, or an error that names the damage. */
async function outcome(
  sim: Written,
  options: Partial<FileChannelOptions> = {},
): Promise<{ ids: number[]; code: string | undefined }> {
  const { ids, error } = await startAndTake(sim, options);
  return { ids, code: error?.code };
}

test("no damage, and the log gives what it holds", async () => {
  assert.deepEqual(await outcome(await written()), { ids: held, code: undefined });
});

const cases = [false, true].flatMap((killed) =>
  (["zero", "flip", "stale"] as const).map((damage) => ({ killed, damage })),
);
for (const { killed, damage } of cases) {
  const whose = killed ? "a log that recovery copied into" : "a closed log";
  test(`a ${damage} of any synced sector of ${whose} is cut or refused, never silent`, async () => {
    const original = await written({}, killed);
    const want = killed ? [...held, ...range(41, 44)] : held;
    const paths = original.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path));
    const seen = { refused: 0, harmless: 0, tried: 0 };
    for (const path of paths) {
      const { length } = original.disk.file(path);
      for (let at = 0; at < length; at += sector) {
        const sim = await copyOf(original);
        if (!damageSector(sim, path, at, damage)) continue;
        seen.tried++;
        const { ids, code } = await outcome(sim);
        const where = `${damage} of ${path} at ${at}: ${code} after ${ids.join(" ")}`;
        if (code === undefined) {
          seen.harmless++;
          assert.deepEqual(ids, want, where);
          continue;
        }
        seen.refused++;
        assert.equal(code, "CHANNEL_CORRUPT", where);
        assert.deepEqual(ids, want.slice(0, ids.length), where);
      }
    }
    assert.ok(seen.tried > 40 && seen.refused > 25 && seen.harmless > 0, JSON.stringify(seen));
  });
}

/** False where the damage would change nothing. */
function damageSector(sim: Written, path: string, at: number, damage: Damage): boolean {
  const file = sim.disk.file(path);
  const was = Buffer.from(file.content.subarray(at, at + sector));
  const now = Buffer.from(was);
  if (damage === "zero") now.fill(0);
  if (damage === "flip") now[17] = (now[17] as number) ^ 0x10;
  if (damage === "stale") {
    const older = [...sim.stale.values()].find((content) => content.length >= at + sector);
    older?.copy(now, 0, at, at + sector);
  }
  if (now.equals(was)) return false;
  file.damage(at, now);
  return true;
}

/** Damages the body of a segment that holds a backlog, behind its snapshot. */
async function damagedBacklog(options: Partial<FileChannelOptions> = {}) {
  const sim = await written(options);
  const paths = sim.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path));
  const oldest = paths.sort()[0] as string;
  const { content } = sim.disk.file(oldest);
  const at = content.indexOf(Buffer.from("8".padEnd(12), "latin1"));
  assert.ok(at > 4096, "event 8 stands in the oldest segment");
  sim.disk.file(oldest).damage(at + 100, Buffer.from("rot"));
  return { sim, oldest };
}

test("a damaged record ends takes, names file and sequences, and leaves puts alone (T631, T714)", async () => {
  const { sim, oldest } = await damagedBacklog();
  const { channel, context } = await sim.open();
  await assert.rejects(channel.beginTake(10), (error) => {
    assert.ok(error instanceof MillraceError);
    assert.equal(error.code, "CHANNEL_CORRUPT");
    assert.match(error.message, /does not verify at offset \d+: sequences \d+ to \d+.*repair/);
    assert.ok(error.message.includes(oldest));
    return true;
  });
  await put(channel, sized(41, 42, 100));
  assert.equal(channel.size, held.length + 2);
  assert.equal(channel.readCounters()["Unhealthy"], 1);
  assert.equal(channel.trouble?.code, "CHANNEL_CORRUPT");
  assert.equal(context.metrics.value("millrace_file_channel_errors_total", { kind: "corrupt" }), 1);
  await channel.stop(never);
});

test("quarantine sets a damaged record aside, counts its events and goes on (T632, T687)", async () => {
  const { sim } = await damagedBacklog();
  const { channel, context, clock } = await sim.open({ onCorruption: "quarantine" });
  const got = await drain(channel, channel.size - 4);
  await clock.advance(50);
  const lost = held.filter((id) => !got.includes(id));
  assert.ok(lost.includes(8) && lost.length <= 5, `lost ${lost.join(" ")}`);
  const reason = { reason: "corrupt_record", intended: "false" };
  const counted = context.metrics.value("millrace_events_discarded_total", reason);
  assert.equal(counted, lost.length);
  await drain(channel, channel.size);
  assert.equal(channel.readCounters()["EventTakeErrorCount"], 1);
  assert.ok(sim.disk.paths("/data").some((path) => path.includes("quarantine-")));
  await put(channel, sized(50, 50, 100));
  await channel.stop(never);
  const again = await sim.open();
  assert.equal(again.channel.size, 1);
});

test("a missing segment that holds events refuses the start and says which", async () => {
  const sim = await written();
  const oldest = sim.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path)).sort()[0]; // prettier-ignore
  const { files } = sim.disk.boot();
  await files.unlink(oldest as string);
  await assert.rejects(sim.open(), /segment \d+ with sequences \d+ to \d+ is missing/);
});

test("a segment shorter than the snapshot says refuses the start", async () => {
  const sim = await written();
  const oldest = sim.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path)).sort()[0]; // prettier-ignore
  sim.disk.file(oldest as string).truncate(5000);
  await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
});

test("a directory whose segments all lost their headers is refused, not begun anew", async () => {
  const sim = await written();
  for (const path of sim.disk.paths("/data").filter((one) => one.endsWith(".seg"))) {
    sim.disk.file(path).damage(0, Buffer.alloc(512));
  }
  await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT" });
});

/**
 * The newest segment holds nothing but acknowledgements: of each five events the last is left, so
 * every older segment is still needed.
 */
async function acknowledgedLast(): Promise<Written> {
  const sim = simDisk();
  const before = await sim.open();
  for (let i = 0; i < 8; i++) await put(before.channel, sized(1 + i * 5, 5 + i * 5, 700));
  await before.channel.stop(never);
  const { channel } = await sim.open();
  const takes = [];
  for (let taken = 0; taken < 40; taken += takes.at(-1)?.batch.length ?? 0) {
    takes.push(await channel.beginTake(5));
  }
  for (const take of takes) {
    const settled = idsOf(take.batch).map((id, at) =>
      id % 5 === 0 ? [] : [{ from: at, to: at + 1 }],
    );
    await take.commit(settled.flat());
  }
  await channel.stop(never);
  return { ...sim, stale: new Map() };
}

const everyFifth = range(1, 8).map((group) => group * 5);
const headerCases = [
  { what: "puts", make: () => written({}, true), want: [...held, ...range(41, 44)] },
  { what: "acknowledgements", make: acknowledgedLast, want: everyFifth },
];
for (const { what, make, want } of headerCases) {
  test(`a header that rots at any moment of a start behind ${what} is noticed, or the start before it is still whole`, async () => {
    const original = await make();
    const seen = { refused: 0, whole: 0 };
    for (let crashAt = 1; crashAt <= 60; crashAt++) {
      const sim = await copyOf(original);
      const made = sim.make({}, { crashAt });
      const ended = await Promise.race([made.boot.crashed, made.channel.start(never)]);
      if (ended === undefined) break;
      sim.disk.kill();
      const newest = segmentsOf(sim).at(-1) as string;
      const file = sim.disk.file(newest);
      if (file.length < 4096) continue;
      file.damage(0, Buffer.alloc(sector));
      const { ids, code } = await outcome(sim);
      if (code === undefined) {
        seen.whole++;
        assert.deepEqual(ids, want, `crash at ${crashAt}`);
      } else {
        seen.refused++;
        assert.equal(code, "CHANNEL_CORRUPT");
      }
    }
    assert.ok(seen.refused > 5 && seen.whole > 1, JSON.stringify(seen));
  });
}

function segmentsOf({ disk }: Written): string[] {
  return disk
    .paths("/data")
    .filter((path) => /\/0.*seg$/.test(path))
    .sort();
}
