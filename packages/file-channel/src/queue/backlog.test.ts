import type { EventBatch } from "@millrace/core";
import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { EventQueue } from "./event-queue.ts";

test("a backlog over memoryBytes is read back from disk, in order, while puts go on", async () => {
  const sim = simDisk();
  const { channel, boot } = await sim.open({ memoryBytes: 20_000 });
  for (let id = 1; id <= 400; id += 5) await put(channel, sized(id, id + 4, 300));
  const ids: number[] = [];
  let next = 401;
  const before = boot.operations;
  while (channel.size > 0) {
    const take = await channel.beginTake(7);
    ids.push(...idsOf(take.batch));
    await take.commit();
    if (next <= 600) {
      await put(channel, sized(next, next + 2, 300));
      next += 3;
    }
  }
  assert.deepEqual(ids, range(1, next - 1));
  assert.ok(boot.operations > before);
  const take = await channel.beginTake(1, AbortSignal.abort());
  assert.equal(take.batch.length, 0);
  await channel.stop(never);
});

test("nothing is read behind the last unsettled event: its segment may be freed by then", async () => {
  const mebibyte = 1024 * 1024;
  const large = { segmentBytes: 8 * mebibyte, groupBytesMax: mebibyte, memoryBytes: 8 * mebibyte };
  const sim = simDisk();
  const { channel } = await sim.open(large);
  for (let id = 1; id <= 5; id++) await put(channel, sized(id, id, 1_000_000));
  const take = await channel.beginTake(5);
  await take.commit([{ from: 1, to: 5 }]);
  await channel.stop(never);
  await (await sim.open(large)).channel.stop(never);
  const positions: number[] = [];
  const watch = ({ kind, path, position = 0 }: Operation): undefined => {
    if (kind === "read" && path.endsWith("01.seg")) positions.push(position);
  };
  const made = sim.make(large, { fault: watch });
  await made.channel.start(never);
  assert.deepEqual(await drain(made.channel, 1), [1]);
  await made.clock.advance(1000);
  assert.ok(positions.length > 1 && Math.max(...positions) < mebibyte, positions.join(" "));
  await made.channel.stop(never);
});

test("bytes held come to nothing again, whatever was cut, returned, spilled and read back", async () => {
  const sim = simDisk();
  const first = await sim.open({ memoryBytes: 5000 });
  for (let id = 1; id <= 90; id += 9) await put(first.channel, sized(id, id + 8, 400));
  for (let i = 0; i < 10; i++) {
    const take = await first.channel.beginTake(7);
    await take.commit([{ from: i % 3, to: 4 }]);
  }
  await first.channel.stop(never);
  const { channel, context } = await sim.open({ memoryBytes: 5000 });
  const bytes = () => context.metrics.value("millrace_channel_bytes") ?? -1;
  assert.ok(bytes() > 10_000);
  for (let id = 91; id <= 99; id += 3) await put(channel, sized(id, id + 2, 700));
  await drain(channel, channel.size);
  assert.equal(bytes(), 0);
  assert.equal(channel.size, 0);
  await channel.stop(never);
});

test("byteCapacity bounds what is held, padding included, and one batch over it is refused", async () => {
  const sim = simDisk();
  const { channel, clock, context } = await sim.open({ byteCapacity: 10_240 });
  await assert.rejects(channel.beginPut(sized(1, 1, 20_000)), { code: "TRANSACTION_TOO_LARGE" });
  for (let id = 1; id <= 10; id++) await put(channel, sized(id, id, 900));
  assert.equal(context.metrics.value("millrace_channel_bytes"), 10_240);
  assert.equal(context.metrics.value("millrace_channel_capacity_bytes"), 10_240);
  const late = channel.beginPut(sized(11, 11, 10));
  late.catch(() => undefined);
  await clock.advance(11);
  await assert.rejects(late, { code: "CHANNEL_FULL" });
  await drain(channel, 10);
  await put(channel, sized(11, 11, 10));
  await channel.stop(never);
});

