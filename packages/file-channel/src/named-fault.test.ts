/** Every fault of the disk, the directory and the clock by its name, and what the channel does. */
import { MillraceError } from "@millrace/core";
import { channelContext, type Operation, type OperationKind } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { smallOptions } from "./crash-world.test.ts";
import { createFileChannel } from "./file-channel.ts";
import { outcome, threeGroups } from "./disk-image.test.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

test("two agents on one directory: the second is CHANNEL_LOCKED, and the first notices nothing", async () => {
  const sim = simDisk();
  const { channel, boot, context } = await sim.open();
  const runtime = { ...context.runtime, files: boot.files, locks: boot.locks };
  const before = boot.operations;
  const second = createFileChannel(smallOptions, channelContext({ runtime }));
  await assert.rejects(second.start(never), { code: "CHANNEL_LOCKED" });
  await second.stop(never);
  assert.ok(boot.operations - before < 20, "the second wrote nothing");
  await put(channel, sized(1, 5, 100));
  assert.deepEqual(await drain(channel, 5), range(1, 5));
  await channel.stop(never);
});

test("read-only directory: the start is PERMISSION_DENIED, and what is there stays", async () => {
  const sim = await threeGroups(40);
  const made = sim.make();
  const denied = (path: string): Promise<never> =>
    Promise.reject(Object.assign(new Error(`EROFS: ${path}`), { code: "EROFS" }));
  const { files } = made.boot;
  const readOnly = {
    ...files,
    open: (path: string, mode: "read" | "write" | "create" | "append") =>
      mode === "read" ? files.open(path, mode) : denied(path),
    rename: denied,
    unlink: denied,
    makeDirectory: denied,
  };
  const runtime = { ...made.context.runtime, files: readOnly, locks: made.boot.locks };
  const channel = createFileChannel(smallOptions, channelContext({ runtime }));
  await assert.rejects(channel.start(never), { code: "PERMISSION_DENIED" });
  assert.deepEqual(await outcome(sim), { ids: range(1, 55), error: undefined });
});

/** The first call of that kind that `matches`, once `armed`, fails with EIO. */
function failing(kind: OperationKind, matches: (operation: Operation) => boolean = () => true) {
  const state = { armed: false, failures: 0 };
  const fault = (operation: Operation) => {
    if (!state.armed || operation.kind !== kind || !matches(operation)) return undefined;
    state.failures++;
    return "EIO" as const;
  };
  return { state, fault };
}

test("EIO on read: a start says which file cannot be read; a backlog that cannot be read ends takes and nothing else", async () => {
  const sim = await threeGroups(40);
  const { state, fault } = failing("read", ({ path }) => path.endsWith(".seg"));
  state.armed = true;
  await assert.rejects(sim.open({}, { fault }), (error) => {
    assert.ok(error instanceof MillraceError, String(error));
    assert.match(error.message, /EIO/);
    return true;
  });
  const later = failing("read", ({ path }) => path.endsWith(".seg"));
  const { channel, clock } = await sim.open({}, { fault: later.fault });
  later.state.armed = true;
  const got: number[] = [];
  await assert.rejects(
    async () => {
      for (;;) {
        const take = await channel.beginTake(5);
        got.push(...idsOf(take.batch));
        if (take.batch.length === 0) return;
        await take.commit();
        await clock.advance(0);
      }
    },
    { code: "CHANNEL_CORRUPT" },
  );
  assert.deepEqual(got, range(1, got.length));
  await put(channel, sized(56, 60, 100));
  await channel.stop(never);
  const { ids, error } = await outcome(sim);
  assert.equal(error, undefined, "nothing was set aside for a disk that did not answer");
  assert.deepEqual(ids, range(got.length + 1, 60));
});

test("EIO on write: the next segment takes the batch, and everything told OK is there", async () => {
  for (let nth = 1; nth <= 12; nth++) {
    let writes = 0;
    const fault = ({ kind, path }: Operation) =>
      kind === "write" && path.endsWith(".seg") && armed && ++writes === nth
        ? ("EIO" as const)
        : undefined;
    let armed = false;
    const sim = simDisk({ seed: nth });
    const { channel } = await sim.open({}, { fault });
    armed = true;
    const told: number[] = [];
    for (let id = 1; id <= 40; id += 5) {
      await put(channel, sized(id, id + 4, 900)).then(
        () => told.push(...range(id, id + 4)),
        (error: unknown) => assert.equal((error as MillraceError).answer, "retry"),
      );
    }
    assert.ok(writes >= nth, `${writes} writes`);
    sim.disk.kill();
    const { ids, error } = await outcome(sim);
    assert.equal(error, undefined);
    assert.deepEqual(ids, told, `write ${nth}`);
  }
});

test("EIO on fsync: at every sync of a run the channel says CHANNEL_FAILED, and everything told OK is there after a power cut [lost: file-unsynced | disk fails | at most fsyncInterval seconds]", async () => {
  let failed = 0;
  for (const fsyncPerTransaction of [true, false]) {
    for (let nth = 1; nth <= 30; nth++) {
      const options = { fsyncPerTransaction, fsyncIntervalMs: 200 };
      const told = await failSync(nth, options);
      if (told !== undefined) failed++;
    }
  }
  assert.ok(failed >= 40, `${failed} failed syncs`);
});

