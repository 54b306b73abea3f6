/** Many agents whose one collector is gone: when each of them asks again. Seeded chance, fake time. */
import {
  createSinkCounters,
  createSinkRunner,
  MillraceError,
  noMetrics,
  type Random,
  type Sink,
  silentLog,
  systemRuntime,
} from "@millrace/core";
import {
  createArrayChannel,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  numberedBatch,
  optionsOf,
  partContext,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sinkProcessor as failover } from "./failover/index.ts";

const never = new AbortController().signal;
const agents = 400;

/** As an agent has it: the sink alone, or in a failover group whose other member is gone as well. */
async function asAgent(sink: Sink, grouped: boolean, clock: FakeClock, random: Random) {
  if (!grouped) return sink;
  const gone: Sink = { ...sink, deliver: () => Promise.reject(down()) };
  const context = {
    ...partContext({ runtime: { ...systemRuntime, clock, random } }),
    sinks: new Map([
      ["k1", sink],
      ["k2", gone],
    ]),
  };
  return failover.create(optionsOf(failover.options, { "priority.k1": "1" }), context);
}

const down = (): MillraceError => new MillraceError("RPC_CONNECT_FAILED", "refused");

for (const { name, grouped } of [
  { name: "a sink alone", grouped: false },
  { name: "a failover group", grouped: true },
]) {
  test(`400 agents with ${name}, cut off in one instant, do not come back in one`, async (t) => {
    const clock = createFakeClock();
    const random = createSeededRandom(42);
    const asked: number[] = [];
    const back: number[] = [];
    let isUp = false;
    for (let i = 0; i < agents; i++) {
      const sink: Sink = {
        batchSize: 10,
        deliveriesInFlight: 1,
        start: async () => {},
        stop: async () => {},
        async deliver() {
          asked.push(clock.monotonic());
          if (!isUp) throw down();
          back.push(clock.monotonic());
        },
      };
      const channel = createArrayChannel(clock, { keepAliveMs: 1_000_000 });
      await channel.start(never);
      await (await channel.beginPut(numberedBatch(1, 1))).commit();
      const runner = createSinkRunner({
        ...{ name: "k1", channel, clock, random, log: silentLog, metrics: noMetrics },
        sink: await asAgent(sink, grouped, clock, random),
        counters: createSinkCounters(),
      });
      await runner.start(never);
      t.after(() => runner.stop(AbortSignal.abort()));
    }
    await clock.advance(0);
    assert.equal(asked.filter((ms) => ms === 0).length, agents, "all at once, the first time");
    await clock.advance(20_000);
    assert.ok(asked.length >= agents * 4, `${asked.length} tries: they do not stand still`);
    isUp = true;
    await clock.advance(30_000);
    assert.equal(back.length, agents);
    const windowMs = 100;
    const counts = new Map<number, number>();
    for (const ms of back) {
      const window = Math.floor(ms / windowMs);
      counts.set(window, (counts.get(window) ?? 0) + 1);
    }
    const most = Math.max(...counts.values());
    assert.ok(most <= agents / 8, `${most} of ${agents} within ${windowMs} ms`);
    const spreadMs = Math.max(...back) - Math.min(...back);
    assert.ok(spreadMs >= 1500, `all within ${spreadMs} ms`);
  });
}
