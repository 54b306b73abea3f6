import type { MillraceError } from "@millrace/core";
import {
  channelContext,
  type Operation,
  recordFiles,
  settle,
  type RecordedCall,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { smallOptions } from "./crash-world.test.ts";
import { createFileChannel } from "./file-channel.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

test("no put resolves before the end of an fdatasync that began after its last byte was written (F2)", async () => {
  const boot = simDisk().disk.boot();
  const recorded = recordFiles(boot.files);
  const context = channelContext();
  const runtime = { ...context.runtime, files: recorded.files, locks: boot.locks };
  const channel = createFileChannel(smallOptions, { ...context, runtime });
  await channel.start(never);
  let judged = 0;
  const open: Promise<void>[] = [];
  for (let i = 0; i < 30; i++) {
    const before = recorded.now();
    const size = 200 + ((i * 373) % 2500);
    const transaction = await channel.beginPut(sized(i, i, size));
    open.push(
      transaction.commit().then(() => {
        assertSynced(recorded.calls, before, recorded.now(), size);
        judged++;
      }),
    );
    if (i % 4 === 3) await Promise.all(open);
  }
  await Promise.all(open);
  await channel.stop(never);
  assert.equal(judged, 30);
  assertOneGroupInDoubt(recorded.calls);
});

/** Some write of at least the put's bytes ended, then a sync of that file began and ended by now. */
function assertSynced(calls: readonly RecordedCall[], from: number, now: number, bytes: number) {
  const writes = calls.filter(({ kind, begin, bytes: written = 0 }) => kind === "write" && begin > from && written > bytes); // prettier-ignore
  const synced = writes.some((write) =>
    calls.some(
      ({ kind, path, begin, end = Infinity }) =>
        kind === "datasync" && path === write.path && begin > (write.end ?? Infinity) && end < now,
    ),
  );
  assert.ok(synced, `resolved at ${now} without a sync behind its write`);
}

/** Between two writes of groups there is a sync that ended. */
function assertOneGroupInDoubt(calls: readonly RecordedCall[]): void {
  let written: string | undefined;
  for (const { kind, path, position = 0 } of calls) {
    if (!path.endsWith(".seg")) continue;
    if (kind === "datasync") written = undefined;
    if (kind !== "write" || position <= 4096) continue;
    assert.equal(written, undefined, `two groups in doubt at ${path}`);
    written = path;
  }
}

test("a spare is used again only behind the sync of its directory that came after its own rename (F8), and a file's name is synced before its header is written (F1)", async () => {
  const boot = simDisk().disk.boot();
  const recorded = recordFiles(boot.files);
  const context = channelContext();
  const runtime = { ...context.runtime, files: recorded.files, locks: boot.locks };
  const channel = createFileChannel(smallOptions, { ...context, runtime });
  await channel.start(never);
  for (let id = 1; id <= 200; id += 5) {
    await put(channel, sized(id, id + 4, 900));
    await drain(channel, 5);
  }
  await channel.stop(never);
  const unsynced = new Set<string>();
  const seen = { spares: 0, reused: 0, headers: 0 };
  for (const { kind, path, from = "", position } of recorded.calls) {
    const reused = from.includes("spare-");
    if (kind === "syncDirectory") unsynced.clear();
    if (kind === "rename" && reused) {
      seen.reused++;
      assert.ok(!unsynced.has(from), `${from} is used again before its name is synced`);
    }
    if (kind === "rename" || kind === "create") unsynced.add(path);
    if (kind === "rename" && path.includes("spare-")) seen.spares++;
    if (kind === "write" && position === 0 && path.endsWith(".seg")) {
      seen.headers++;
      assert.ok(!unsynced.has(path), `${path} has a header before its name is synced`);
    }
  }
  assert.ok(seen.spares > 3 && seen.reused > 3 && seen.headers > 3, JSON.stringify(seen));
});

/** Keeps the calls that store something. */
function watch(calls: Operation[]) {
  return (operation: Operation): undefined => {
    if (["write", "datasync"].includes(operation.kind)) calls.push(operation);
  };
}

test("commits of one turn share one write and one sync (T718)", async () => {
  const calls: Operation[] = [];
  const { channel } = await simDisk().open({}, { fault: watch(calls) });
  const puts = await Promise.all(range(1, 8).map((id) => channel.beginPut(sized(id, id, 50))));
  calls.length = 0;
  await Promise.all(puts.map((transaction) => transaction.commit()));
  assert.deepEqual(calls.map(({ kind }) => kind), ["write", "datasync"]); // prettier-ignore
  assert.deepEqual(await drain(channel, 8), range(1, 8));
  await channel.stop(never);
});

test("an fdatasync error ends the channel: commits, puts and takes are CHANNEL_FAILED, the file is left alone (F4)", async () => {
  const calls: Operation[] = [];
  let failed = false;
  const fault = (operation: Operation) => {
    calls.push(operation);
    const hit = operation.kind === "datasync" && armed && !failed;
    failed ||= hit;
    return hit ? ("EIO" as const) : undefined;
  };
  let armed = false;
  const told: MillraceError[] = [];
  const sim = simDisk();
  const { channel, context, clock } = await sim.open(
    { onFatal: (error) => told.push(error) },
    { fault },
  );
  await put(channel, sized(1, 5, 100));
  const take = await channel.beginTake(3);
  await take.commit();
  armed = true;
  await assert.rejects(put(channel, sized(6, 9, 100)), { code: "CHANNEL_FAILED" });
  const at = calls.length;
  await assert.rejects(channel.beginPut(sized(10, 10, 10)), { code: "CHANNEL_FAILED" });
  await assert.rejects(channel.beginTake(1), { code: "CHANNEL_FAILED" });
  await clock.advance(5000);
  await channel.stop(never);
  const after = calls.slice(at).filter(({ kind }) => kind !== "close");
  assert.deepEqual(after, [], "nothing is written, synced or truncated any more");
  assert.equal(told.length, 1);
  assert.equal(told[0]?.answer, "fatal");
  assert.equal(context.metrics.value("millrace_file_channel_errors_total", { kind: "sync" }), 1);
  assert.equal(channel.readCounters()["Unhealthy"], 1);
  sim.disk.kill();
  const again = await sim.open();
  const ids = await drain(again.channel, again.channel.size);
  assert.deepEqual(ids.slice(0, 2), [4, 5], "and what came after 5 was never answered");
  await again.channel.stop(never);
});

test("a write that fails goes to the next segment and nobody notices (F3)", async () => {
  let failures = 0;
  const fault = ({ kind, position = 0, bytes = 0 }: Operation) =>
    kind === "write" && position > 4608 && bytes > 1500 && failures === 0
      ? (failures++, "EIO" as const)
      : undefined;
  const sim = simDisk();
  const { channel, context } = await sim.open({}, { fault });
  await put(channel, sized(1, 2, 100));
  await put(channel, sized(3, 5, 500));
  await put(channel, sized(6, 6, 100));
  assert.equal(failures, 1);
  assert.ok(context.log.lines.some(({ message }) => message.includes("ends at its last synced")));
  assert.deepEqual(await drain(channel, 6), range(1, 6));
  await channel.stop(never);
  const again = await sim.open();
  assert.equal(again.channel.size, 0);
});

test("a write that fails everywhere is WRITE_FAILED, leaves nothing, and the next succeeds", async () => {
  let failing = false;
  const fault = ({ kind, position = 0 }: Operation) =>
    failing && kind === "write" && position > 0 ? ("EIO" as const) : undefined;
  const sim = simDisk();
  const { channel, context } = await sim.open({}, { fault });
  await put(channel, sized(1, 2, 100));
  failing = true;
  await assert.rejects(put(channel, sized(3, 4, 100)), { code: "WRITE_FAILED" });
  assert.equal(context.metrics.value("millrace_file_channel_errors_total", { kind: "write" }), 1);
  failing = false;
  await put(channel, sized(5, 6, 100));
  assert.deepEqual(await drain(channel, 4), [1, 2, 5, 6]);
  await channel.stop(never);
});

test("a header whose write failed may be there all the same: its predecessor is left alone", async () => {
  let taken = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const sim = simDisk({ seed });
    let failing = false;
    const fault = ({ kind, position, bytes }: Operation) => {
      const header = kind === "write" && position === 0 && bytes === 4096;
      return failing && (header || kind === "unlink") ? ("EIO" as const) : undefined;
    };
    const { channel } = await sim.open({}, { fault });
    for (let id = 1; id <= 8; id++) await put(channel, sized(id, id, 1000));
    failing = true;
    const large = await put(channel, sized(9, 16, 1000)).catch(() => "refused");
    assert.equal(large, "refused", "the group needs a new segment");
    failing = false;
    await put(channel, sized(17, 17, 100));
    sim.disk.kill();
    const again = await sim.open();
    const ids = await drain(again.channel, again.channel.size);
    assert.deepEqual(
      ids.filter((id) => id < 9 || id > 16),
      [...range(1, 8), 17],
      `seed ${seed}`,
    );
    taken++;
  }
  assert.equal(taken, 20);
});