async function failSync(
  nth: number,
  options: { fsyncPerTransaction: boolean; fsyncIntervalMs: number },
): Promise<number[] | undefined> {
  let syncs = 0;
  const fault = ({ kind }: Operation) =>
    kind === "datasync" && ++syncs === nth ? ("EIO" as const) : undefined;
  const sim = simDisk({ seed: nth });
  const made = sim.make(options, { fault });
  const told: number[] = [];
  let synced = 0;
  try {
    await made.channel.start(never);
    for (let id = 1; id <= 60; id += 5) {
      await put(made.channel, sized(id, id + 4, 900));
      told.push(...range(id, id + 4));
      await made.clock.advance(id % 3 === 0 ? 500 : 0);
      if (made.channel.trouble === undefined && id % 3 === 0) synced = told.length;
    }
  } catch (error) {
    const { code } = error as MillraceError;
    assert.ok(["CHANNEL_FAILED", "CHANNEL_DIRECTORY"].includes(code), String(error));
  }
  if (syncs < nth) return undefined;
  sim.disk.powerCut("lose");
  const { ids, error } = await outcome(sim, options);
  assert.equal(error, undefined, String(error));
  const certain = options.fsyncPerTransaction ? told.length : synced;
  assert.deepEqual(ids.slice(0, certain), told.slice(0, certain), `sync ${nth}`);
  assert.deepEqual(ids, range(1, ids.length));
  return told;
}

const changing: readonly OperationKind[] = ["create", "write", "rename", "makeDirectory"];

test("ENOSPC at every step: from any call on for a while, a start is refused with DISK_FULL or serves, nothing told OK is lost, and it goes on once there is room", async () => {
  const seen = { refusedStarts: 0, refusedPuts: 0, steps: 0 };
  for (let from = 1; from <= 90; from++) {
    let calls = 0;
    let full = true;
    const fault = ({ kind }: Operation) =>
      full && changing.includes(kind) && ++calls >= from ? ("ENOSPC" as const) : undefined;
    const sim = simDisk({ seed: from });
    const told: number[] = [];
    const made = sim.make({}, { fault });
    try {
      await made.channel.start(never);
      for (let id = 1; id <= 60; id += 4) {
        await put(made.channel, sized(id, id + 3, 900)).then(
          () => told.push(...range(id, id + 3)),
          (error: MillraceError) => {
            assert.equal(error.code, "DISK_FULL", String(error));
            seen.refusedPuts++;
          },
        );
      }
      if (calls >= from) seen.steps++;
      full = false;
      await put(made.channel, sized(101, 104, 900));
      told.push(...range(101, 104));
    } catch (error) {
      const { code } = error as MillraceError;
      assert.ok(["DISK_FULL", "CHANNEL_DIRECTORY"].includes(code), String(error));
      seen.refusedStarts++;
    }
    full = false;
    sim.disk.powerCut("lose");
    const { ids, error } = await outcome(sim);
    assert.equal(error, undefined, String(error));
    assert.deepEqual(ids, told, `from call ${from}`);
  }
  assert.ok(seen.refusedStarts >= 3 && seen.steps >= 20, JSON.stringify(seen));
  assert.ok(seen.refusedPuts >= 50, JSON.stringify(seen));
});

test("a full disk loses nothing with fsyncPerTransaction = false either [lost: file-unsynced | disk full | nothing; puts are refused]", async () => {
  const sim = simDisk({ capacityBytes: 300 * 1024 });
  const options = { fsyncPerTransaction: false };
  const { channel } = await sim.open(options);
  let told = 0;
  const refused = await assert
    .rejects(
      async () => {
        for (let id = 1; id <= 10_000; id += 4) {
          await put(channel, sized(id, id + 3, 900));
          told = id + 3;
        }
      },
      { code: "DISK_FULL" },
    )
    .then(() => true);
  assert.ok(refused && told > 50, `${told} events`);
  await channel.stop(never);
  assert.deepEqual(await outcome(sim, options), { ids: range(1, told), error: undefined });
});

test("clock going backwards: by an hour while it runs and by a year over a restart, nothing is lost and no age is negative", async () => {
  const sim = simDisk();
  const age = "millrace_channel_oldest_event_age_seconds";
  let told = 0;
  for (const [life, startMs] of [2e12, 1e12, 1.5e12, 1000].entries()) {
    const made = sim.make();
    let now = startMs;
    const clock = { ...made.clock, now: () => now };
    const { files, locks } = made.boot;
    const runtime = { ...made.context.runtime, clock, files, locks };
    const context = channelContext({ runtime });
    const channel = createFileChannel(smallOptions, context);
    await channel.start(never);
    assert.equal(channel.size, told, `life ${life}`);
    for (let i = 0; i < 5; i++) {
      await put(channel, sized(told + 1, told + 4, 900));
      told += 4;
      now -= 3_600_000;
      assert.ok((context.metrics.value(age) ?? -1) >= 0);
    }
    sim.disk.powerCut("lose");
  }
  assert.deepEqual(await outcome(sim), { ids: range(1, told), error: undefined });
  assert.equal(told, 80);
});
