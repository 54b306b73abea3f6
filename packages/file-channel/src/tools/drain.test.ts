import { DeliveryError, type EventBatch, MillraceError, silentLog } from "@millrace/core";
import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { idsOf } from "../sim-channel.test.ts";
import { copyOf, type TestChannel, toolContext, writtenChannel } from "./damaged-channel.test.ts";
import { drainChannel, type DrainOptions, type DrainReport, type Receiver } from "./drain.ts";

const original = writtenChannel();
const everything: DrainOptions = { max: 10_000, firstWaitMs: 10, longestWaitMs: 40 };

interface Drained {
  readonly report: DrainReport;
  readonly waits: readonly number[];
}

async function drainTo(
  sim: TestChannel,
  deliver: Receiver["deliver"],
  options: Partial<DrainOptions> = {},
  interrupted = new AbortController().signal,
): Promise<Drained> {
  const waits: number[] = [];
  const clock = createFakeClock();
  const { runtime } = toolContext(sim.disk);
  const observer = {
    opened: () => undefined,
    delivered: () => undefined,
    waiting(_error: MillraceError, waitMs: number) {
      waits.push(waitMs);
      void Promise.resolve().then(() => clock.advance(waitMs));
    },
  };
  const context = { runtime: { ...runtime, clock }, log: silentLog, interrupted, observer };
  const whole = { ...everything, ...options };
  const report = await drainChannel(sim.dataDirs, { batchSize: 6, deliver }, whole, context);
  return { report, waits };
}

function collector(): { ids: number[]; deliver(batch: EventBatch): Promise<void> } {
  const ids: number[] = [];
  return {
    ids,
    deliver(batch) {
      ids.push(...idsOf(batch));
      return Promise.resolve();
    },
  };
}

const lost = (): MillraceError => new MillraceError("RPC_CONNECTION_LOST", "cut");

test("drain delivers everything once and in order, and leaves an empty channel", async () => {
  const sim = await copyOf(await original);
  const { ids, deliver } = collector();
  const { report } = await drainTo(sim, deliver);
  assert.deepEqual(ids, sim.held);
  assert.equal(report.delivered, sim.held.length);
  assert.equal(report.left, 0);
  assert.ok(report.deliveredBytes > sim.held.length * 100);
  const again = await drainTo(sim, () => Promise.reject(lost()));
  assert.deepEqual([again.report.delivered, again.waits], [0, []]);
});

test("drain settles what was delivered and keeps the rest", async () => {
  const sim = await copyOf(await original);
  const first = collector();
  const { report } = await drainTo(sim, first.deliver, { max: 10 });
  assert.deepEqual(first.ids, sim.held.slice(0, 10));
  assert.equal(report.left, sim.held.length - 10);
  const second = collector();
  await drainTo(sim, second.deliver);
  assert.deepEqual(second.ids, sim.held.slice(10));
});

test("drain waits for a receiver that dies and returns, longer each time", async () => {
  const sim = await copyOf(await original);
  const { ids, deliver } = collector();
  let calls = 0;
  const { waits } = await drainTo(sim, (batch) => {
    calls++;
    return calls >= 2 && calls <= 6 ? Promise.reject(lost()) : deliver(batch);
  });
  assert.deepEqual(ids, sim.held);
  assert.deepEqual(waits, [10, 20, 40, 40, 40]);
});

test("drain does not deliver again what a receiver took of a batch", async () => {
  const sim = await copyOf(await original);
  const { ids, deliver } = collector();
  let calls = 0;
  await drainTo(sim, async (batch) => {
    if (++calls !== 2) return deliver(batch);
    await deliver(batch.slice(0, 2));
    throw new DeliveryError("RPC_CONNECTION_LOST", "cut", { settled: [{ from: 0, to: 2 }] });
  });
  assert.deepEqual(ids, sim.held);
});

test("drain stops in order when it is told to, and at what can never be delivered", async () => {
  const sim = await copyOf(await original);
  const { ids, deliver } = collector();
  const enough = new AbortController();
  let calls = 0;
  const { report } = await drainTo(
    sim,
    (batch) => {
      if (++calls === 3) enough.abort();
      return calls === 3 ? Promise.reject(lost()) : deliver(batch);
    },
    {},
    enough.signal,
  );
  assert.deepEqual([report.delivered, report.left, report.interrupted], [7, 31, true]);
  const refuse = (): Promise<void> =>
    Promise.reject(new MillraceError("EVENT_REJECTED", "never in my life"));
  await assert.rejects(drainTo(sim, refuse), (error: MillraceError) => {
    assert.equal(error.code, "EVENT_REJECTED");
    assert.match(error.message, /^0 events were delivered, 31 stay in the channel: never/);
    return true;
  });
  const rest = collector();
  await drainTo(sim, rest.deliver);
  assert.deepEqual([...ids, ...rest.ids], sim.held);
});

test("drain makes no channel where none is", async () => {
  const sim = await copyOf(await original);
  const nowhere = { ...sim, dataDirs: ["/data/nothing"] };
  await assert.rejects(
    drainTo(nowhere, () => Promise.resolve()),
    { code: "CHANNEL_DIRECTORY" },
  );
  assert.deepEqual(sim.disk.paths("/data/nothing"), []);
});
