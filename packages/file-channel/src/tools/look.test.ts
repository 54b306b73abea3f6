import { EventBatch, systemRuntime } from "@millrace/core";
import { channelContext, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createFileChannel } from "../file-channel.ts";
import { createKeyFiles } from "../keys/key-files.ts";
import { never, put, range } from "../sim-channel.test.ts";
import {
  copyOf,
  damage,
  findBody,
  segmentPaths,
  type TestChannel,
  toolContext,
  writtenChannel,
} from "./damaged-channel.test.ts";
import { dumpChannel, type DumpedDamage, type DumpedEvent } from "./dump.ts";
import { channelStats } from "./stats.ts";
import { verifyChannel } from "./verify.ts";

const original = writtenChannel();

async function dump(
  sim: TestChannel,
  options: { all?: boolean; max?: number; from?: number } = {},
): Promise<(DumpedEvent | DumpedDamage)[]> {
  const items: (DumpedEvent | DumpedDamage)[] = [];
  const whole = { all: false, max: 1000, from: 0, ...options };
  for await (const item of dumpChannel(sim.dataDirs, whole, toolContext(sim.disk)))
    items.push(item);
  return items;
}

function idsOf(items: readonly (DumpedEvent | DumpedDamage)[]): number[] {
  return items.map((item) => {
    assert.ok(item.kind === "event" && item.event !== undefined);
    return Number(item.event.body.toString("latin1", 0, 12));
  });
}

test("verify finds a closed channel sound, and a killed one with its torn tail", async () => {
  const closed = await verifyChannel(
    ["/data/one"],
    toolContext((await copyOf(await original)).disk),
  );
  assert.equal(closed.isSound, true);
  assert.equal(closed.held, 38);
  assert.ok(closed.segments >= 3 && closed.bytes > 20_000, JSON.stringify(closed));
  assert.equal(closed.inUse, false);

  const killed = await copyOf(await writtenChannel({}, true));
  const newest = segmentPaths(killed).at(-1) as string;
  const handle = await killed.disk.boot().files.open(newest, "append");
  await handle.write([Buffer.from("half a group")], 0);
  const report = await verifyChannel(["/data/one"], toolContext(killed.disk));
  assert.equal(report.isSound, true);
  const tail = report.findings.find(({ kind }) => kind === "torn tail");
  assert.equal(tail?.isDamage, false);
  assert.match(tail?.says ?? "", /never synced.*no damage/);
});

test("verify names file, offset, length, sequences and how many events are affected", async () => {
  const sim = await copyOf(await original);
  const sequence = sim.sequences.get(12) as number;
  const { path, at } = findBody(sim, 12);
  damage(sim, path, at + 5, 1);
  const report = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
  assert.equal(report.isSound, false);
  assert.equal(report.affected, 5);
  const [finding, ...more] = report.findings.filter(({ isDamage }) => isDamage);
  assert.deepEqual(more, []);
  assert.equal(finding?.kind, "record");
  assert.equal(finding?.path, path);
  assert.deepEqual(finding?.sequences, { first: sequence - 1, end: sequence + 4 });
  assert.equal(finding?.unacknowledged, 5);
  const { offset = 0, length = 0 } = finding ?? {};
  assert.ok(offset < at && offset + length > at && length < 5 * 800 + 600, `${offset} ${length}`);
});

test("verify counts only events that were not delivered yet", async () => {
  const sim = await copyOf(await original);
  const { path, at } = findBody(sim, 9);
  damage(sim, path, at, 3);
  const report = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
  const [finding] = report.findings.filter(({ isDamage }) => isDamage);
  assert.deepEqual(finding?.unacknowledged, 2, "8 and 10 of 6 to 10");
});

