import { MillraceError, systemRuntime } from "@millrace/core";
import {
  channelContext,
  createCollectingLog,
  settle,
  tempDirectory,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { smallOptions } from "./crash-world.test.ts";
import { createFileChannel } from "./file-channel.ts";
import { drain, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

const two = { dataDirs: ["/data/one", "/data/two"] };

async function writeText(sim: ReturnType<typeof simDisk>, path: string, text: string) {
  const { files } = sim.disk.boot();
  await files.makeDirectory(path.slice(0, path.lastIndexOf("/")));
  await files.unlink(path).catch(() => undefined);
  const handle = await files.open(path, "create");
  await handle.write([Buffer.from(text)], 0);
}

async function remove(sim: ReturnType<typeof simDisk>, directory: string): Promise<void> {
  const { files } = sim.disk.boot();
  for (const path of sim.disk.paths(directory)) await files.unlink(path);
}

async function holding(options: object = {}, events = 4) {
  const sim = simDisk();
  const { channel } = await sim.open(options);
  await put(channel, sized(1, events, 100));
  await channel.stop(never);
  return sim;
}

test("an emptied directory among full ones refuses the start and asks for its disk", async () => {
  const sim = await holding(two);
  await remove(sim, "/data/two");
  await assert.rejects(sim.open(two), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_DIRECTORY");
    assert.match(error.message, /directory 2 of the 2.*\/data\/two.*mounted/);
    return true;
  });
  assert.deepEqual(sim.disk.paths("/data/two"), [], "nothing is written into the mount point");
});

test("a directory that holds events and is not in dataDirs any more refuses the start", async () => {
  const sim = await holding(two);
  await assert.rejects(sim.open({ dataDirs: ["/data/two"] }), { code: "CHANNEL_DIRECTORY" });
});

test("directories may be named in another order, and added behind the others", async () => {
  const sim = await holding(two, 5);
  const swapped = await sim.open({ dataDirs: ["/data/two", "/data/one"] });
  assert.equal(swapped.channel.size, 5);
  await swapped.channel.stop(never);
  const dataDirs = [...two.dataDirs, "/data/three"];
  const { channel } = await sim.open({ dataDirs });
  for (let id = 6; id <= 65; id += 4) await put(channel, sized(id, id + 3, 900));
  assert.ok(sim.disk.paths("/data/three").some((path) => /\/0.*seg$/.test(path)));
  await channel.stop(never);
  const again = await sim.open({ dataDirs });
  assert.deepEqual(await drain(again.channel, 65), range(1, 65));
});

test("a directory of another channel, and a copy of one's own, are refused", async () => {
  const sim = await holding({ dataDirs: ["/data/one"] });
  const other = await sim.open({ dataDirs: ["/data/two"] });
  await other.channel.stop(never);
  await assert.rejects(sim.open(two), /belongs to another channel/);
  const claim = sim.disk.file("/data/one/channel.json");
  const text = claim.content.toString("utf8", 0, claim.length);
  await remove(sim, "/data/two");
  await writeText(sim, "/data/two/channel.json", text);
  await assert.rejects(sim.open(two), /is a copy of/);
});

test("segments without channel.json, and a channel.json that is none, are refused", async () => {
  const sim = await holding();
  const { files } = sim.disk.boot();
  await files.unlink("/data/one/channel.json");
  await assert.rejects(sim.open(), /holds segments .* but no channel.json/);
  await writeText(sim, "/data/one/channel.json", "{}");
  await assert.rejects(sim.open(), { code: "CHANNEL_DIRECTORY" });
  await writeText(sim, "/data/one/channel.json", '{"format":2}');
  await assert.rejects(sim.open(), { code: "CHANNEL_FORMAT" });
});

test("files that are no segments are left alone (T673, T731)", async () => {
  const sim = await holding();
  await writeText(sim, "/data/one/notes.txt", "mine");
  await writeText(sim, "/data/one/00000000000000ff.seg", "no header at all");
  const { channel } = await sim.open();
  assert.deepEqual(await drain(channel, 4), range(1, 4));
  await channel.stop(never);
  assert.ok(sim.disk.paths("/data").includes("/data/one/notes.txt"));
});

test("a directory of Java Flume is refused with what it holds, and not written to", async () => {
  const sim = simDisk();
  await writeText(sim, "/data/one/log-1", "x");
  await writeText(sim, "/data/one/log-1.meta", "x");
  const meta = Buffer.alloc(25);
  meta.writeUInt8(24, 0);
  meta.writeUInt8(0x0d, 1);
  meta.writeUInt8(0x11, 6);
  meta.writeUInt8(0x1d, 15);
  meta.writeInt32LE(4711, 16);
  await writeText(sim, "/data/checkpoint/checkpoint.meta", meta.toString("latin1"));
  const before = sim.disk.paths("/data");
  await assert.rejects(sim.open(), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_DIRECTORY");
    assert.match(error.message, /Java Flume.*about 4711 events.*file-channel import/);
    return true;
  });
  assert.deepEqual(sim.disk.paths("/data"), before);
});

