import { type Channel, EventBatch, parseOptions, systemRuntime } from "@millrace/core";
import {
  type BootOptions,
  channelContext,
  channelContract,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  settle,
  SimulatedDisk,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { limitsOf, options } from "./options.ts";
import { createSpillableMemoryChannel } from "./spillablememory-channel.ts";

const never = new AbortController().signal;
const mebibyte = 1024 * 1024;

channelContract("the spillablememory channel", async (limits, test) => {
  const clock = createFakeClock();
  const context = channelContext({ runtime: { ...systemRuntime, clock } });
  const { capacity, transactionCapacity, keepAliveMs } = limits;
  const channel = createSpillableMemoryChannel(
    optionsOf(options, {
      dataDirs: join(await tempDirectory(test), "data"),
      memoryCapacity: "4",
      overflowCapacity: String(capacity - 4),
      overflowTimeout: String(keepAliveMs / 1000),
      transactionCapacity: String(transactionCapacity),
      minimumRequiredSpace: "1",
    }),
    context,
  );
  return { channel, clock, counters: context.counters };
});

/** Channels one after another on one simulated disk. */
function onDisk(capacityBytes = 512 * mebibyte) {
  const random = createSeededRandom(1);
  const disk = new SimulatedDisk({ random, capacityBytes });
  const make = (properties: Record<string, string> = {}, boot: BootOptions = {}) => {
    const { files, locks } = disk.boot(boot);
    const clock = createFakeClock();
    const context = channelContext({ runtime: { clock, random, files, locks } });
    const given = { dataDirs: "/data/one", minimumRequiredSpace: "0", ...properties };
    const channel = createSpillableMemoryChannel(optionsOf(options, given), context);
    return { channel, clock, context };
  };
  return {
    disk,
    async open(properties?: Record<string, string>, boot?: BootOptions) {
      const made = make(properties, boot);
      await made.channel.start(never);
      return made;
    },
  };
}

async function put(channel: Channel, from: number, to: number): Promise<void> {
  await (await channel.beginPut(numberedBatch(from, to))).commit();
}

async function drain(channel: Channel, max = 1000): Promise<number[]> {
  const all: number[] = [];
  while (channel.size > 0) {
    const take = await channel.beginTake(max);
    all.push(...numbersOf(take.batch));
    await take.commit();
  }
  return all;
}

test("Flume's options become the file channel's limits (T790, T796)", () => {
  const limits = (given: Record<string, string> = {}) => limitsOf(optionsOf(options, given));
  assert.deepEqual(limits(), { capacity: 100_010_000, keepAliveMs: 3000, memoryBytes: 5_000_000 });
  assert.deepEqual(
    limits({ memoryCapacity: "1000", overflowCapacity: "5000", avgEventSize: "2000", overflowTimeout: "0" }), // prettier-ignore
    { capacity: 6000, keepAliveMs: 0, memoryBytes: 2_000_000 },
  );
  const memoryBytes = (given: Record<string, string>) => limits(given).memoryBytes;
  assert.equal(memoryBytes({ byteCapacity: "700000" }), 700_000);
  assert.equal(memoryBytes({ byteCapacity: "700000", memoryBytes: "800000" }), 800_000);
  assert.equal(memoryBytes({ byteCapacity: "100" }), 65_536, "the least");
  assert.equal(memoryBytes({ memoryCapacity: "0", byteCapacity: "700000" }), 65_536, "disk only");
  assert.equal(limits({ overflowCapacity: "0" }).capacity, 10_000);
  assert.equal(limits({ memoryCapacity: "0", overflowCapacity: "0" }).capacity, 10_000);
});

test("options that mean nothing here are noted, and overflowCapacity 0 says what it comes to", () => {
  const ignored = ["capacity", "keep-alive", "byteCapacityBufferPercentage", "overflowDeactivationThreshold"]; // prettier-ignore
  const { notes, problems } = parseOptions(options, new Map(ignored.map((key) => [key, "1"])));
  assert.deepEqual([notes.map(({ key }) => key), problems], [ignored, []]);
  const noted = definition.notes?.(optionsOf(options, { overflowCapacity: "0" }), []) ?? [];
  assert.match(noted[0]?.message ?? "", /holds 10000 events, which are on disk too/);
  assert.deepEqual(definition.notes?.(optionsOf(options, {}), []), []);
  const small = { memoryCapacity: "10", overflowCapacity: "20", transactionCapacity: "31" };
  const [problem] = definition.check?.(optionsOf(options, small)) ?? [];
  assert.match(problem?.message ?? "", /31 is over capacity, which is 30/);
});

test("without an overflow the channel is full with memoryCapacity events (T787)", async () => {
  const { channel } = await onDisk().open({
    ...{ memoryCapacity: "2", overflowCapacity: "0", overflowTimeout: "0" },
    transactionCapacity: "2",
  });
  await put(channel, 1, 2);
  await assert.rejects(channel.beginPut(numberedBatch(3, 3)), { code: "CHANNEL_FULL" });
});

test("with an overflow it holds as many events more (T786, T788)", async () => {
  const { channel } = await onDisk().open({
    ...{ memoryCapacity: "2", overflowCapacity: "4", overflowTimeout: "0" },
    transactionCapacity: "4",
  });
  await put(channel, 1, 2);
  await put(channel, 3, 6);
  await assert.rejects(channel.beginPut(numberedBatch(7, 7)), { code: "CHANNEL_FULL" });
  assert.deepEqual(await drain(channel), numbers(1, 6));
});

test("new limits hold while it runs: a waiting put is served, and shrinking loses nothing (T796)", async () => {
  const { channel, clock, context } = await onDisk().open({
    ...{ memoryCapacity: "2", overflowCapacity: "2" },
    transactionCapacity: "4",
  });
  const reconfigure = (memoryCapacity: string, overflowCapacity: string): void =>
    channel.reconfigure(
      optionsOf(options, {
        ...{ dataDirs: "/data/one", minimumRequiredSpace: "0" },
        ...{ memoryCapacity, overflowCapacity, transactionCapacity: "2", overflowTimeout: "1" },
      }),
    );
  await put(channel, 1, 4);
  const waiting = channel.beginPut(numberedBatch(5, 6));
  reconfigure("2", "4");
  await (await waiting).commit();
  assert.deepEqual([channel.capacity, channel.size], [6, 6]);
  assert.deepEqual(
    context.log.lines.filter(({ level }) => level === "warn"),
    [],
  );
  reconfigure("1", "2");
  assert.match(
    context.log.lines.at(-1)?.message ?? "",
    /c1 holds 6 events, more than its new limits/,
  );
  const refused = assert.rejects(channel.beginPut(numberedBatch(7, 7)), { code: "CHANNEL_FULL" });
  await clock.advance(1000);
  await refused;
  await assert.rejects(channel.beginPut(numberedBatch(7, 9)), { code: "TRANSACTION_TOO_LARGE" });
  for (let i = 0; i < 2; i++) await (await channel.beginTake(4)).commit();
  await put(channel, 7, 7);
  assert.deepEqual(await drain(channel), [5, 6, 7], "a take has the new transactionCapacity");
});

test("far more than memory holds comes out in order, with rollbacks on the way, and is counted (T791, T792, T795, T798)", async () => {
  const { channel, context } = await onDisk().open({ memoryCapacity: "10" });
  const body = Buffer.alloc(1000);
  for (let from = 1; from <= 2000; from += 50) {
    const batch = numberedBatch(from, from + 49);
    const events = [...batch].map(({ headers }) => ({ headers, body }));
    await (await channel.beginPut(EventBatch.fromEvents(events))).commit();
  }
  assert.equal(channel.size, 2000);
  const all: number[] = [];
  for (let round = 0; channel.size > 0; round++) {
    const take = await channel.beginTake(70);
    if (round % 3 === 0) {
      await take.rollback();
      continue;
    }
    all.push(...Array.from(take.batch, ({ headers }) => Number(headers.get("n"))));
    await take.commit();
  }
  assert.deepEqual(all, numbers(1, 2000));
  assert.equal(context.counters.EventPutSuccessCount, 2000);
  assert.equal(context.counters.EventTakeSuccessCount, 2000);
});

for (const { memory, row } of [
  { memory: "100", row: "T797" },
  { memory: "0", row: "T799" },
]) {
  test(`many puts and takes at once lose nothing and give each once, with memoryCapacity ${memory} (${row})`, async () => {
    const { channel } = await onDisk().open({ memoryCapacity: memory });
    const seen = new Map<number, number>();
    const [writers, perWriter] = [5, 200];
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; i < perWriter; i += 4) {
        const from = writer * perWriter + i + 1;
        await put(channel, from, from + 3);
      }
    };
    const read = async (): Promise<void> => {
      for (let round = 0; seen.size < writers * perWriter; round++) {
        const stop = new AbortController();
        const taking = channel.beginTake(7, stop.signal);
        if (channel.size === 0) stop.abort();
        const take = await taking;
        if (round % 5 === 0) {
          await take.rollback();
          continue;
        }
        for (const number of numbersOf(take.batch)) seen.set(number, (seen.get(number) ?? 0) + 1);
        await take.commit();
        await settle();
      }
    };
    await Promise.all([0, 1, 2, 3, 4].map(write).concat([read(), read(), read()]));
    assert.deepEqual(
      [...seen.keys()].sort((a, b) => a - b),
      numbers(1, writers * perWriter),
    );
    assert.ok([...seen.values()].every((times) => times === 1));
    assert.equal(channel.size, 0);
  });
}