test("verify tells damaged headers, snapshots, missing segments, channel.json and foreign files", async () => {
  const kinds = async (harm: (sim: TestChannel) => Promise<void> | void): Promise<string[]> => {
    const sim = await copyOf(await original);
    await harm(sim);
    const { findings } = await verifyChannel(sim.dataDirs, toolContext(sim.disk));
    return findings.filter(({ kind }) => kind !== "leftover").map(({ kind }) => kind);
  };
  assert.deepEqual(await kinds((sim) => void damage(sim, segmentPaths(sim)[0] as string, 9, 1)), [
    "header",
  ]);
  const newest = (sim: TestChannel): string => segmentPaths(sim).at(-1) as string;
  assert.deepEqual(await kinds((sim) => void damage(sim, newest(sim), 4096 + 50, 1)), ["snapshot"]);
  assert.deepEqual(
    await kinds((sim) => sim.disk.boot().files.unlink(segmentPaths(sim)[0] as string)),
    ["missing segment"],
  );
  assert.deepEqual(await kinds((sim) => void damage(sim, "/data/one/channel.json", 0, 4)), [
    "channel.json",
  ]);
  const foreign = await kinds(async (sim) => {
    await sim.disk.boot().files.open("/data/one/notes.txt", "create");
  });
  assert.deepEqual(foreign, ["foreign file"]);
});

test("a tool refuses directories that hold no channel, and another channel's", async () => {
  const sim = await copyOf(await original);
  await sim.disk.boot().files.makeDirectory("/data/empty");
  await assert.rejects(verifyChannel(["/data/empty"], toolContext(sim.disk)), {
    code: "CHANNEL_DIRECTORY",
  });
  const other = await copyOf(await writtenChannel({ dataDirs: ["/data/two"] }));
  for (const path of other.disk.paths("/data/two")) {
    const { content, length } = other.disk.file(path);
    await sim.disk.boot().files.makeDirectory("/data/two");
    const handle = await sim.disk.boot().files.open(path, "create");
    await handle.write([Buffer.from(content.subarray(0, length))], 0);
  }
  const claim = sim.disk.file("/data/two/channel.json");
  const text = claim.content.toString("utf8", 0, claim.length);
  const at = text.indexOf('"channel":"') + 11;
  claim.damage(at, Buffer.from("0".repeat(32)));
  await assert.rejects(verifyChannel(["/data/one", "/data/two"], toolContext(sim.disk)), {
    code: "CHANNEL_DIRECTORY",
  });
});

test("stats says what is held, its totals, its segments and that it was closed", async () => {
  const sim = await copyOf(await original);
  const stats = await channelStats(sim.dataDirs, toolContext(sim.disk));
  assert.equal(stats.held, 38);
  assert.deepEqual(stats.totals, { put: 60 + 46, taken: 60 + 8, discarded: 0 });
  assert.equal(stats.nextSequence, 107);
  assert.equal(stats.lowest, sim.sequences.get(8));
  assert.deepEqual(stats.acknowledgedAbove, [{ first: 69, end: 70 }]);
  assert.equal(stats.clean, true);
  assert.equal(stats.isDamaged, false);
  assert.ok(stats.oldestPutMs !== undefined && stats.oldestPutMs > 0);
  const sum = stats.segments.reduce((total, { unacknowledged }) => total + unacknowledged, 0);
  assert.equal(sum, 38);
  assert.deepEqual(stats.segments.map(({ isNewest }) => isNewest).filter(Boolean), [true]);
  const killed = await channelStats(
    ["/data/one"],
    toolContext((await writtenChannel({}, true)).disk),
  );
  assert.equal(killed.clean, false);
});

test("dump shows what is to be delivered, in order; more with all, less with from and max", async () => {
  const sim = await copyOf(await original);
  assert.deepEqual(idsOf(await dump(sim)), sim.held);
  const from = sim.sequences.get(20) as number;
  assert.deepEqual(idsOf(await dump(sim, { from, max: 3 })), [20, 21, 22]);
  const all = await dump(sim, { all: true });
  const ids = idsOf(all);
  assert.deepEqual(ids.slice(-46), range(1, 46));
  const delivered = all.filter((item) => item.kind === "event" && item.acknowledged);
  assert.ok(idsOf(delivered).includes(9) && !idsOf(delivered).includes(10));
});

test("dump leaves damage out by name and goes on behind it", async () => {
  const sim = await copyOf(await original);
  const { path, at } = findBody(sim, 12);
  damage(sim, path, at, 2);
  const items = await dump(sim);
  const [damaged] = items.filter((item) => item.kind === "damage");
  assert.ok(damaged?.kind === "damage" && damaged.path === path);
  const events = items.filter((item) => item.kind === "event");
  assert.deepEqual(
    idsOf(events),
    sim.held.filter((id) => id < 11 || id > 15),
  );
});