test("a channel on a directory that another holds is CHANNEL_LOCKED and does not harm it (T625)", async () => {
  const sim = simDisk();
  const { channel, boot, context } = await sim.open();
  const runtime = { ...context.runtime, files: boot.files, locks: boot.locks };
  const second = createFileChannel(smallOptions, channelContext({ runtime }));
  await assert.rejects(second.start(never), { code: "CHANNEL_LOCKED" });
  assert.deepEqual(
    { ...second.readCounters(), ChannelFillPercentage: 0 },
    {
      ChannelSize: 0,
      ChannelCapacity: 10_000,
      ChannelFillPercentage: 0,
      Open: false,
      Closed: 1,
      Unhealthy: 1,
      EventPutErrorCount: 0,
      EventTakeErrorCount: 0,
      CheckpointWriteErrorCount: 0,
      CheckpointBackupWriteErrorCount: 0,
    },
    "(T690)",
  );
  await second.stop(never);
  await put(channel, sized(1, 2, 10));
  await channel.stop(never);
});

test("a start waits for a predecessor that still drains, then takes over", async () => {
  const sim = simDisk();
  const { channel, clock, boot } = await sim.open();
  await put(channel, sized(1, 3, 10));
  const { files, locks } = boot;
  const runtime = { ...systemRuntime, clock, files, locks };
  const waiting = { ...smallOptions, lockWaitMs: 60_000 };
  const log = createCollectingLog();
  const next = createFileChannel(waiting, channelContext({ runtime, log }));
  const started = next.start(never);
  await clock.advance(10_000);
  assert.ok(await isPending(started));
  assert.equal(next.trouble?.code, "CHANNEL_LOCKED", "who asks is told what it waits for");
  const said = log.lines.filter(({ message }) => message.includes("waiting up to 60 s"));
  assert.equal(said.length, 1, "it is said once");
  await channel.stop(never);
  await clock.advance(1000);
  await within("the start", started);
  assert.equal(next.trouble, undefined);
  assert.equal(next.size, 3);
  const third = createFileChannel(waiting, channelContext({ runtime }));
  const stop = new AbortController();
  const given = third.start(stop.signal);
  given.catch(() => undefined);
  assert.ok(await isPending(given));
  stop.abort();
  await assert.rejects(within("giving up", given), { code: "START_ABORTED" });
  await next.stop(never);
});

test("on a real disk the lock is a socket that dies with its holder (T625)", async (context) => {
  const root = await tempDirectory(context);
  const directory = join(root, "d".repeat(120));
  const options = { ...smallOptions, dataDirs: [directory] };
  const first = createFileChannel(options, channelContext({ runtime: systemRuntime }));
  await first.start(never);
  assert.ok((await readdir(directory)).some((name) => /^in_use\..*\.sock$/.test(name)));
  const second = createFileChannel(options, channelContext({ runtime: systemRuntime }));
  await assert.rejects(within("the second start", second.start(never)), {
    code: "CHANNEL_LOCKED",
    message: new RegExp(`agent, process ${process.pid} on .*, holds `),
  });
  await first.stop(never);
  const third = createFileChannel(options, channelContext({ runtime: systemRuntime }));
  await third.start(never);
  await third.stop(never);
  assert.ok(!(await readdir(directory)).some((name) => name.endsWith(".sock")));
});

test("a directory that may not be written is PERMISSION_DENIED or named, not a stack trace", async (context) => {
  const root = await tempDirectory(context);
  await mkdir(join(root, "a"));
  await writeFile(join(root, "a", "file"), "");
  const dataDirs = [join(root, "a", "file", "data")];
  const channel = createFileChannel(
    { ...smallOptions, dataDirs },
    channelContext({ runtime: systemRuntime }),
  );
  await assert.rejects(channel.start(never), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_DIRECTORY");
    assert.ok(error.message.includes(dataDirs[0] as string));
    return true;
  });
});

test("no permission to make the directory is PERMISSION_DENIED", async () => {
  const sim = simDisk();
  const made = sim.make();
  const { files, locks } = made.boot;
  const denied = {
    ...files,
    makeDirectory: () =>
      Promise.reject(Object.assign(new Error("EACCES: /data/one"), { code: "EACCES" })),
  };
  const runtime = { ...made.context.runtime, files: denied, locks };
  const channel = createFileChannel(smallOptions, channelContext({ runtime }));
  await assert.rejects(channel.start(never), { code: "PERMISSION_DENIED" });
});

test("a writer that finds a segment it did not make stops", async () => {
  const sim = simDisk();
  const { channel, boot } = await sim.open();
  await put(channel, sized(1, 1, 10));
  const newest = sim.disk.paths("/data").filter((path) => /\/0.*seg$/.test(path)).sort().at(-1) as string; // prettier-ignore
  const id = Number.parseInt(newest.slice(-20, -4), 16) + 1;
  await boot.files.open(`/data/one/${id.toString(16).padStart(16, "0")}.seg`, "create");
  const puts = range(2, 30).map((one) => put(channel, sized(one, one, 900)));
  const ended = await Promise.allSettled(puts);
  const codes = ended.flatMap((one) => (one.status === "rejected" ? [(one.reason as MillraceError).code] : [])); // prettier-ignore
  assert.ok(codes.length > 0 && codes.every((code) => code === "CHANNEL_FAILED"), codes.join(" "));
  await channel.stop(never);
});

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const done = (): void => {
    pending = false;
  };
  promise.then(done, done);
  await settle();
  return pending;
}