test("a group that failed half way leaves nothing for a shorter one to run into, not even at equal record sizes", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const sim = simDisk({ seed });
    let failing = false;
    const fault = ({ kind }: Operation) =>
      failing && ["write", "create", "rename"].includes(kind) ? ("EIO" as const) : undefined;
    const { channel } = await sim.open({}, { fault });
    await put(channel, sized(1, 1, 400));
    failing = true;
    const three = await Promise.allSettled([2, 3, 4].map((id) => put(channel, sized(id, id, 455))));
    assert.ok(three.every(({ status }) => status === "rejected"));
    failing = false;
    await put(channel, sized(5, 5, 455));
    sim.disk.kill();
    const again = await sim.open();
    const ids = await drain(again.channel, again.channel.size);
    assert.deepEqual(ids, [1, 5], `seed ${seed}`);
  }
});

test("acknowledgements that cannot be written stay in memory: delivered once until a restart", async () => {
  let failing = false;
  const fault = ({ kind }: Operation) =>
    failing && kind === "write" ? ("ENOSPC" as const) : undefined;
  const sim = simDisk();
  const { channel, context, clock } = await sim.open({}, { fault });
  await put(channel, sized(1, 10, 100));
  failing = true;
  const six = await channel.beginTake(6);
  await six.commit();
  await clock.advance(3000);
  const rest = await channel.beginTake(100);
  assert.deepEqual(idsOf(rest.batch), range(7, 10), "what was settled does not come again");
  await rest.rollback();
  const warning = context.log.lines.find(({ message }) => message.includes("delivered again"));
  assert.match(warning?.message ?? "", /6 events/);
  failing = false;
  await clock.advance(3000);
  sim.disk.powerCut("lose");
  const again = await sim.open();
  assert.equal(again.channel.size, 4, "once the disk has room they are written");
});

