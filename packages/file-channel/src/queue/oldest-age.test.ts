import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, simDisk, sized } from "../sim-channel.test.ts";

type Opened = Awaited<ReturnType<ReturnType<typeof simDisk>["open"]>>;

function ageOf({ context }: Opened): number | undefined {
  return context.metrics.value("millrace_channel_oldest_event_age_seconds");
}

test("small puts that share their memory have an age each: a backlog of one event is as old as that event", async () => {
  const sim = simDisk();
  const opened = await sim.open({ memoryBytes: 1024 * 1024 });
  await put(opened.channel, sized(1, 1, 100));
  const ages: (number | undefined)[] = [];
  for (let id = 2; id <= 12; id++) {
    await opened.clock.advance(60_000);
    ages.push(ageOf(opened));
    await put(opened.channel, sized(id, id, 100));
    const take = await opened.channel.beginTake(1);
    await take.commit();
  }
  assert.deepEqual(
    ages,
    Array.from({ length: 11 }, () => 60),
  );
  await opened.channel.stop(never);
});

test("a channel that stops at a damaged segment goes on showing how old its backlog is", async () => {
  const sim = simDisk();
  for (const id of [1, 4]) {
    const { channel } = await sim.open();
    await put(channel, sized(id, id + 2, 1000));
    await channel.stop(never);
  }
  await (await sim.open()).channel.stop(never);
  const path = sim.disk.paths("/data/one").find((name) => name.endsWith("002.seg")) ?? "";
  const { content, length } = sim.disk.file(path);
  const at = content.subarray(0, length).indexOf("4           ");
  assert.ok(at > 4096);
  sim.disk.file(path).damage(at, Buffer.alloc(4));
  const opened = await sim.open();
  await opened.clock.advance(50_000);
  assert.equal(ageOf(opened), 50);
  await drain(opened.channel, 3);
  await assert.rejects(opened.channel.beginTake(1), { code: "CHANNEL_CORRUPT" });
  assert.equal(ageOf(opened), 50);
  await opened.channel.stop(never);
});
