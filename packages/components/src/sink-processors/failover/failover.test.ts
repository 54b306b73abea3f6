import {
  DeliveryError,
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkProcessorContext,
  systemRuntime,
} from "@millrace/core";
import {
  createFakeClock,
  numberedBatch,
  numbers,
  optionsOf,
  partContext,
  settle,
  sinkContract,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { down, errorOf, open, ScriptedSink } from "../scripted-sink.test.ts";
import { createFailoverProcessor } from "./failover.ts";
import { sinkProcessor } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

const threePriorities = { "priority.k1": "30", "priority.k2": "20", "priority.k3": "10" };

/** A group of k1, k2, k3 by falling priority, on a clock that stands; chance changes no delay. */
function make(properties: Record<string, string> = threePriorities) {
  const clock = createFakeClock();
  const random = { bytes: (count: number) => Buffer.alloc(count), integer: () => 200 };
  const parts = partContext({ runtime: { ...systemRuntime, clock, random } });
  const [k1, k2, k3] = [new ScriptedSink(), new ScriptedSink(), new ScriptedSink()];
  const context: SinkProcessorContext = {
    ...parts,
    name: "g1",
    sinks: new Map<string, Sink>([
      ["k1", k1],
      ["k2", k2],
      ["k3", k3],
    ]),
  };
  const group = createFailoverProcessor(optionsOf(options, properties), context);
  return {
    group,
    clock,
    k1,
    k2,
    k3,
    lines: () => parts.log.lines.map(({ message }) => message),
    states: () => group.memberStates().map(({ state }) => state),
    value: (name: string, sink: string) =>
      parts.metrics.value(`millrace_sink_member_${name}`, { group: "g1", sink }),
    deliver: (from = 1, to = from, giveUp = never) =>
      group.deliver(numberedBatch(from, to), giveUp),
  };
}

sinkContract("the failover processor", () => make().group, {
  makeStuck: () => {
    const { group, k1 } = make();
    k1.deliver = (_batch: EventBatch, giveUp?: AbortSignal) =>
      new Promise((_resolve, reject) => {
        giveUp?.addEventListener("abort", () => reject(new MillraceError("RPC_TIMEOUT", "end")));
      });
    return group;
  },
});

test("row 1: the active member gets every batch while it delivers", async () => {
  const { deliver, k1, k2, k3, states, lines } = make();
  for (let n = 1; n <= 5; n++) await deliver(n);
  assert.deepEqual([k1.asked.length, k2.asked.length, k3.asked.length], [5, 0, 0]);
  assert.deepEqual(states(), ["active", "standby", "standby"]);
  assert.deepEqual(lines(), []);
});

test("row 2: a batch the active member fails on goes to the next in the same call", async () => {
  const { deliver, k1, k2, states, lines, clock } = make();
  const answer = open();
  k1.otherwise = down;
  k2.answers = [answer.promise];
  const delivery = deliver(1, 1000);
  await clock.advance(38);
  answer.resolve();
  await delivery;
  assert.deepEqual(k2.asked, [numbers(1, 1000)]);
  assert.deepEqual(states(), ["penalised", "active", "standby"]);
  assert.deepEqual(lines(), [
    "k1 ECONNREFUSED, 1 batch of 1,000 rolled back, penalty 2 s; now k2 (after 38 ms)",
  ]);
});

test("row 2: when the next fails too, the one behind it is asked, and each failure has a line", async () => {
  const { deliver, k1, k2, k3, lines } = make();
  k1.otherwise = k2.otherwise = down;
  await deliver(7);
  assert.deepEqual(k3.asked, [[7]]);
  assert.deepEqual(lines(), [
    "k1 ECONNREFUSED, 1 batch of 1 rolled back, penalty 2 s",
    "k2 ECONNREFUSED, 1 batch of 1 rolled back, penalty 2 s; now k3 (after 0 ms)",
  ]);
});

test("row 3: only what the failed member did not settle goes on, also when all fail", async () => {
  const { deliver, k1, k2, k3, lines } = make();
  const partly = (from: number, to: number) =>
    new DeliveryError("SINK_WRITE_FAILED", "partly", { settled: [{ from, to }] });
  k1.answers = [partly(2, 6)];
  k2.answers = [partly(0, 1)];
  k3.answers = [down];
  const error = await errorOf(deliver(1, 10));
  assert.deepEqual(k2.asked, [[1, 2, 7, 8, 9, 10]]);
  assert.deepEqual(k3.asked, [[2, 7, 8, 9, 10]]);
  assert.equal(error.code, "SINK_GROUP_UNAVAILABLE");
  assert.deepEqual(error.settled, [
    { from: 0, to: 1 },
    { from: 2, to: 6 },
  ]);
  assert.match(lines()[0] ?? "", /^k1 SINK_WRITE_FAILED, 6 of a batch of 10 rolled back/);
});

test("row 4: events rejected for good are told, no other member is asked, no one is penalised", async () => {
  const { deliver, k1, k2, states } = make();
  k1.answers = [
    new DeliveryError("EVENT_REJECTED", "too old", {
      settled: [{ from: 0, to: 1 }],
      rejected: [{ from: 1, to: 3 }],
    }),
  ];
  const error = await errorOf(deliver(1, 5));
  assert.equal(error.code, "EVENT_REJECTED");
  assert.deepEqual(error.settled, [{ from: 0, to: 1 }]);
  assert.deepEqual(error.rejected, [{ from: 1, to: 3 }]);
  assert.deepEqual(k2.asked, []);
  assert.deepEqual(states(), ["active", "standby", "standby"]);
});

test("row 5: a delivery that is given up penalises no one and asks no one else", async () => {
  const { deliver, k1, k2, states } = make();
  const giveUp = new AbortController();
  const answer = open();
  k1.answers = [answer.promise];
  const delivery = errorOf(deliver(1, 4, giveUp.signal));
  giveUp.abort();
  answer.reject(new DeliveryError("RPC_TIMEOUT", "stopped", { settled: [{ from: 0, to: 2 }] }));
  const error = await delivery;
  assert.equal(error.code, "RPC_TIMEOUT");
  assert.deepEqual(error.settled, [{ from: 0, to: 2 }]);
  assert.deepEqual([k2.asked, states()], [[], ["active", "standby", "standby"]]);
});

test("row 6: a penalised member is not offered anything", async () => {
  const { deliver, k1, k2, clock } = make();
  k1.answers = [down];
  await deliver(1);
  for (let n = 2; n <= 10; n++) {
    await clock.advance(200);
    await deliver(n);
  }
  assert.deepEqual([k1.asked.length, k2.asked.length], [1, 10]);
});

test("row 7: when the penalty ends, nothing happens until a batch comes", async () => {
  const { deliver, k1, states, clock } = make();
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  assert.deepEqual(states(), ["standby", "active", "standby"]);
  assert.equal(clock.timerCount, 0);
  assert.equal(k1.asked.length, 1);
});

test("row 8: one batch is a better member's trial; others in flight go to the active one", async () => {
  const { deliver, k1, k2, clock } = make();
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  const trial = open();
  k1.answers = [trial.promise];
  const first = deliver(2);
  await deliver(3);
  await deliver(4);
  assert.deepEqual(k1.asked, [[1], [2]]);
  assert.deepEqual(k2.asked, [[1], [3], [4]]);
  trial.resolve();
  await first;
  await deliver(5);
  assert.deepEqual(k1.asked.at(-1), [5]);
});

test("row 9: a trial that succeeds makes the member active again (T440)", async () => {
  const { deliver, k1, k2, clock, states, lines } = make();
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  for (let n = 2; n <= 4; n++) await deliver(n);
  assert.deepEqual(k1.asked, [[1], [2], [3], [4]]);
  assert.equal(k2.asked.length, 1);
  assert.deepEqual(states(), ["active", "standby", "standby"]);
  assert.equal(lines().at(-1), "k1 answered a trial batch, active again");
});

test("row 9: a trial that is answered by a rejection succeeds as well", async () => {
  const { deliver, k1, clock, states } = make();
  k1.answers = [down, new MillraceError("EVENT_REJECTED", "bad")];
  await deliver(1);
  await clock.advance(2000);
  assert.equal((await errorOf(deliver(2))).code, "EVENT_REJECTED");
  assert.deepEqual(states(), ["active", "standby", "standby"]);
});

test("row 10: a trial that fails raises the penalty, and its batch goes to the active member at once", async () => {
  const { deliver, k1, k2, clock, states, lines, value } = make();
  k1.otherwise = down;
  await deliver(1);
  const penalties = [];
  for (let n = 2; n <= 6; n++) {
    await clock.advance((value("penalty_seconds", "k1") ?? 0) * 1000);
    await deliver(n);
    penalties.push(value("penalty_seconds", "k1"));
  }
  assert.deepEqual(penalties, [4, 8, 16, 30, 30]);
  assert.deepEqual(
    k2.asked.map(([n]) => n),
    [1, 2, 3, 4, 5, 6],
  );
  assert.deepEqual(states(), ["penalised", "active", "standby"]);
  assert.equal(lines()[1], "k1 failed a trial batch (ECONNREFUSED), penalty 4 s; k2 stays active");
});

test("row 10: of two members that are due, one is tried in a call, so that the batch waits once", async () => {
  const { deliver, k1, k2, k3, clock } = make();
  k1.otherwise = k2.otherwise = down;
  await deliver(1);
  await clock.advance(2000);
  await deliver(2);
  assert.deepEqual([k1.asked.length, k2.asked.length, k3.asked.length], [2, 1, 2]);
  await deliver(3);
  assert.deepEqual([k1.asked.length, k2.asked.length, k3.asked.length], [2, 2, 3]);
});

test("row 11: a trial that is given up leaves the member due: the next batch is its trial", async () => {
  const { deliver, k1, clock } = make();
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  const giveUp = new AbortController();
  const answer = open();
  k1.answers = [answer.promise];
  const delivery = errorOf(deliver(2, 2, giveUp.signal));
  giveUp.abort();
  answer.reject(down);
  await delivery;
  await deliver(3);
  assert.deepEqual(k1.asked.at(-1), [3]);
});

test("row 12: a member that is due but outranked is asked only when no live one took the batch", async () => {
  const { deliver, k1, k2, k3, clock, states, value } = make();
  k1.answers = [down];
  k2.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  await deliver(2);
  assert.deepEqual(states(), ["active", "standby", "standby"]);
  await deliver(3);
  assert.equal(k2.asked.length, 1, "k2 is due, and k1 works");
  assert.equal(value("available", "k2"), 1, "nothing says that it does not work");
  k1.otherwise = k3.otherwise = down;
  await deliver(4);
  assert.deepEqual(k2.asked.at(-1), [4]);
  assert.deepEqual(k3.asked.length, 2, "k3 is live and comes before k2, which is only due");
});

test("row 13: a failure that began before the penalty does not raise it again", async () => {
  const { deliver, k1, value } = make();
  k1.deliveriesInFlight = 2;
  const [a, b] = [open(), open()];
  k1.answers = [a.promise, b.promise];
  const both = [deliver(1), deliver(2)];
  await settle();
  a.reject(down);
  b.reject(down);
  await Promise.all(both);
  assert.equal(value("penalty_seconds", "k1"), 2);
});

test("row 13: a success that began before the penalty does not end it", async () => {
  const { deliver, k1, k2, value } = make();
  k1.deliveriesInFlight = 2;
  const [a, b] = [open(), open()];
  k1.answers = [a.promise, b.promise];
  const both = [deliver(1), deliver(2)];
  await settle();
  a.reject(down);
  await settle();
  b.resolve();
  await Promise.all(both);
  assert.equal(value("penalty_seconds", "k1"), 2);
  assert.deepEqual(k2.asked, [[1]]);
});

test("row 14: with no one left, SINK_GROUP_UNAVAILABLE names each error and when to try again", async () => {
  const { deliver, k1, k2, k3, clock, lines, value } = make();
  k1.answers = [down];
  await deliver(1);
  await clock.advance(500);
  k2.otherwise = new MillraceError("RPC_TIMEOUT", "late");
  k3.otherwise = new TypeError("a mistake");
  const error = await errorOf(deliver(2));
  assert.equal(error.code, "SINK_GROUP_UNAVAILABLE");
  assert.equal(error.retryAfterMs, 1500);
  assert.equal(
    error.message,
    "no member of sink group g1 could take the batch: k1 ECONNREFUSED, penalised for 1.5 s; " +
      "k2 RPC_TIMEOUT, penalised for 2 s; k3 UNEXPECTED, penalised for 2 s",
  );
  assert.match(lines().at(-1) ?? "", /^k3 UNEXPECTED, .*; no member is left, next try in 1.5 s$/);
  assert.deepEqual(
    ["k1", "k2", "k3"].map((sink) => value("available", sink)),
    [0, 0, 0],
  );
  const again = await errorOf(deliver(2));
  assert.equal(again.code, "SINK_GROUP_UNAVAILABLE");
  assert.deepEqual(k2.asked, [[1], [2]], "nobody is asked while all are penalised");
  await clock.advance(1500);
  await deliver(2);
  assert.deepEqual(k1.asked, [[1], [2]], "the first whose time is over");
});

test("rows 8 and 12: while one member is on trial, another that is due gets the other batches", async () => {
  const { deliver, k1, k2, k3, clock } = make();
  k1.answers = [down];
  k2.answers = [down];
  k3.answers = [down];
  await errorOf(deliver(1));
  await clock.advance(2000);
  const trial = open();
  k1.answers = [trial.promise];
  const first = deliver(2);
  await deliver(3);
  assert.deepEqual(
    [k1.asked, k2.asked],
    [
      [[1], [2]],
      [[1], [3]],
    ],
  );
  trial.resolve();
  await first;
});

test("row 14: with maxpenalty 0 the runner chooses when to try again", async () => {
  const { deliver, k1, k2, k3 } = make({ ...threePriorities, maxpenalty: "0" });
  k1.otherwise = k2.otherwise = k3.otherwise = down;
  assert.equal((await errorOf(deliver(1))).retryAfterMs, undefined);
});

test("nothing is lost and lower members serve in order while higher ones are down (T440)", async () => {
  const { deliver, k1, k2, k3, clock } = make({ ...threePriorities, maxpenalty: "10000" });
  let next = 1;
  const batches = async (count: number) => {
    for (let i = 0; i < count; i++) await deliver(next++);
  };
  await batches(10);
  k1.otherwise = down;
  await batches(10);
  k2.otherwise = down;
  await batches(10);
  k2.otherwise = "ok";
  await clock.advance(10_000);
  await batches(10);
  k1.otherwise = "ok";
  await clock.advance(10_000);
  await batches(10);
  const delivered = [k1, k2, k3].map(({ asked }) => asked.flat());
  assert.deepEqual(delivered[2], numbers(21, 30).concat([31]));
  assert.deepEqual(
    delivered[0]?.filter((n) => n > 40),
    numbers(41, 50),
  );
  assert.deepEqual(
    [...new Set(delivered.flat())].sort((a, b) => a - b),
    numbers(1, 50),
  );
});

test("the active member says how much the group wants, and every member is told to flush", async () => {
  const { group, deliver, k1, k2, k3 } = make();
  k2.batchSize = 77;
  k2.deliveriesInFlight = 3;
  assert.deepEqual([group.batchSize, group.deliveriesInFlight], [10, 1]);
  k1.otherwise = down;
  await deliver(1);
  assert.deepEqual([group.batchSize, group.deliveriesInFlight], [77, 3]);
  group.flush?.();
  assert.deepEqual([k1.flushed, k2.flushed, k3.flushed], [1, 1, 1]);
});

test("the metrics show each member's health", async () => {
  const { deliver, k1, clock, value } = make();
  const available = () => ["k1", "k2", "k3"].map((sink) => value("available", sink));
  assert.deepEqual(available(), [1, 1, 1]);
  k1.answers = [down];
  await deliver(1);
  assert.deepEqual(available(), [0, 1, 1]);
  await clock.advance(2000);
  assert.deepEqual(available(), [0, 1, 1], "its trial is still to come");
  await deliver(2);
  assert.deepEqual(available(), [1, 1, 1]);
});

test("members without a priority come last, in the order of the group", async () => {
  const { deliver, k1, k2, k3, group } = make({ "priority.k3": "-1" });
  assert.deepEqual(
    group.memberStates().map(({ sink }) => sink),
    ["k3", "k1", "k2"],
  );
  k3.otherwise = down;
  await deliver(1);
  assert.deepEqual([k1.asked.length, k2.asked.length], [1, 0]);
});

test("a priority for a sink that is not in the group is CONFIG_INVALID by name", () => {
  assert.throws(
    () => make({ "priority.k9": "1" }),
    (error) => {
      assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
      assert.match(error.message, /processor\.priority\.k9 names sink k9.*g1: k1, k2, k3/);
      assert.equal(error.context["key"], "processor.priority.k9");
      return true;
    },
  );
});

test("priorities that are no numbers, or that two sinks share, are problems", () => {
  const problems = (properties: Record<string, string>) =>
    sinkProcessor.check?.(optionsOf(options, properties));
  assert.deepEqual(problems(threePriorities), []);
  assert.deepEqual(problems({ "priority.k1": "high" }), [
    { key: "priority.k1", message: '"high" is not a whole number' },
  ]);
  assert.deepEqual(problems({ "priority.k1": "5", "priority.k2": "+5" }), [
    { key: "priority.k2", message: "is 5, which k1 has: give each its own" },
  ]);
});

test("sinks without a priority are noted, with what becomes of them", () => {
  const notes = (properties: Record<string, string>, ...sinks: string[]) =>
    sinkProcessor.notes?.(optionsOf(options, properties), sinks);
  assert.deepEqual(notes(threePriorities, "k1", "k2", "k3"), []);
  assert.deepEqual(notes({}, "k1"), []);
  assert.deepEqual(notes({ "priority.k1": "5" }, "k1", "k2"), [
    {
      key: "priority.k2",
      message: "is not given: the sink gets a negative one, in the order of the group's sinks",
    },
  ]);
  assert.deepEqual(notes({}, "k2", "k1"), [
    { key: "priority", message: "no sink has one: they are used in this order: k2, k1" },
  ]);
});

test("failover is known by alias and by class (T453)", async () => {
  assert.equal(sinkProcessor.type, "failover");
  assert.deepEqual(sinkProcessor.aliases, ["org.apache.flume.sink.FailoverSinkProcessor"]);
  const context = { ...partContext(), sinks: new Map([["k1", new ScriptedSink()]]) };
  const made = await sinkProcessor.create(optionsOf(options, {}), context);
  await made.deliver(numberedBatch(1, 1), never);
});
