/** Groups over real Avro sinks and servers, with a cable between them that can be damaged. */
import {
  createSinkCounters,
  createSinkRunner,
  noMetrics,
  type Sink,
  type SinkProcessorContext,
  systemClock,
  systemRuntime,
} from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import {
  createArrayChannel,
  createFakeClock,
  createTcpProxy,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  partContext,
  settle,
  sinkContext,
  type TcpProxy,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createRoundRobin } from "../sink-selectors/round-robin/round-robin.ts";
import { sink as avroSink } from "../sinks/avro/index.ts";
import { sinkProcessor as failover } from "./failover/index.ts";
import { sinkProcessor as loadBalance } from "./load-balance/index.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

/** A collector: it keeps what it stored, and answers as it is told. */
interface Peer {
  readonly proxy: TcpProxy;
  readonly received: number[];
  /** Calls that wait for `answers` to become something else. */
  held: number;
  answers: "OK" | "FAILED" | "nothing";
}

async function peer(t: TestContext, arrived: number[]): Promise<Peer> {
  const waiting = new Set<() => void>();
  let answers: Peer["answers"] = "OK";
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: sinkContext().log,
    async handler(batch) {
      while (answers === "nothing") {
        self.held++;
        await new Promise<void>((resolve) => waiting.add(resolve));
        self.held--;
      }
      if (answers === "FAILED") return "FAILED";
      self.received.push(...numbersOf(batch));
      arrived.push(...numbersOf(batch));
      return "OK";
    },
  });
  await server.start(never);
  t.after(() => server.stop(now));
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  const self: Peer = {
    proxy,
    received: [],
    held: 0,
    get answers() {
      return answers;
    },
    set answers(next) {
      answers = next;
      for (const resolve of waiting) resolve();
      waiting.clear();
    },
  };
  t.after(() => (self.answers = "FAILED"));
  return self;
}

interface Wish {
  readonly count?: number;
  readonly batchesInFlight?: number;
  readonly properties?: Record<string, string>;
}

/**
 * A channel, a runner, a group and its avro sinks, as an agent makes them, over peers. Time stands
 * but for `pass`, so that no timeout and no penalty depends on the machine.
 */
async function run(t: TestContext, type: "failover" | "load_balance", wish: Wish = {}) {
  const { count = 2, batchesInFlight = 1, properties = {} } = wish;
  const clock = createFakeClock();
  const random = { ...systemRuntime.random, integer: () => 200 };
  const runtime = { ...systemRuntime, clock, random };
  const arrived: number[] = [];
  const peers: Peer[] = [];
  const sinks = new Map<string, Sink>();
  for (let i = 0; i < count; i++) {
    const one = await peer(t, arrived);
    peers.push(one);
    const options = optionsOf(avroSink.options, {
      hostname: "127.0.0.1",
      port: String(one.proxy.port),
      "batch-size": "10",
      batchesInFlight: String(batchesInFlight),
    });
    sinks.set(`k${i + 1}`, await avroSink.create(options, sinkContext({ runtime })));
  }
  const parts = partContext({ runtime });
  const context: SinkProcessorContext = {
    ...{ ...parts, name: "g1", sinks },
    makePart: async <T>() => createRoundRobin() as T,
  };
  const group =
    type === "failover"
      ? await failover.create(optionsOf(failover.options, properties), context)
      : await loadBalance.create(
          optionsOf(loadBalance.options, { backoff: "true", ...properties }),
          context,
        );
  const channel = createArrayChannel(clock, { capacity: 10_000 });
  await channel.start(never);
  for (const sink of sinks.values()) await sink.start(never);
  const runner = createSinkRunner({
    ...{ name: "g1", sink: group, channel, clock, random, log: parts.log },
    ...{ counters: createSinkCounters(), metrics: noMetrics },
  });
  await runner.start(never);
  t.after(async () => {
    await runner.stop(now);
    for (const sink of sinks.values()) await sink.stop(now);
  });
  let last = 0;
  return {
    ...{ clock, peers: peers as [Peer, Peer, ...Peer[]], arrived, channel, group },
    lines: () => parts.log.lines.map(({ message }) => message),
    value: (name: string, sink: string, labels: Record<string, string> = {}) =>
      parts.metrics.value(`millrace_sink_member_${name}`, { group: "g1", sink, ...labels }),
    /** Puts so many batches of ten, without waiting for them. */
    async put(batches: number) {
      for (let i = 0; i < batches; i++, last += 10) {
        await (await channel.beginPut(numberedBatch(last + 1, last + 10))).commit();
      }
    },
    /** Waits until the sink is in its penalty; time passes in steps until then, and stands again. */
    async fails(sink: string, stepMs = 0) {
      await waitFor(`the failure of ${sink}`, async () => {
        if (stepMs > 0) await clock.advance(stepMs);
        else await settle();
        return parts.metrics.value("millrace_sink_member_available", { group: "g1", sink }) === 0;
      });
    },
    /** Waits until all that was put is delivered. */
    async delivered() {
      await waitFor("an empty channel", async () => {
        await settle();
        return channel.size === 0;
      });
    },
    /** Every event has arrived; says how many did twice. */
    duplicates() {
      assert.deepEqual(
        [...new Set(arrived)].sort((a, b) => a - b),
        numbers(1, last),
      );
      return arrived.length - last;
    },
  };
}