test("a quiet channel has synced its acknowledgements within ackSyncMs, by one group", async () => {
  const sim = simDisk();
  const { channel, clock, boot } = await sim.open();
  await put(channel, sized(1, 10, 100));
  await drain(channel, 10);
  await clock.advance(101);
  const quiet = boot.operations;
  await clock.advance(60_000);
  assert.equal(boot.operations, quiet, "and then the disk is left alone");
  sim.disk.powerCut("lose");
  assert.equal((await sim.open()).channel.size, 0);
});

test("a put with nothing behind it is marked as proven, once", async () => {
  const sim = simDisk();
  const { channel, clock, boot } = await sim.open();
  await put(channel, sized(1, 3, 100));
  const before = boot.operations;
  await clock.advance(60_000);
  assert.equal(boot.operations - before, 2, "one write, one sync");
  sim.disk.kill();
  const again = await sim.open();
  assert.deepEqual(await drain(again.channel, 3), range(1, 3));
});

test("with fsyncPerTransaction = false puts resolve when written and are synced by the interval [lost: file-unsynced | agent killed | nothing; some twice] [lost: file-unsynced | power cut | at most fsyncInterval seconds]", async () => {
  const sim = simDisk();
  const options = { fsyncPerTransaction: false, fsyncIntervalMs: 5000 };
  const calls: Operation[] = [];
  const { channel } = await sim.open(options, { fault: watch(calls) });
  calls.length = 0;
  for (let id = 1; id <= 5; id++) await put(channel, sized(id, id, 300));
  assert.deepEqual(calls.map(({ kind }) => kind), Array(5).fill("write")); // prettier-ignore
  sim.disk.kill();
  const killed = await sim.open(options);
  assert.equal(killed.channel.size, 5, "a killed process loses nothing");
  for (let id = 6; id <= 9; id++) await put(killed.channel, sized(id, id, 300));
  await killed.clock.advance(5001);
  await put(killed.channel, sized(10, 10, 300));
  sim.disk.powerCut("lose");
  const cut = await sim.open(options);
  assert.deepEqual(await drain(cut.channel, 9), range(1, 9), "the last 5 seconds are lost");
});

