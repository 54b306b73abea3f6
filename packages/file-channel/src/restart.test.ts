import { EventBatch } from "@millrace/core";
import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "./sim-channel.test.ts";

test("takes not committed come back after a restart (T616, T726, T727) [lost: file | agent stops | nothing]", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  await put(channel, sized(1, 6, 100));
  const open = await channel.beginTake(4);
  assert.equal(open.batch.length, 4);
  await channel.stop(never);
  const again = await sim.open();
  assert.deepEqual(await drain(again.channel, 6), range(1, 6));
});

test("puts left open are not there after a restart; committed ones are, in order (T617, T627, T628, T635)", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  const first = await channel.beginPut(sized(4, 6, 100));
  const second = await channel.beginPut(sized(1, 3, 100));
  const third = await channel.beginPut(sized(7, 9, 100));
  const fourth = await channel.beginPut(sized(10, 10, 100));
  await second.commit();
  await first.commit();
  await third.rollback();
  assert.ok(fourth);
  sim.disk.kill();
  const { channel: again } = await sim.open();
  assert.deepEqual(await drain(again, 6), [1, 2, 3, 4, 5, 6]);
  assert.equal(again.size, 0);
});

test("an empty transaction commits and rolls back, and leaves nothing (T621, T634, T728, T730)", async () => {
  const sim = simDisk();
  const { channel, boot } = await sim.open();
  const before = boot.operations;
  await put(channel, EventBatch.empty);
  await (await channel.beginPut(EventBatch.empty)).rollback();
  assert.equal(boot.operations, before);
  await channel.stop(never);
  const again = await sim.open();
  assert.equal(again.channel.size, 0);
  const stop = AbortSignal.abort();
  assert.equal((await again.channel.beginTake(1, stop)).batch.length, 0);
});

test("events of many sizes come back as they were (T619, T709, T719, T762)", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  const random = createSeededRandom(3);
  const events = Array.from({ length: 60 }, (_, i) => ({
    headers: new Map([["n", String(i)], ...(i % 3 === 0 ? [["empty", ""] as const] : [])]),
    body: random.bytes(random.integer(i % 10 === 0 ? 40_000 : 600)),
  }));
  for (let i = 0; i < events.length; i += 3) {
    await put(channel, EventBatch.fromEvents(events.slice(i, i + 3)));
  }
  sim.disk.powerCut("mix");
  const { channel: again } = await sim.open();
  const got: string[] = [];
  while (got.length < events.length) {
    const take = await again.beginTake(7);
    for (const { headers, body } of take.batch) {
      got.push(JSON.stringify([[...headers], body.toString("hex")]));
    }
    await take.commit();
  }
  const want = events.map(({ headers, body }) => JSON.stringify([[...headers], body.toString("hex")])); // prettier-ignore
  assert.deepEqual(got, want);
});

test("a channel reopened above its capacity starts, refuses puts, and drains (T618, T696, T697)", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  for (let id = 1; id <= 20; id += 5) await put(channel, sized(id, id + 4, 100));
  await channel.stop(never);
  const small = await sim.open({ capacity: 10, keepAliveMs: 1000 });
  assert.equal(small.channel.size, 20);
  const late = small.channel.beginPut(sized(21, 21, 10));
  late.catch(() => undefined);
  await small.clock.advance(1001);
  await assert.rejects(late, { code: "CHANNEL_FULL" });
  assert.deepEqual(await drain(small.channel, 20), range(1, 20));
  await put(small.channel, sized(21, 30, 10));
  await small.channel.stop(never);
  const large = await sim.open();
  assert.equal(large.channel.size, 10);
});

test("partly settled batches come back without their settled events (T626, T725)", async () => {
  const sim = simDisk();
  const { channel, clock } = await sim.open();
  await put(channel, sized(1, 20, 300));
  const take = await channel.beginTake(20);
  await take.commit([
    { from: 0, to: 3 },
    { from: 5, to: 6 },
    { from: 18, to: 20 },
  ]);
  await clock.advance(200);
  sim.disk.powerCut("lose");
  const again = await sim.open();
  const left = [4, 5, ...range(7, 18)];
  assert.equal(again.channel.size, left.length);
  assert.deepEqual(await drain(again.channel, left.length), left);
});

test("totals and the age of the oldest event go on over restarts (T689)", async () => {
  const sim = simDisk();
  const first = await sim.open();
  await put(first.channel, sized(1, 10, 100));
  const take = await first.channel.beginTake(4);
  await take.commit();
  await first.clock.advance(30_000);
  const age = "millrace_channel_oldest_event_age_seconds";
  assert.equal(first.context.metrics.value(age), 30);
  await first.channel.stop(never);
  const { channel, context, clock } = await sim.open();
  await clock.advance(10_000);
  assert.equal(context.metrics.value("millrace_channel_taken_events_total"), 4);
  assert.equal(context.metrics.value("millrace_channel_events"), 6);
  assert.equal(context.metrics.value(age), 10, "from the put time in the record");
  assert.ok((context.metrics.value("millrace_channel_bytes") ?? 0) > 600);
  const counters = channel.readCounters();
  assert.deepEqual(
    [counters["Open"], counters["Closed"], counters["Unhealthy"], counters["ChannelSize"]],
    [true, 0, 0, 6],
    "(T633)",
  );
  await channel.stop(never);
  assert.equal(channel.readCounters()["Open"], false);
});

test("a full channel stays full when a take is rolled back, and the put that waited for a commit is there after a restart (T622, T623)", async () => {
  const sim = simDisk();
  const { channel, clock } = await sim.open({ capacity: 5 });
  await put(channel, sized(1, 5, 100));
  await (await channel.beginTake(1)).rollback();
  const refused = assert.rejects(channel.beginPut(sized(6, 6, 100)), { code: "CHANNEL_FULL" });
  await clock.advance(10);
  await refused;
  const waiting = channel.beginPut(sized(6, 6, 100));
  await (await channel.beginTake(1)).commit();
  await (await waiting).commit();
  await clock.advance(200);
  sim.disk.kill();
  const { channel: again } = await sim.open({ capacity: 5 });
  assert.deepEqual(await drain(again, 5), range(2, 6));
});

test("what was rolled back before a crash is not there, or there once (T630, T636)", async () => {
  const sim = simDisk();
  const { channel, clock } = await sim.open();
  await put(channel, sized(1, 3, 100));
  await (await channel.beginPut(sized(4, 6, 100))).rollback();
  await (await channel.beginTake(2)).rollback();
  await clock.advance(200);
  sim.disk.kill();
  const { channel: again } = await sim.open();
  assert.deepEqual(await drain(again, 3), range(1, 3));
  assert.equal(again.size, 0);
});