const faults: {
  name: string;
  reason: RegExp;
  /** Events that have arrived although nobody said so. */
  duplicates: number;
  /** Time that passes before the fault is known. */
  stepMs?: number;
  damage(peer: Peer): unknown;
  repair(peer: Peer): unknown;
}[] = [
  {
    name: "is gone: refused",
    reason: /^(ECONNREFUSED|ECONNRESET)$/,
    duplicates: 0,
    async damage({ proxy }) {
      await proxy.setMode("refuse");
      proxy.cut();
    },
    repair: ({ proxy }) => proxy.setMode("pass"),
  },
  {
    name: "hangs: stalled, half-open",
    reason: /^RPC_TIMEOUT$/,
    duplicates: 0,
    stepMs: 1000,
    damage: ({ proxy }) => proxy.setMode("stall"),
    async repair({ proxy }) {
      proxy.cut();
      await proxy.setMode("pass");
    },
  },
  {
    name: "stores and is not heard: its replies are lost",
    reason: /^RPC_TIMEOUT$/,
    duplicates: 10,
    stepMs: 1000,
    damage: ({ proxy }) => proxy.setMode("swallow-replies"),
    repair: ({ proxy }) => proxy.setMode("pass"),
  },
  {
    name: "is full: answers FAILED",
    reason: /^RPC_STATUS_FAILED$/,
    duplicates: 0,
    damage: (peer) => (peer.answers = "FAILED"),
    repair: (peer) => (peer.answers = "OK"),
  },
];

for (const { name, reason, duplicates, stepMs, damage, repair } of faults) {
  test(`failover: the active collector ${name}; the next serves, in order, until it is back (T440)`, async (t) => {
    const { peers, put, delivered, fails, arrived, clock, lines, value, ...rest } = await run(t, "failover"); // prettier-ignore
    const [first, second] = peers;
    await put(3);
    await delivered();
    assert.deepEqual([first.received, second.received], [numbers(1, 30), []]);
    await damage(first);
    await put(3);
    await fails("k1", stepMs);
    await delivered();
    assert.deepEqual(second.received, numbers(31, 60));
    const penaltyMs = (value("penalty_seconds", "k1") ?? 0) * 1000;
    assert.ok(penaltyMs > 0 && penaltyMs <= 2000, String(penaltyMs));
    const [line = ""] = lines().filter((text) => text.startsWith("k1 "));
    const [, why = ""] =
      /^k1 (\S+), 1 batch of 10 rolled back, penalty 2 s; now k2/.exec(line) ?? [];
    assert.match(why, reason, line);
    assert.equal(value("failing_info", "k1", { reason: why }), 1);
    await repair(first);
    await put(2);
    await delivered();
    assert.deepEqual(second.received, numbers(31, 80), "its penalty is not over");
    await clock.advance(2000);
    await put(3);
    await delivered();
    const after = first.received.filter((n) => n > 80);
    assert.deepEqual(after, numbers(81, 110), "one trial batch, then all");
    assert.equal(second.received.length, 50);
    assert.equal(rest.duplicates(), duplicates);
    const firstArrivals = arrived.filter((n, i) => arrived.indexOf(n) === i);
    assert.deepEqual(firstArrivals, numbers(1, 110));
    assert.deepEqual([value("available", "k1"), value("failures_total", "k1")], [1, 1]);
  });

  test(`load_balance: a collector ${name}; the others share its turns until it is back`, async (t) => {
    const { peers, put, delivered, fails, clock, value, ...rest } = await run(t, "load_balance", { count: 3 }); // prettier-ignore
    const [first, ...others] = peers;
    await put(6);
    await delivered();
    assert.ok(peers.every(({ received }) => received.length > 0));
    const before = first.received.length;
    await damage(first);
    await put(9);
    await fails("k1", stepMs);
    await delivered();
    assert.equal(first.received.length - before, duplicates);
    assert.equal(value("failures_total", "k1"), 1);
    assert.equal(value("available", "k1"), 0);
    await repair(first);
    await clock.advance(2000);
    await put(30);
    await delivered();
    assert.ok(first.received.length > before + duplicates, "it has turns again");
    assert.ok(others.every(({ received }) => received.length >= 60));
    assert.equal(rest.duplicates(), duplicates);
    assert.equal(value("available", "k1"), 1);
  });
}

