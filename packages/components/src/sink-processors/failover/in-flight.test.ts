/** The rows of the README's table in which several deliveries are under way at once. */
import {
  type DeliveryError,
  MillraceError,
  type Sink,
  type SinkProcessorContext,
  systemRuntime,
} from "@millrace/core";
import { createFakeClock, numberedBatch, optionsOf, partContext, settle } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { down, errorOf, open, ScriptedSink } from "../scripted-sink.test.ts";
import { createFailoverProcessor } from "./failover.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

/** A group of k1 before k2; k1 takes `first` deliveries at once, k2 `second`. */
function make(first: number, second: number) {
  const clock = createFakeClock();
  const random = { bytes: (count: number) => Buffer.alloc(count), integer: () => 200 };
  const parts = partContext({ runtime: { ...systemRuntime, clock, random } });
  const [k1, k2] = [new ScriptedSink(), new ScriptedSink()];
  k1.deliveriesInFlight = first;
  k2.deliveriesInFlight = second;
  const sinks = new Map<string, Sink>([
    ["k1", k1],
    ["k2", k2],
  ]);
  const context: SinkProcessorContext = { ...parts, name: "g1", sinks };
  const priorities = { "priority.k1": "2", "priority.k2": "1" };
  const group = createFailoverProcessor(optionsOf(options, priorities), context);
  const value = (name: string, labels: Record<string, string>) =>
    parts.metrics.value(`millrace_sink_member_${name}`, { group: "g1", ...labels });
  return {
    ...{ group, clock, k1, k2, value },
    lines: () => parts.log.lines.map(({ message }) => message),
    states: () => group.memberStates().map(({ state }) => state),
    deliver: (n: number, giveUp = never) => group.deliver(numberedBatch(n, n), giveUp),
  };
}

test("row 2: a member fails with three deliveries in flight: one penalty, one line, each batch once elsewhere", async () => {
  const { deliver, k1, k2, group, lines, value } = make(3, 5);
  assert.equal(group.deliveriesInFlight, 3);
  const answers = [open(), open(), open()];
  k1.answers = answers.map(({ promise }) => promise);
  const deliveries = [deliver(1), deliver(2), deliver(3)];
  await settle();
  assert.deepEqual([k1.underWay, k2.asked], [3, []]);
  for (const { reject } of answers) reject(down);
  await Promise.all(deliveries);
  assert.deepEqual(k1.asked, [[1], [2], [3]]);
  assert.deepEqual(k2.asked, [[1], [2], [3]]);
  assert.equal(value("penalty_seconds", { sink: "k1" }), 2);
  assert.equal(value("failures_total", { sink: "k1" }), 1);
  assert.equal(lines().length, 1, String(lines()));
  assert.equal(group.deliveriesInFlight, 5, "now k2's number counts");
});

test("row 15: the stand-in gets no more at once than it takes, the oldest batch first", async () => {
  const { deliver, k1, k2, group } = make(3, 1);
  const answers = [open(), open(), open()];
  k1.answers = answers.map(({ promise }) => promise);
  const standIn = [open(), open(), open()];
  k2.answers = standIn.map(({ promise }) => promise);
  const deliveries = [deliver(1), deliver(2), deliver(3)];
  await settle();
  // The oldest fails last, while the second has k2 already.
  for (const index of [1, 2, 0]) {
    answers[index]?.reject(down);
    await settle();
  }
  assert.equal(group.deliveriesInFlight, 1);
  assert.deepEqual(k2.asked, [[2]]);
  for (const { resolve } of standIn) {
    resolve();
    await settle();
  }
  await Promise.all(deliveries);
  assert.deepEqual(k2.asked, [[2], [1], [3]]);
  assert.equal(k2.underWayMost, 1);
});

test("row 15: while the active member has no room a batch waits for it, the standby is not asked", async () => {
  const { deliver, k1, k2, clock } = make(1, 4);
  const answer = open();
  k1.answers = [answer.promise];
  const deliveries = [deliver(1), deliver(2), deliver(3)];
  await settle();
  assert.deepEqual([k1.asked, k2.asked], [[[1]], []]);
  assert.equal(clock.timerCount, 0);
  answer.resolve();
  await Promise.all(deliveries);
  assert.deepEqual([k1.asked, k2.asked], [[[1], [2], [3]], []]);
  assert.equal(k1.underWayMost, 1);
});

