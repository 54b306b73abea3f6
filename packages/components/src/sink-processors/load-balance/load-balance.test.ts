import {
  defineSinkSelector,
  DeliveryError,
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkProcessorContext,
  systemRuntime,
} from "@millrace/core";
import {
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbersOf,
  optionsOf,
  partContext,
  sinkContract,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sinkSelector as random } from "../../sink-selectors/random/index.ts";
import { sinkSelector as roundRobin } from "../../sink-selectors/round-robin/index.ts";
import { sinkProcessor } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

/** A selector of a user's own: always the last first. */
const lastFirst = defineSinkSelector({
  type: "last_first",
  aliases: [],
  summary: "The last first.",
  options: {},
  example: "",
  create: async () => (members) => [...members].reverse(),
});

const selectors = [roundRobin, random, lastFirst];

/** A sink that counts the events it took, and fails while it is down. */
class TestSink implements Sink {
  readonly deliveriesInFlight = 5;
  batchSize = 10;
  down = false;
  asked = 0;
  taken: number[] = [];
  flushed = 0;
  start = () => Promise.resolve();
  stop = () => Promise.resolve();
  flush = () => void this.flushed++;

  async deliver(batch: EventBatch): Promise<void> {
    this.asked++;
    if (this.down) throw new MillraceError("RPC_CONNECT_FAILED", "refused");
    this.taken.push(...numbersOf(batch));
  }
}

async function make(properties: Record<string, string> = {}, count = 3) {
  const clock = createFakeClock();
  const sinks = Array.from({ length: count }, () => new TestSink());
  const parts = partContext({
    runtime: { ...systemRuntime, clock, random: createSeededRandom(11) },
  });
  const context: SinkProcessorContext = {
    ...parts,
    name: "g1",
    makePart: async <T>({ type }: { type: string }): Promise<T> => {
      const named = selectors.find((one) => one.type === type.toLowerCase());
      assert.ok(named !== undefined, type);
      return (await named.create({}, parts)) as T;
    },
    sinks: new Map(sinks.map((sink, i) => [`k${i + 1}`, sink])),
  };
  const group = await sinkProcessor.create(optionsOf(options, properties), context);
  let next = 1;
  const deliver = async (batches: number) => {
    for (let i = 0; i < batches; i++) await group.deliver(numberedBatch(next, next++), never);
  };
  const shares = () => sinks.map(({ taken }) => taken.length);
  return { group, sinks, clock, parts, deliver, shares, given: () => next - 1 };
}

sinkContract("the load_balance processor", async () => (await make()).group, {
  makeStuck: async () => {
    const { group, sinks } = await make();
    for (const sink of sinks) {
      sink.deliver = (_batch, giveUp?: AbortSignal) =>
        new Promise((_resolve, reject) => {
          giveUp?.addEventListener("abort", () =>
            reject(new MillraceError("RPC_TIMEOUT", "given up")),
          );
        });
    }
    return group;
  },
});

test("without a selector, and with round_robin, members get equal shares (T441, T451)", async () => {
  for (const properties of [{}, { selector: "ROUND_ROBIN" }]) {
    const { deliver, shares, sinks } = await make(properties);
    await deliver(9);
    assert.deepEqual(shares(), [3, 3, 3]);
    assert.deepEqual(sinks[1]?.taken, [2, 5, 8]);
  }
});

for (const [selector, number] of [
  ["round_robin", "T446"],
  ["random", "T442"],
] as const) {
  test(`with ${selector} the one member that works gets all (${number})`, async () => {
    const { deliver, shares, sinks, given } = await make({ selector });
    for (const sink of sinks.slice(1)) sink.down = true;
    await deliver(30);
    assert.deepEqual(shares(), [given(), 0, 0]);
  });
}

test("without backoff a failing member's turns go to the next (T447)", async () => {
  const { deliver, shares, sinks } = await make();
  (sinks[1] as TestSink).down = true;
  await deliver(30);
  assert.deepEqual(shares(), [10, 0, 20]);
  assert.equal(sinks[1]?.asked, 10, "it is asked every time");
});

test("with random a failing member's batches go to the others, none is lost (T444)", async () => {
  const { deliver, shares, sinks } = await make({ selector: "random" });
  (sinks[1] as TestSink).down = true;
  await deliver(200);
  const [first = 0, second, third = 0] = shares();
  assert.equal(second, 0);
  assert.equal(first + third, 200);
  assert.ok(first > 50 && third > 50, `${first} and ${third}`);
});

test("with random, shares differ and nothing is lost (T445)", async () => {
  const { deliver, shares } = await make({ selector: "random" });
  await deliver(300);
  assert.equal(
    shares().reduce((a, b) => a + b),
    300,
  );
  assert.ok(shares().every((share) => share > 50));
  assert.ok(new Set(shares()).size > 1);
});