test("events go over a restart as in a file channel [lost: spillablememory | agent stops | nothing] (T789)", async () => {
  const sim = onDisk();
  const before = await sim.open({ memoryCapacity: "1000" });
  await put(before.channel, 1, 100);
  await (await before.channel.beginTake(30)).commit();
  const lent = await before.channel.beginTake(10);
  assert.equal(lent.batch.length, 10);
  await before.channel.stop(never);
  const { channel } = await sim.open({ memoryCapacity: "5" });
  assert.deepEqual(await drain(channel), numbers(31, 100));
});

test("what memory holds in Flume survives a power cut here [lost: spillablememory | power cut | nothing; some twice]", async () => {
  for (const how of ["lose", "keep", "mix"] as const) {
    const sim = onDisk();
    const before = await sim.open({ memoryCapacity: "1000" });
    await put(before.channel, 1, 60);
    await put(before.channel, 61, 100);
    await (await before.channel.beginTake(30)).commit();
    sim.disk.powerCut(how);
    const { channel } = await sim.open();
    const again = await drain(channel);
    assert.deepEqual(again, numbers(again[0] ?? 0, 100), "the last of them, in order");
    assert.ok((again[0] ?? 99) <= 31, `from ${again[0]}`);
  }
});

test("a full disk refuses puts, gives all it has, and takes more again [lost: spillablememory | disk full | nothing]", async () => {
  const { channel, clock } = await onDisk(2 * mebibyte).open({ segmentBytes: "65536" });
  const events = () => numberedBatch(1, 20).map(({ headers }) => ({ headers, body: Buffer.alloc(500) })); // prettier-ignore
  let stored = 0;
  await assert.rejects(
    async () => {
      for (; stored < 5000; stored += 20) await (await channel.beginPut(events())).commit();
    },
    { code: "DISK_FULL" },
  );
  assert.ok(stored > 100, `${stored} events were stored`);
  assert.equal((await drain(channel)).length, stored);
  await clock.advance(5000);
  await (await channel.beginPut(events())).commit();
  assert.equal(channel.size, 20);
});

