/** The rows of the README's table: what happens to a member, and with several deliveries at once. */
import {
  DeliveryError,
  type EventBatch,
  MillraceError,
  type SelectableSink,
  type Sink,
  type SinkProcessorContext,
  type SinkSelector,
  systemRuntime,
} from "@millrace/core";
import {
  createFakeClock,
  numberedBatch,
  numbers,
  optionsOf,
  partContext,
  settle,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRoundRobin } from "../../sink-selectors/round-robin/round-robin.ts";
import { down, errorOf, open, ScriptedSink } from "../scripted-sink.test.ts";
import { createLoadBalanceProcessor } from "./load-balance.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

interface Wish {
  readonly properties?: Record<string, string>;
  readonly select?: SinkSelector;
}

/** A group of k1, k2 ... that take so many deliveries at once each, in turn, with back-off. */
async function make(capacities: readonly number[], wish: Wish = {}) {
  const { properties = { backoff: "true" }, select = createRoundRobin() } = wish;
  const clock = createFakeClock();
  const random = { bytes: (count: number) => Buffer.alloc(count), integer: () => 200 };
  const parts = partContext({ runtime: { ...systemRuntime, clock, random } });
  const sinks = capacities.map((deliveriesInFlight) =>
    Object.assign(new ScriptedSink(), { deliveriesInFlight }),
  );
  const context: SinkProcessorContext = {
    ...parts,
    name: "g1",
    sinks: new Map(sinks.map((sink, i): [string, Sink] => [`k${i + 1}`, sink])),
    makePart: async <T>() => select as T,
  };
  const group = await createLoadBalanceProcessor(optionsOf(options, properties), context);
  const value = (name: string, labels: Record<string, string>) =>
    parts.metrics.value(`millrace_sink_member_${name}`, { group: "g1", ...labels });
  return {
    ...{ group, clock, value },
    sinks: sinks as [ScriptedSink, ScriptedSink, ScriptedSink],
    lines: () => parts.log.lines.map(({ message }) => message),
    states: () => group.memberStates().map(({ state }) => state),
    asked: () => sinks.map(({ asked }) => asked.flat()),
    deliver: (n: number, giveUp = never) => group.deliver(numberedBatch(n, n), giveUp),
  };
}

test("row 1: members that work have turns, as many batches under way as they take together", async () => {
  const { deliver, sinks, group, asked, states } = await make([1, 2, 1]);
  assert.equal(group.deliveriesInFlight, 4);
  assert.deepEqual(states(), ["active", "active", "active"]);
  const ends = sinks.map((sink) => {
    const answer = open();
    sink.otherwise = answer.promise;
    return answer;
  });
  const deliveries = numbers(1, 6).map((n) => deliver(n));
  await settle();
  assert.deepEqual(asked(), [[1], [2, 4], [3]], "who has no room is passed over");
  assert.deepEqual(sinks.map(({ underWay }) => underWay), [1, 2, 1]); // prettier-ignore
  for (const { resolve } of ends) resolve();
  await Promise.all(deliveries);
  assert.deepEqual(asked().flat().sort(), numbers(1, 6));
  assert.deepEqual(sinks.map(({ underWayMost }) => underWayMost), [1, 2, 1]); // prettier-ignore
});