test("with backoff a failed member has no turn until its time, the others share it (T448)", async () => {
  const { deliver, shares, sinks, clock } = await make({ backoff: "true" });
  const failing = sinks[1] as TestSink;
  failing.down = true;
  await deliver(1);
  await deliver(1);
  failing.down = false;
  await deliver(40);
  assert.equal(failing.asked, 1);
  assert.ok(Math.abs((shares()[0] ?? 0) - (shares()[2] ?? 0)) <= 2, `equal shares: ${shares()}`);
  await clock.advance(2400);
  await deliver(3);
  assert.ok(failing.asked >= 2, "after 2 s and a fifth it has turns again");
});

test("with backoff each further failure leaves the member out for longer (T449)", async () => {
  const { deliver, sinks, clock } = await make({ backoff: "true", "selector.maxTimeOut": "9000" });
  const failing = sinks[0] as TestSink;
  failing.down = true;
  const pauses: number[] = [];
  for (let round = 0; round < 5; round++) {
    const asked = failing.asked;
    for (let ms = 0; failing.asked === asked; ms += 100) {
      assert.ok(ms <= 20_000, "it has a turn some time");
      await deliver(3);
      if (failing.asked > asked) pauses.push(ms);
      await clock.advance(100);
    }
  }
  const [, second = 0, third = 0, fourth = 0, fifth = 0] = pauses;
  assert.ok(second >= 1500 && second <= 2500, String(pauses));
  assert.ok(third >= 3100 && third <= 4900, String(pauses));
  assert.ok(fourth >= 6300 && fourth <= 9100, String(pauses));
  assert.ok(fifth >= 7100 && fifth <= 9100, String(pauses));
});

test("a member that recovers gets equal shares again, and its row of failures is over (T450)", async () => {
  const { deliver, shares, sinks, clock } = await make({ backoff: "true" });
  const failing = sinks[0] as TestSink;
  for (let round = 0; round < 5; round++) {
    failing.down = true;
    await deliver(3);
    failing.down = false;
    await clock.advance(2400);
    await deliver(3);
    assert.equal(failing.taken.length > 0, true, `round ${round}: out for 2 s, not for longer`);
    const before = shares();
    await deliver(9);
    assert.deepEqual(
      shares().map((share, i) => share - (before[i] ?? 0)),
      [3, 3, 3],
    );
    failing.taken = [];
  }
});

test("with random and backoff failed members are left out, come back, and all failing throws (T443)", async () => {
  const { deliver, sinks, clock, group } = await make({ backoff: "true", selector: "random" });
  for (const sink of sinks.slice(1)) sink.down = true;
  await deliver(50);
  assert.ok(sinks.slice(1).every(({ asked }) => asked === 1));
  (sinks[0] as TestSink).down = true;
  await assert.rejects(group.deliver(numberedBatch(1, 1), never), (error) => {
    assert.ok(error instanceof DeliveryError && error.code === "SINK_GROUP_UNAVAILABLE");
    assert.match(error.message, /group g1 .*: k1 RPC_CONNECT_FAILED, penalised .* k2 .* k3 /);
    assert.ok((error.retryAfterMs ?? 0) >= 1600 && (error.retryAfterMs ?? 0) <= 2400);
    return true;
  });
  const asked = sinks.map((sink) => sink.asked);
  await assert.rejects(group.deliver(numberedBatch(1, 1), never), {
    code: "SINK_GROUP_UNAVAILABLE",
  });
  assert.deepEqual(
    sinks.map((sink) => sink.asked),
    asked,
    "with all left out nobody is asked",
  );
  for (const sink of sinks) sink.down = false;
  await clock.advance(2400);
  await deliver(60);
  assert.ok(sinks.every(({ taken }) => taken.length > 5));
});

test("without backoff all failing throws after each was asked, and the runner chooses when to retry", async () => {
  const { sinks, group } = await make();
  for (const sink of sinks) sink.down = true;
  for (let round = 1; round <= 3; round++) {
    await assert.rejects(group.deliver(numberedBatch(1, 1), never), (error) => {
      assert.ok(error instanceof DeliveryError && error.code === "SINK_GROUP_UNAVAILABLE");
      assert.equal(error.retryAfterMs, undefined);
      return true;
    });
    assert.deepEqual(
      sinks.map(({ asked }) => asked),
      [round, round, round],
    );
  }
});

test("only what a member did not settle goes to the next", async () => {
  const { sinks, group } = await make();
  (sinks[0] as TestSink).deliver = () =>
    Promise.reject(
      new DeliveryError("SINK_WRITE_FAILED", "partly", { settled: [{ from: 1, to: 3 }] }),
    );
  await group.deliver(numberedBatch(1, 4), never);
  assert.deepEqual(sinks[1]?.taken, [1, 4]);
});