test("a disk that fails to sync fails the put and keeps what was stored [lost: spillablememory | disk fails | nothing; a failed put may be there]", async () => {
  const sim = onDisk();
  let failing = false;
  const fault: BootOptions["fault"] = ({ kind }) =>
    failing && kind === "datasync" ? "EIO" : undefined;
  const { channel } = await sim.open({}, { fault });
  await put(channel, 1, 10);
  failing = true;
  await assert.rejects(put(channel, 11, 20), { code: "CHANNEL_FAILED" });
  await channel.stop(never);
  sim.disk.kill();
  const { channel: again } = await sim.open();
  const all = await drain(again);
  assert.deepEqual(all.slice(0, 10), numbers(1, 10));
  assert.ok(all.length === 10 || all.length === 20, "the failed put is whole or not there");
});

test("damaged bytes stop the takes and name what is damaged [lost: spillablememory | bytes damaged | what is damaged, named]", async () => {
  const sim = onDisk();
  const before = await sim.open();
  for (let n = 1; n <= 30; n += 10) await put(before.channel, n, n + 9);
  await before.channel.stop(never);
  const path = sim.disk.paths("/data").find((name) => name.endsWith(".seg")) ?? "";
  const { content, length } = sim.disk.file(path);
  const at = content.subarray(0, length).indexOf(numberedBatch(15, 15).bytesAt(0));
  assert.ok(at > 0, "event 15 is in the log");
  content.writeUInt8(content.readUInt8(at + 2) ^ 0xff, at + 2);
  const outcome = async (): Promise<number[]> => {
    const { channel } = await sim.open();
    return drain(channel, 10);
  };
  await assert.rejects(outcome(), (error: Error & { code?: string }) => {
    assert.equal(error.code, "CHANNEL_CORRUPT");
    assert.match(error.message, /\.seg/);
    return true;
  });
});

test("its log is a file channel's: the same directory opens as either", async (context) => {
  const directory = join(await tempDirectory(context), "data");
  const properties = { dataDirs: directory, minimumRequiredSpace: "1" };
  const given = optionsOf(options, properties);
  const first = await definition.create(given, channelContext());
  await first.start(never);
  await put(first, 1, 5);
  await first.stop(never);
  const { channel: fileChannel } = await import("../file/index.ts");
  const second = await fileChannel.create(
    optionsOf(fileChannel.options, properties),
    channelContext(),
  );
  await second.start(never);
  await put(second, 6, 9);
  await second.stop(never);
  const third = await definition.create(given, channelContext());
  await third.start(never);
  assert.deepEqual(await drain(third), numbers(1, 9));
  await third.stop(never);
  assert.ok((await readdir(directory)).includes("channel.json"));
  assert.ok(third.durable && definition.guarantee?.atLeastOnce === true);
});