/** A channel on the real disk, with 30 events of which 10 are delivered. */
async function realChannel(
  context: TestContext,
  keys?: ReturnType<typeof createKeyFiles>,
): Promise<{ directory: string; stop(): Promise<void> }> {
  const directory = join(await tempDirectory(context), "data");
  const options = { dataDirs: [directory], minimumRequiredSpaceBytes: 0, keepAliveMs: 10 };
  const encrypting = keys === undefined ? {} : { keys, activeKey: "k1" };
  const channel = createFileChannel({ ...options, ...encrypting }, channelContext());
  await channel.start(never);
  for (let i = 0; i < 3; i++) {
    const events = range(i * 10 + 1, i * 10 + 10).map((id) => ({
      body: Buffer.from(`${id}`.padEnd(12)),
    }));
    await put(channel, EventBatch.fromEvents(events));
  }
  await (await channel.beginTake(10)).commit();
  return { directory, stop: () => channel.stop(never) };
}

async function contentsOf(directory: string): Promise<string> {
  const names = (await readdir(directory)).sort();
  const files = names.filter((name) => !name.endsWith(".sock"));
  const hashes = await Promise.all(
    files.map(async (name) => (await readFile(join(directory, name))).toString("base64")),
  );
  return JSON.stringify([names, hashes]);
}

test("the tools that look change nothing, in a directory they may not write, beside a running agent", async (context) => {
  const { directory, stop } = await realChannel(context);
  const runtime = systemRuntime;
  // Until the agent's own acknowledgements are written.
  await waitFor("20 events are held on disk", async () => {
    return (await channelStats([directory], { runtime })).lowest === 11;
  });
  const before = await contentsOf(directory);
  await chmod(directory, 0o555);
  const report = await verifyChannel([directory], { runtime });
  assert.equal(report.isSound, true, JSON.stringify(report.findings));
  assert.equal(report.inUse, true);
  const stats = await channelStats([directory], { runtime });
  assert.equal(stats.inUse, true);
  assert.equal(stats.held, 20);
  let events = 0;
  for await (const item of dumpChannel(
    [directory],
    { all: false, max: 99, from: 0 },
    { runtime },
  )) {
    assert.equal(item.kind, "event");
    events++;
  }
  assert.equal(events, 20);
  assert.equal(await contentsOf(directory), before);
  await chmod(directory, 0o755);
  await stop();
  assert.equal((await verifyChannel([directory], { runtime })).inUse, false);
});

test("encrypted events are checked without keys, and shown with them", async (context) => {
  const keyDir = join(await tempDirectory(context), "keys");
  await mkdir(keyDir);
  await writeFile(join(keyDir, "k1"), randomBytes(32), { mode: 0o600 });
  const log = channelContext().log;
  const keys = createKeyFiles({ directory: keyDir }, systemRuntime.files, log);
  const { directory, stop } = await realChannel(context, keys);
  await stop();
  const runtime = systemRuntime;
  const sealed = await verifyChannel([directory], { runtime });
  assert.equal(sealed.isSound, true, JSON.stringify(sealed.findings));
  assert.ok(sealed.sealedSegments > 0);
  const opened = await verifyChannel([directory], { runtime, keys });
  assert.equal(opened.isSound, true);
  assert.equal(opened.sealedSegments, 0);
  const { segments } = await channelStats([directory], { runtime });
  assert.deepEqual(segments.filter(({ keyAlias }) => keyAlias === "k1").length > 0, true);
  const options = { all: false, max: 99, from: 0 };
  const bodies: (string | undefined)[] = [];
  for await (const item of dumpChannel([directory], options, { runtime, keys })) {
    assert.ok(item.kind === "event");
    bodies.push(item.event?.body.toString().trim());
  }
  assert.deepEqual(bodies, range(11, 30).map(String));
  for await (const item of dumpChannel([directory], options, { runtime })) {
    assert.ok(item.kind === "event" && item.event === undefined);
  }
  await writeFile(join(keyDir, "k1"), randomBytes(32));
  await assert.rejects(verifyChannel([directory], { runtime, keys }), { code: "KEY_WRONG" });
});
