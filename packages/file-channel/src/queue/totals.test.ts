import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

const reason = { reason: "corrupt_record", intended: "false" };

type Opened = Awaited<ReturnType<ReturnType<typeof simDisk>["open"]>>;

function totals({ context }: Opened): (number | undefined)[] {
  const { metrics } = context;
  return [
    metrics.value("millrace_file_channel_put_events_total"),
    metrics.value("millrace_channel_taken_events_total"),
    metrics.value("millrace_events_discarded_total", reason),
  ];
}

for (const orderly of [true, false]) {
  test(`put, taken and lost events are counted on after ${orderly ? "a stop" : "a power cut"}`, async () => {
    const sim = simDisk();
    const first = await sim.open();
    for (const id of [1, 4, 7]) await put(first.channel, sized(id, id + 2, 600));
    await first.channel.stop(never);
    await (await sim.open()).channel.stop(never);
    const path = sim.disk.paths("/data/one").find((name) => name.endsWith("001.seg")) ?? "";
    const handle = await sim.disk.boot().files.open(path, "write");
    await handle.write([Buffer.from([1, 2, 3, 4])], 4096 + 1024 + 200);
    await handle.datasync();
    const second = await sim.open({ onCorruption: "quarantine" });
    assert.deepEqual(totals(second), [9, 0, 0]);
    const take = await second.channel.beginTake(4);
    await take.commit();
    await put(second.channel, sized(10, 11, 100));
    await second.clock.advance(500);
    assert.deepEqual(totals(second), [11, 4, 3]);
    if (orderly) await second.channel.stop(never);
    else sim.disk.powerCut("lose");
    const third = await sim.open();
    assert.deepEqual(totals(third), [11, 4, 3]);
    assert.deepEqual(await drain(third.channel, 4), range(8, 11));
    assert.deepEqual(totals(third), [11, 8, 3]);
    if (orderly) await third.channel.stop(never);
    else sim.disk.kill();
    assert.deepEqual(totals(await sim.open()).slice(0, 1), [11]);
  });
}

test("the age of the oldest event is known when a start ends, though nothing is read yet", async () => {
  const sim = simDisk();
  const first = await sim.open();
  await put(first.channel, sized(1, 4, 100));
  await first.clock.advance(60_000);
  await put(first.channel, sized(5, 8, 100));
  await drain(first.channel, 4).catch(() => undefined);
  await first.channel.stop(never);
  const reads: string[] = [];
  const second = sim.make({}, { fault: ({ kind, path }) => void (kind === "read" && reads.push(path)) }); // prettier-ignore
  await second.clock.advance(100_000);
  await second.channel.start(never);
  const age = second.context.metrics.value("millrace_channel_oldest_event_age_seconds");
  assert.ok(age !== undefined && age > 0 && age <= 100, `${age}`);
  assert.ok(reads.length > 0);
  await second.channel.stop(never);
});

test("an event spilled to disk has its age while nothing before it is in memory", async () => {
  const sim = simDisk();
  const { channel, clock, context } = await sim.open({ memoryBytes: 1024 });
  for (let id = 1; id <= 9; id += 3) await put(channel, sized(id, id + 2, 900));
  await clock.advance(30_000);
  const age = (): number | undefined =>
    context.metrics.value("millrace_channel_oldest_event_age_seconds");
  assert.equal(age(), 30);
  const take = await channel.beginTake(3);
  await take.commit();
  assert.equal(age(), 30);
  await channel.stop(never);
});