test("a member's refusal of events is told, not handed on, and does not leave it out", async () => {
  const { sinks, group, deliver } = await make({ backoff: "true" });
  (sinks[0] as TestSink).deliver = () =>
    Promise.reject(
      new DeliveryError("EVENT_REJECTED", "bad", {
        settled: [{ from: 0, to: 1 }],
        rejected: [{ from: 1, to: 2 }],
      }),
    );
  await assert.rejects(group.deliver(numberedBatch(1, 2), never), {
    code: "EVENT_REJECTED",
    rejected: [{ from: 1, to: 2 }],
  });
  await deliver(2);
  assert.deepEqual([sinks[1]?.asked, sinks[2]?.asked], [1, 1]);
  await assert.rejects(group.deliver(numberedBatch(1, 2), never), { code: "EVENT_REJECTED" });
});

test("the log has a line when a member fails and one when it delivers again", async () => {
  const { deliver, sinks, parts, clock } = await make({ backoff: "true" });
  (sinks[0] as TestSink).down = true;
  await deliver(12);
  (sinks[0] as TestSink).down = false;
  await clock.advance(3000);
  await deliver(12);
  const messages = parts.log.lines.map(({ message }) => message);
  assert.equal(messages.length, 2, String(messages));
  assert.match(
    messages[0] ?? "",
    /^k1 RPC_CONNECT_FAILED, 1 batch of 1 rolled back, left out for [12]\.?\d? s; now k2 \(after 0 ms\)$/,
  );
  assert.equal(messages[1], "k1 delivers again");
});

test("the metrics show each member's health and penalty", async () => {
  const { deliver, sinks, parts, clock } = await make({ backoff: "true" });
  const value = (name: string, sink: string) =>
    parts.metrics.value(`millrace_sink_member_${name}`, { group: "g1", sink });
  (sinks[0] as TestSink).down = true;
  await deliver(1);
  assert.deepEqual([value("available", "k1"), value("available", "k2")], [0, 1]);
  const penalty = value("penalty_seconds", "k1") ?? 0;
  assert.ok(penalty >= 1.6 && penalty <= 2.4);
  assert.equal(value("penalty_seconds", "k2"), 0);
  (sinks[0] as TestSink).down = false;
  await clock.advance(2400);
  await deliver(3);
  assert.equal(value("available", "k1"), 1);
});

test("the group asks for as much as the member likes that had the last batch", async () => {
  const { group, sinks, deliver } = await make();
  (sinks[1] as TestSink).batchSize = 77;
  assert.equal(group.batchSize, 10);
  await deliver(2);
  assert.equal(group.batchSize, 77);
  group.flush?.();
  assert.deepEqual(
    sinks.map(({ flushed }) => flushed),
    [1, 1, 1],
  );
});

test("fewer than two sinks are CONFIG_INVALID", async () => {
  await assert.rejects(make({}, 1), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
    assert.match(error.message, /g1 has 1 sinks; .* two or more/);
    return true;
  });
});

test("load_balance is known by alias and by class (T454)", () => {
  assert.equal(sinkProcessor.type, "load_balance");
  assert.deepEqual(sinkProcessor.aliases, ["org.apache.flume.sink.LoadBalancingSinkProcessor"]);
});

test("selector.maxTimeOut 0 means 30 s, as in Flume", async () => {
  const { deliver, sinks, clock, parts } = await make({
    backoff: "true",
    "selector.maxTimeOut": "0",
  });
  (sinks[0] as TestSink).down = true;
  let longest = 0;
  for (let i = 0; i < 12; i++) {
    await deliver(3);
    longest = Math.max(
      longest,
      parts.metrics.value("millrace_sink_member_penalty_seconds", { group: "g1", sink: "k1" }) ?? 0,
    );
    await clock.advance(31_000);
  }
  assert.ok(longest > 24 && longest <= 30, String(longest));
});

test("a custom selector's order is used, for the turn and for who stands in (T452)", async () => {
  const { deliver, shares, sinks } = await make({ selector: "last_first" });
  await deliver(4);
  assert.deepEqual(shares(), [0, 0, 4]);
  (sinks[2] as TestSink).down = true;
  await deliver(2);
  assert.deepEqual(shares(), [0, 2, 4]);
  (sinks[1] as TestSink).down = true;
  await deliver(1);
  assert.deepEqual(shares(), [1, 2, 4]);
});

test("a group without backoff is noted, and that order is not kept", () => {
  const backoff = (text: string) => optionsOf(options, { backoff: text });
  assert.deepEqual(sinkProcessor.notes?.(backoff("true"), ["k1", "k2"]), []);
  const [note] = sinkProcessor.notes?.(backoff("false"), ["k1", "k2"]) ?? [];
  assert.equal(note?.key, "backoff");
  assert.match(note.message, /asked again, and a batch waits/);
  assert.match(sinkProcessor.breaksOrder?.(backoff("true")) ?? "", /several sinks/);
});
