/**
 * Groups under seeded random histories: members that fail, settle parts, hang, change what they take,
 * deliveries that are given up. SEEDS=100000 runs for long; SEED=7 repeats one.
 */
import {
  DeliveryError,
  type EventBatch,
  MillraceError,
  type Ranges,
  type Sink,
  type SinkProcessorContext,
  systemRuntime,
} from "@millrace/core";
import {
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  partContext,
  settle,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandomOrder } from "../sink-selectors/random/random.ts";
import { createRoundRobin } from "../sink-selectors/round-robin/round-robin.ts";
import { sinkProcessor as failover } from "./failover/index.ts";
import type { SinkGroup } from "./group.ts";
import { sinkProcessor as loadBalance } from "./load-balance/index.ts";

const eventsPerBatch = 4;

/** A member that holds each delivery until the test ends it. */
class HeldSink implements Sink {
  readonly batchSize = 10;
  deliveriesInFlight = 1;
  held: { batch: EventBatch; end(how: "ok" | "fail" | "part"): void }[] = [];
  taken = 0;
  readonly got: Map<number, number>;
  constructor(got: Map<number, number>) {
    this.got = got;
  }
  start = () => Promise.resolve();
  stop = () => Promise.resolve();

  deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const keep = (some: readonly number[]): void => {
        for (const n of some) this.got.set(n, (this.got.get(n) ?? 0) + 1);
      };
      const over = (act: () => void): void => {
        this.held = this.held.filter((other) => other !== one);
        giveUp.removeEventListener("abort", abandon);
        act();
      };
      const fail = (settled: Ranges): void =>
        over(() => reject(new DeliveryError("RPC_CONNECTION_LOST", "cut", { settled })));
      const abandon = (): void => fail([]);
      const one = {
        batch,
        end: (how: "ok" | "fail" | "part"): void => {
          const all = numbersOf(batch);
          if (how === "ok") keep(all);
          if (how === "part") keep(all.slice(0, 1));
          if (how === "ok") over(resolve);
          else fail(how === "part" ? [{ from: 0, to: 1 }] : []);
        },
      };
      this.held.push(one);
      giveUp.addEventListener("abort", abandon);
    });
  }
}

async function history(
  seed: number,
): Promise<{ delivered: number; failed: number; steps: number }> {
  const random = createSeededRandom(seed);
  const pick = (below: number): number => random.integer(below);
  const clock = createFakeClock();
  const got = new Map<number, number>();
  const sinks = Array.from({ length: 2 + pick(3) }, () => new HeldSink(got));
  const context: SinkProcessorContext = {
    ...partContext({ runtime: { ...systemRuntime, clock, random } }),
    sinks: new Map(sinks.map((sink, i): [string, Sink] => [`k${i + 1}`, sink])),
    makePart: async <T>() => (pick(2) === 0 ? createRoundRobin() : createRandomOrder(random)) as T,
  };
  const isFailover = pick(2) === 0;
  const group = (
    isFailover
      ? await failover.create(optionsOf(failover.options, {}), context)
      : await loadBalance.create(
          optionsOf(loadBalance.options, { backoff: String(pick(3) > 0) }),
          context,
        )
  ) as SinkGroup;

  let next = 1;
  let delivered = 0;
  let failed = 0;
  const open = new Map<number, AbortController>();
  const all: Promise<void>[] = [];
  const begin = (): void => {
    const from = next;
    next += eventsPerBatch;
    const giveUp = new AbortController();
    open.set(from, giveUp);
    const events = numbers(from, from + eventsPerBatch - 1);
    all.push(
      group.deliver(numberedBatch(from, from + eventsPerBatch - 1), giveUp.signal).then(
        () => {
          open.delete(from);
          delivered++;
          for (const n of events) assert.ok((got.get(n) ?? 0) >= 1, `${n} is nowhere`);
        },
        (error: unknown) => {
          open.delete(from);
          failed++;
          assert.ok(error instanceof MillraceError, String(error));
          if (!(error instanceof DeliveryError)) return;
          for (const { from: first, to } of error.settled) {
            for (const n of events.slice(first, to)) assert.ok((got.get(n) ?? 0) >= 1);
          }
        },
      ),
    );
  };
  const check = (): void => {
    for (const [i, { held, deliveriesInFlight }] of sinks.entries()) {
      const most = Math.max(mostOf[i] ?? 0, deliveriesInFlight);
      assert.ok(held.length <= most, `k${i + 1} has ${held.length}, takes ${most}`);
    }
    assert.ok(group.deliveriesInFlight >= 1);
    const active = group.memberStates().filter(({ state }) => state === "active").length;
    if (isFailover) assert.ok(active <= 1, `${active} active`);
    // Nobody waits while somebody could begin.
    const underWay = sinks.reduce((sum, { held }) => sum + held.length, 0);
    assert.ok(open.size === 0 || underWay > 0, `${open.size} wait, and nothing is under way`);
  };
  /** What was promised when deliveries that are under way began. */
  const mostOf = sinks.map(() => 1);

  const steps = 60;
  for (let step = 0; step < steps; step++) {
    const sink = sinks[pick(sinks.length)] as HeldSink;
    const one = sink.held[pick(Math.max(1, sink.held.length))];
    switch (pick(9)) {
      case 0:
      case 1:
      case 2:
        if (open.size < 12) begin();
        break;
      case 3:
      case 4:
        one?.end("ok");
        break;
      case 5:
        one?.end(pick(3) === 0 ? "part" : "fail");
        break;
      case 6:
        await clock.advance(pick(6000));
        break;
      case 7:
        [...open.values()][pick(Math.max(1, open.size))]?.abort();
        break;
      default: {
        const i = sinks.indexOf(sink);
        sink.deliveriesInFlight = 1 + pick(3);
        mostOf[i] = Math.max(mostOf[i] ?? 1, sink.deliveriesInFlight, sink.held.length);
      }
    }
    await settle(2);
    check();
  }
  while (open.size > 0) {
    for (const sink of sinks) for (const held of sink.held) held.end("ok");
    await settle(2);
    check();
  }
  await Promise.all(all);
  assert.equal(clock.timerCount, 0, "no timer is left behind");
  assert.equal(delivered + failed, all.length);
  return { delivered, failed, steps };
}

test("whatever members do, no delivery hangs, no member gets too much, and what is said arrived did", async () => {
  const only = process.env["SEED"];
  const count = Number(process.env["SEEDS"] ?? "150");
  const seeds = only === undefined ? numbers(1, count) : [Number(only)];
  let delivered = 0;
  let failed = 0;
  for (const seed of seeds) {
    try {
      const seen = await history(seed);
      delivered += seen.delivered;
      failed += seen.failed;
    } catch (error) {
      throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  if (only !== undefined) return;
  assert.ok(delivered > count * 5 && failed > count, `${delivered} delivered, ${failed} failed`);
});