test("torn writes between syncs that were left out are cut, not taken for damage", async () => {
  let lost = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const sim = simDisk({ seed });
    const options = { fsyncPerTransaction: false };
    const { channel, clock } = await sim.open(options);
    for (let id = 1; id <= 5; id++) await put(channel, sized(id, id, 1000));
    await clock.advance(6000);
    for (let id = 6; id <= 12; id++) await put(channel, sized(id, id, 1000));
    sim.disk.powerCut("mix");
    const again = await sim.open(options);
    const ids = await drain(again.channel, again.channel.size);
    assert.deepEqual(ids, range(1, ids.length));
    assert.ok(ids.length >= 5);
    lost += 12 - ids.length;
    await again.channel.stop(never);
  }
  assert.ok(lost > 10, `${lost} events were in doubt`);
});

test("with syncs left out segments keep their size, a clean close leaves nothing to copy, and an unclean one a segment at most [lost: file-unsynced | agent stops | nothing]", async () => {
  const options = { fsyncPerTransaction: false };
  for (const clean of [true, false]) {
    const sim = simDisk();
    const { channel } = await sim.open(options);
    for (let id = 1; id <= 100; id++) await put(channel, sized(id, id, 1000));
    if (clean) await channel.stop(never);
    else sim.disk.kill();
    const before = sim.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path));
    assert.ok(before.length >= 7, `${before.length} segments`);
    const again = await sim.open(options);
    const opened = sim.disk.paths("/data").filter((path) => !before.includes(path));
    const bytes = sim.disk.file(
      opened.filter((path) => /\/0.*seg$/.test(path))[0] as string,
    ).length;
    assert.ok(bytes <= (clean ? 8192 : 24 * 1024), `${bytes} bytes in the new segment`);
    assert.deepEqual(await drain(again.channel, 100), range(1, 100));
  }
});

test("a clean close leaves nothing to copy, an unclean one copies and keeps every event's name", async () => {
  const sim = simDisk();
  const first = await sim.open();
  await put(first.channel, sized(1, 4, 100));
  await settle();
  sim.disk.kill();
  const second = await sim.open();
  const take = await second.channel.beginTake(10);
  const { origin } = take.batch;
  await take.rollback();
  await put(second.channel, sized(5, 6, 100));
  sim.disk.kill();
  const third = await sim.open();
  const again = await third.channel.beginTake(10);
  assert.deepEqual(idsOf(again.batch), range(1, 4), "one run at a time");
  assert.deepEqual(again.batch.origin, origin);
  const newer = await third.channel.beginTake(10);
  assert.deepEqual(idsOf(newer.batch), [5, 6]);
  assert.notEqual(newer.batch.origin?.run, origin?.run);
  assert.equal(newer.batch.origin?.sequence, 5);
});

test("what a start only read is stored when it serves: killed at any call of a start, then a power cut", async () => {
  let killed = 0;
  for (let crashAt = 1; crashAt <= 80; crashAt++) {
    const sim = simDisk();
    const first = await sim.open();
    await put(first.channel, sized(1, 4, 200));
    sim.disk.kill();
    const second = sim.make({}, { crashAt });
    const crash = await Promise.race([second.boot.crashed, second.channel.start(never)]);
    if (crash !== undefined) killed++;
    sim.disk.kill();
    const third = await sim.open();
    await put(third.channel, sized(5, 5, 200));
    sim.disk.powerCut("lose");
    const { channel } = await sim.open();
    assert.deepEqual(await drain(channel, channel.size), range(1, 5), `killed at call ${crashAt}`);
  }
  assert.ok(killed > 25, `${killed} calls`);
});