for (const type of ["failover", "load_balance"] as const) {
  test(`${type}: a collector dies with three batches in flight: one penalty, each batch once elsewhere`, async (t) => {
    const { peers, put, delivered, value, channel, group, ...rest } = await run(t, type, {
      batchesInFlight: 3,
    });
    const [first, second] = peers;
    assert.equal(group.deliveriesInFlight, type === "failover" ? 3 : 6);
    // The first call of a connection, with its handshake, is answered before others follow.
    await put(2);
    await delivered();
    for (const one of peers) one.answers = "nothing";
    await put(6);
    await waitFor("three calls", () => first.held === 3 && second.held === (type === "failover" ? 0 : 3)); // prettier-ignore
    assert.equal(channel.size, 60);
    await first.proxy.setMode("refuse");
    assert.equal(first.proxy.cut(), 1);
    await waitFor("a penalty", () => value("available", "k1") === 0);
    assert.equal(group.deliveriesInFlight, 3);
    second.answers = "OK";
    await delivered();
    assert.equal(value("failures_total", "k1"), 1);
    assert.equal(value("penalty_seconds", "k1"), 2);
    const late = second.received.filter((n) => n > 20);
    assert.deepEqual(late.sort((a, b) => a - b), numbers(21, 80)); // prettier-ignore
    assert.equal(rest.duplicates(), 0);
  });

  test(`${type}: with every collector gone the batches stay in the channel, and go when one is back`, async (t) => {
    const { peers, put, delivered, channel, clock, lines, ...rest } = await run(t, type);
    for (const { proxy } of peers) {
      await proxy.setMode("refuse");
      proxy.cut();
    }
    await put(4);
    await waitFor("a failed round", () => lines().some((line) => /no member is left/.test(line)));
    for (let seconds = 0; seconds < 60; seconds++) await clock.advance(1000);
    assert.equal(channel.size, 40);
    await peers[1].proxy.setMode("pass");
    await waitFor("a new try", async () => {
      await clock.advance(1000);
      return peers[1].proxy.openConnections > 0;
    });
    await delivered();
    assert.deepEqual(peers[1].received, numbers(1, 40));
    assert.equal(rest.duplicates(), 0);
  });
}

test("load_balance: a slow collector holds what it has, and the fast ones take the rest", async (t) => {
  const { peers, put, delivered, channel } = await run(t, "load_balance", { count: 3 });
  const [slow, ...fast] = peers;
  slow.answers = "nothing";
  await put(30);
  await waitFor("the others to be done", () => channel.size === 10);
  assert.equal(slow.held, 1);
  assert.equal(fast.reduce((sum, { received }) => sum + received.length, 0), 290); // prettier-ignore
  slow.answers = "OK";
  await delivered();
  assert.equal(slow.received.length, 10);
});