test("row 16: a batch that waits is given up: it was offered to nobody, and the others go on", async () => {
  const { deliver, k1, k2, states } = make(1, 1);
  const answer = open();
  k1.answers = [answer.promise];
  const first = deliver(1);
  const giveUp = new AbortController();
  const waiting = errorOf(deliver(2, giveUp.signal));
  const third = deliver(3);
  await settle();
  giveUp.abort();
  const error: DeliveryError = await waiting;
  assert.equal(error.code, "SINK_GROUP_UNAVAILABLE");
  assert.match(error.message, /given up before a member of sink group g1 had room/);
  assert.deepEqual(error.settled, []);
  answer.resolve();
  await Promise.all([first, third]);
  assert.deepEqual([k1.asked, k2.asked], [[[1], [3]], []]);
  assert.deepEqual(states(), ["active", "standby"]);
  const late = await errorOf(deliver(4, AbortSignal.abort()));
  assert.equal(late.code, "SINK_GROUP_UNAVAILABLE");
  assert.equal(k1.asked.length, 2);
});

test("row 17: with nobody live one batch is the trial; the others wait for its answer", async () => {
  const { deliver, k1, k2, clock, group } = make(4, 4);
  k1.otherwise = k2.otherwise = down;
  await errorOf(deliver(1));
  await clock.advance(2000);
  assert.equal(group.deliveriesInFlight, 1);
  const [one, two] = [open(), open()];
  k1.answers = [one.promise];
  k2.answers = [two.promise];
  k1.otherwise = k2.otherwise = "ok";
  const deliveries = [deliver(2), deliver(3), deliver(4), deliver(5)];
  await settle();
  assert.deepEqual([k1.asked, k2.asked], [[[1], [2]], [[1], [3]]]); // prettier-ignore
  one.resolve();
  await settle();
  assert.deepEqual(k1.asked, [[1], [2], [4], [5]], "it works: all that waited");
  two.resolve();
  await Promise.all(deliveries);
});

test("row 17: when the trials fail, those that waited fail with them, and nobody is asked again", async () => {
  const { deliver, k1, k2, clock } = make(4, 4);
  k1.otherwise = k2.otherwise = down;
  await errorOf(deliver(1));
  await clock.advance(2000);
  const [one, two] = [open(), open()];
  k1.answers = [one.promise];
  k2.answers = [two.promise];
  const deliveries = [2, 3, 4].map((n) => errorOf(deliver(n)));
  await settle();
  one.reject(down);
  two.reject(down);
  for (const error of await Promise.all(deliveries)) assert.equal(error.retryAfterMs, 4000);
  assert.equal(k1.asked.length + k2.asked.length, 4, "one trial of each");
});

test("row 8: while a better member is on trial its state and metrics say so", async () => {
  const { deliver, k1, clock, states, value } = make(2, 2);
  k1.answers = [new MillraceError("RPC_TIMEOUT", "late"), down];
  await deliver(1);
  assert.deepEqual(states(), ["penalised", "active"]);
  const stateOf = (state: string) => value("state", { sink: "k1", state });
  assert.deepEqual([stateOf("penalised"), stateOf("trial")], [1, 0]);
  const failing = (reason: string) => value("failing_info", { sink: "k1", reason });
  assert.deepEqual([failing("RPC_TIMEOUT"), failing("ECONNREFUSED")], [1, undefined]);
  await clock.advance(2000);
  assert.deepEqual(states(), ["standby", "active"]);
  await deliver(2);
  assert.deepEqual([failing("RPC_TIMEOUT"), failing("ECONNREFUSED")], [undefined, 1]);
  await clock.advance(4000);
  const trial = open();
  k1.answers = [trial.promise];
  const delivery = deliver(3);
  await settle();
  assert.deepEqual(states(), ["trial", "active"]);
  assert.deepEqual([stateOf("penalised"), stateOf("trial")], [0, 1]);
  trial.resolve();
  await delivery;
  assert.deepEqual([states(), stateOf("active")], [["active", "standby"], 1]);
  assert.equal(failing("ECONNREFUSED"), undefined);
  assert.equal(value("failures_total", { sink: "k1" }), 2);
});

test("row 7: until its trial a member that comes back has room for one batch, whatever it takes", async () => {
  const { deliver, k1, k2, clock } = make(8, 8);
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  const trial = open();
  k1.answers = [trial.promise];
  const deliveries = Array.from({ length: 8 }, (_, i) => deliver(2 + i));
  await settle();
  assert.deepEqual([k1.underWay, k2.asked.length], [1, 8]);
  trial.resolve();
  await Promise.all(deliveries);
});