test("row 2: a member that takes one at a time gets its batches in the order they were taken", async () => {
  const { deliver, sinks, asked } = await make([1, 1]);
  const [k1, k2] = sinks;
  const slow = open();
  k2.otherwise = slow.promise;
  const answers = numbers(1, 20).map(() => open());
  k1.answers = answers.map(({ promise }) => promise);
  const deliveries = numbers(1, 8).map((n) => deliver(n));
  for (const { resolve } of answers) {
    await settle(2);
    resolve();
  }
  await settle();
  const [first = [], second = []] = asked();
  assert.deepEqual(first, [1, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual([second, k1.underWayMost], [[2], 1]);
  slow.resolve();
  await Promise.all(deliveries);
});

test("row 3: a hanging member keeps only what it holds; the others share the rest", async () => {
  const { deliver, sinks, asked } = await make([1, 1, 1]);
  const hang = open();
  sinks[1].otherwise = hang.promise;
  const held = deliver(1).then(() => deliver(2));
  await settle();
  for (let n = 3; n <= 10; n++) await deliver(n);
  assert.deepEqual(asked(), [[1, 4, 6, 8, 10], [2], [3, 5, 7, 9]]);
  hang.resolve();
  await held;
});

test("row 4: a member fails with three deliveries in flight: one penalty, one line, each batch once elsewhere", async () => {
  const { deliver, sinks, lines, value, group, states } = await make([3, 9]);
  const [k1, k2] = sinks;
  const answers = [open(), open(), open()];
  k1.answers = answers.map(({ promise }) => promise);
  const onK2 = open();
  k2.answers = [onK2.promise, onK2.promise, onK2.promise];
  const deliveries = numbers(1, 6).map((n) => deliver(n));
  await settle();
  assert.deepEqual([k1.asked, k2.asked], [[[1], [3], [5]], [[2], [4], [6]]]); // prettier-ignore
  for (const { reject } of answers) reject(down);
  onK2.resolve();
  await Promise.all(deliveries);
  assert.deepEqual(k2.asked.slice(3), [[1], [3], [5]]);
  assert.deepEqual(k1.asked.length, 3);
  assert.equal(value("penalty_seconds", { sink: "k1" }), 2);
  assert.equal(value("failures_total", { sink: "k1" }), 1);
  assert.equal(value("failing_info", { sink: "k1", reason: "ECONNREFUSED" }), 1);
  assert.deepEqual(lines(), [
    "k1 ECONNREFUSED, 1 batch of 1 rolled back, left out for 2 s; now k2 (after 0 ms)",
  ]);
  assert.deepEqual([states(), group.deliveriesInFlight], [["penalised", "active"], 9]);
});

test("row 5: a member settles a part and fails: only the rest goes on", async () => {
  const { group, sinks } = await make([1, 1]);
  sinks[0].answers = [
    new DeliveryError("SINK_WRITE_FAILED", "partly", { settled: [{ from: 1, to: 3 }] }),
  ];
  await group.deliver(numberedBatch(1, 4), never);
  assert.deepEqual(sinks[1].asked, [[1, 4]]);
});

test("row 6: a rejection for good is told at once and leaves the member active", async () => {
  const { deliver, sinks, states } = await make([1, 1]);
  sinks[0].answers = [new MillraceError("EVENT_REJECTED", "too old")];
  assert.equal((await errorOf(deliver(1))).code, "EVENT_REJECTED");
  assert.deepEqual([sinks[1].asked, states()], [[], ["active", "active"]]);
});

test("row 7: a delivery that is given up penalises no one, under way or waiting for room", async () => {
  const { deliver, sinks, states, asked } = await make([1, 1]);
  const answer = open();
  sinks[0].answers = [answer.promise];
  sinks[1].answers = [answer.promise];
  const giveUp = new AbortController();
  const both = [errorOf(deliver(1, giveUp.signal)), errorOf(deliver(2, giveUp.signal))];
  const waiting = errorOf(deliver(3, giveUp.signal));
  await settle();
  giveUp.abort();
  assert.match((await waiting).message, /given up before a member of sink group g1 had room/);
  answer.reject(down);
  for (const error of await Promise.all(both)) assert.equal(error.code, "RPC_CONNECT_FAILED");
  assert.deepEqual([asked(), states()], [[[1], [2]], ["active", "active"]]); // prettier-ignore
});

test("rows 8 and 9: a penalised member has no turn, and nothing happens when its penalty ends", async () => {
  const { deliver, sinks, states, clock } = await make([1, 1]);
  sinks[0].answers = [down];
  await deliver(1);
  for (let n = 2; n <= 9; n++) {
    await clock.advance(200);
    await deliver(n);
  }
  assert.equal(sinks[0].asked.length, 1);
  assert.deepEqual(states(), ["penalised", "active"]);
  await clock.advance(400);
  assert.deepEqual(states(), ["standby", "active"]);
  assert.deepEqual([sinks[0].asked.length, clock.timerCount], [1, 0]);
});

test("row 10: a member that comes back gets one trial batch; the others in flight go elsewhere", async () => {
  const { deliver, sinks, states, clock, group } = await make([4, 4]);
  const [k1, k2] = sinks;
  k1.answers = [down];
  await deliver(1);
  await clock.advance(2000);
  assert.equal(group.deliveriesInFlight, 5, "room for its trial");
  const trial = open();
  k1.answers = [trial.promise];
  const others = open();
  k2.answers = numbers(1, 4).map(() => others.promise);
  const deliveries = numbers(2, 7).map((n) => deliver(n));
  await settle();
  assert.deepEqual([k1.underWay, k2.underWay], [1, 4], "one waits: k1 is not flooded");
  assert.deepEqual(states(), ["trial", "active"]);
  trial.resolve();
  await settle();
  assert.deepEqual(states(), ["active", "active"]);
  others.resolve();
  await Promise.all(deliveries);
  assert.equal(group.deliveriesInFlight, 8);
  assert.ok(k1.underWayMost <= 4);
});

test("row 11: a trial that succeeds gives the member its turns again, one each, not the missed ones", async () => {
  const { deliver, sinks, clock, asked, lines } = await make([1, 1, 1]);
  sinks[0].answers = [down];
  for (let n = 1; n <= 50; n++) await deliver(n);
  await clock.advance(2000);
  for (let n = 51; n <= 62; n++) await deliver(n);
  assert.deepEqual(
    asked().map((events) => events.filter((n) => n > 50).length),
    [4, 4, 4],
  );
  assert.equal(lines().at(-1), "k1 delivers again");
});

test("row 12: a trial that fails doubles the penalty, and its batch goes on in the same call", async () => {
  const { deliver, sinks, clock, asked, lines, value } = await make([1, 1]);
  sinks[0].otherwise = down;
  const penalties: number[] = [];
  for (let n = 1; n <= 12; n++) {
    await deliver(n);
    const seconds = value("penalty_seconds", { sink: "k1" }) ?? 0;
    if (seconds > 0 && penalties.at(-1) !== seconds) penalties.push(seconds);
    await clock.advance(seconds * 1000);
  }
  assert.deepEqual(penalties, [2, 4, 8, 16, 30]);
  assert.deepEqual(asked()[1], numbers(1, 12));
  assert.equal(lines()[1], "k1 failed a trial batch (ECONNREFUSED), left out for 4 s; k2 stays active"); // prettier-ignore
});

test("row 13: what began before the penalty neither raises nor ends it", async () => {
  const { deliver, sinks, value, states } = await make([3, 3]);
  const answers = [open(), open(), open()];
  sinks[0].answers = answers.map(({ promise }) => promise);
  const deliveries = numbers(1, 6).map((n) => deliver(n));
  await settle();
  answers[0]?.reject(down);
  await settle();
  answers[1]?.reject(down);
  answers[2]?.resolve();
  await Promise.all(deliveries);
  assert.equal(value("penalty_seconds", { sink: "k1" }), 2);
  assert.deepEqual(states(), ["penalised", "active"]);
});

test("row 14: with all left out, SINK_GROUP_UNAVAILABLE says when the first comes back", async () => {
  const { deliver, sinks, clock, group, states } = await make([2, 2]);
  sinks[0].otherwise = down;
  sinks[1].otherwise = down;
  const error = await errorOf(deliver(1));
  assert.deepEqual([error.code, error.retryAfterMs], ["SINK_GROUP_UNAVAILABLE", 2000]);
  assert.deepEqual([states(), group.deliveriesInFlight], [["penalised", "penalised"], 1]);
  const again = await errorOf(deliver(1));
  assert.equal(again.retryAfterMs, 2000);
  assert.equal(sinks[0].asked.length + sinks[1].asked.length, 2, "nobody was asked");
  await clock.advance(2000);
  sinks[0].otherwise = "ok";
  sinks[1].otherwise = "ok";
  await deliver(1);
});

test("row 15: a batch that waits for a busy member gets one whose penalty ends meanwhile", async () => {
  const { deliver, sinks, clock } = await make([1, 1]);
  const [k1, k2] = sinks;
  const hang = open();
  k1.otherwise = hang.promise;
  k2.answers = [down];
  const deliveries = [deliver(1), deliver(2)];
  await settle();
  assert.deepEqual([k1.asked, k2.asked], [[[1]], [[2]]]); // prettier-ignore
  await clock.advance(1999);
  assert.equal(k2.asked.length, 1);
  await clock.advance(1);
  assert.deepEqual(k2.asked, [[2], [2]], "not only when k1 has timed out");
  hang.resolve();
  await Promise.all(deliveries);
  assert.equal(clock.timerCount, 0);
});

test("row 16: without backoff a failing member is asked at each of its turns, one batch at a time", async () => {
  const { deliver, sinks, asked, states, lines } = await make([3, 3], { properties: {} });
  const [k1] = sinks;
  k1.otherwise = down;
  for (let n = 1; n <= 6; n++) await deliver(n);
  assert.deepEqual(k1.asked, [[1], [3], [5]]);
  assert.deepEqual(asked()[1], numbers(1, 6));
  assert.deepEqual(states(), ["standby", "active"]);
  const hang = open();
  k1.answers = [hang.promise];
  const deliveries = numbers(7, 9).map((n) => deliver(n));
  await settle();
  assert.equal(k1.underWay, 1);
  hang.resolve();
  await Promise.all(deliveries);
  assert.equal(lines().length, 2, String(lines()));
});

test("a selector sees who is available, and may leave members out", async () => {
  const seen: string[] = [];
  const select = (members: readonly SelectableSink[], batch: EventBatch) => {
    seen.push(
      members
        .map(({ name, available, failures, underWay }) =>
          [name, available ? "yes" : "no", failures, underWay].join(" "),
        )
        .join(", ") + `: ${batch.length}`,
    );
    return [{ name: "k2" }, { name: "nobody" }, { name: "k2" }];
  };
  const { group, deliver, sinks } = await make([1, 2], { select });
  const hang = open();
  sinks[1].answers = [hang.promise, down];
  const first = group.deliver(numberedBatch(1, 3), never);
  await settle();
  const error = await errorOf(deliver(4));
  assert.match(error.message, /k1 was not asked; k2 ECONNREFUSED, penalised for 2 s/);
  assert.deepEqual(seen, ["k1 yes 0 0, k2 yes 0 0: 3", "k1 yes 0 0, k2 yes 0 1: 1"]);
  assert.deepEqual(sinks[0].asked, []);
  hang.resolve();
  await first;
});

test("a selector that always names one first is waited for; what that one fails on goes to who has room", async () => {
  const select: SinkSelector = (members) => members;
  const { deliver, sinks, asked } = await make([2, 1, 1], { select });
  const [k1, k2] = sinks;
  const answers = [open(), open(), open()];
  k1.answers = answers.map(({ promise }) => promise);
  const hang = open();
  k2.answers = [hang.promise];
  const deliveries = numbers(1, 3).map((n) => deliver(n));
  await settle();
  assert.deepEqual(asked(), [[1, 2], [], []]); // prettier-ignore
  answers[0]?.resolve();
  await settle();
  assert.deepEqual(asked(), [[1, 2, 3], [], []]); // prettier-ignore
  answers[1]?.reject(down);
  answers[2]?.reject(down);
  await settle();
  assert.deepEqual(asked(), [[1, 2, 3], [2], [3]]); // prettier-ignore
  const next = deliver(4);
  await settle();
  assert.deepEqual(asked(), [[1, 2, 3], [2], [3]], "k2 comes first now"); // prettier-ignore
  hang.resolve();
  await Promise.all([...deliveries, next]);
  assert.deepEqual(asked(), [[1, 2, 3], [2, 4], [3]]); // prettier-ignore
});

test("a selector that throws fails its delivery, and no other", async () => {
  let throws = true;
  const select: SinkSelector = (members) => {
    if (throws) throw new TypeError("a mistake in a plugin");
    return members;
  };
  const { deliver, asked } = await make([1, 1], { select });
  await assert.rejects(deliver(1), /a mistake in a plugin/);
  throws = false;
  await deliver(2);
  assert.deepEqual(asked(), [[2], []]); // prettier-ignore
});