test("a batch over transactionCapacity or transactionBytesMax is TRANSACTION_TOO_LARGE", async () => {
  const { channel } = await simDisk().open({ transactionCapacity: 5, transactionBytesMax: 2000 });
  await assert.rejects(channel.beginPut(sized(1, 6, 10)), { code: "TRANSACTION_TOO_LARGE" });
  await assert.rejects(channel.beginPut(sized(1, 2, 1500)), { code: "TRANSACTION_TOO_LARGE" });
  await put(channel, sized(1, 5, 300));
  await channel.stop(never);
});

test("a record larger than a segment gets a segment of its own size", async () => {
  const sim = simDisk();
  const { channel } = await sim.open();
  await put(channel, sized(1, 3, 30_000));
  await put(channel, sized(4, 5, 100));
  sim.disk.kill();
  const again = await sim.open();
  assert.deepEqual(await drain(again.channel, 5), range(1, 5));
});

const place = { segment: undefined as never, offset: 0, end: 0 };

function stored(sequence: number, batch: EventBatch) {
  return { batch, run: "r", sequence, roomBytes: 512, putTimeMs: 0 };
}

test("small puts share a slab; a lent part does not keep a large one alive", () => {
  const queue = new EventQueue(1_000_000);
  for (let i = 0; i < 100; i++) queue.append(stored(1 + i, sized(i, i, 500)), place);
  assert.equal(queue.heldBytes, 65_536, "one slab for 50 KB in 100 puts");
  const large = sized(100, 199, 1000);
  queue.append(stored(101, large), place);
  const before = queue.heldBytes;
  for (const piece of queue.take(100)) queue.forget(piece);
  const most = queue.take(80);
  for (const piece of most) queue.forget(piece);
  assert.ok(before > 165_000 && queue.heldBytes < 25_000, `${queue.heldBytes} for 20 events`);
  const rest = queue.take(100);
  assert.deepEqual(
    rest.flatMap(({ batch }) => idsOf(batch)),
    range(180, 199),
  );
});

test("a batch that holds a slab many times its size is copied out of it", () => {
  const queue = new EventQueue(10_000_000);
  const whole = sized(1, 1000, 1000);
  queue.append(stored(1, whole.slice(10, 40)), place);
  assert.ok(queue.heldBytes < 40_000, `${queue.heldBytes}`);
});

test("a take ends where the run changes or a sequence is missing", () => {
  const queue = new EventQueue(1_000_000);
  queue.append(stored(1, sized(1, 2, 10)), place);
  queue.append({ ...stored(3, sized(3, 4, 10)), run: "s" }, place);
  queue.append({ ...stored(9, sized(9, 9, 10)), run: "s" }, place);
  const lengths = [queue.take(10), queue.take(10), queue.take(10)].map((pieces) =>
    pieces.map(({ batch }) => batch.length),
  );
  assert.deepEqual(lengths, [[2], [2], [1]]);
});

test("takes of new events wait while settled ranges are too many to write down", async () => {
  const { channel, clock } = await simDisk().open({
    capacity: 100_000,
    transactionCapacity: 50_000,
    segmentBytes: 4 * 1024 * 1024,
    groupBytesMax: 4 * 1024 * 1024,
    memoryBytes: 10_000_000,
    keepAliveMs: 3000,
  });
  await put(channel, sized(1, 40_000, 12));
  const take = await channel.beginTake(36_000);
  const odd = Array.from({ length: 18_000 }, (_, i) => ({ from: 2 * i + 1, to: 2 * i + 2 }));
  const lent = await channel.beginTake(1000);
  await take.commit(odd);
  await clock.advance(200);
  const held = await channel.beginTake(50_000);
  assert.equal(
    held.batch.at(0).body.toString("latin1", 0, 12).trim(),
    "1",
    "what came back is served",
  );
  let back = held.batch.length;
  await held.commit();
  while (back < 18_000) {
    const more = await channel.beginTake(50_000);
    back += more.batch.length;
    assert.ok(Number(more.batch.at(0).body.toString("latin1", 0, 12)) <= 36_000);
    await more.commit();
  }
  await lent.commit();
  const fresh = channel.beginTake(50_000);
  await clock.advance(101);
  assert.equal((await fresh).batch.length, 3000, "once the acknowledgements are synced");
  await channel.stop(never);
});
