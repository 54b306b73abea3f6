import assert from "node:assert/strict";
import { test } from "node:test";
import { createArrivalJudge } from "@millrace/core";
import { createFakeClock } from "@millrace/testing";
import { createOverdueWatch } from "./overdue.ts";
import { activeSink, parseReading, ratesOf, type Reading } from "./readings.ts";

const json = {
  "SOURCE.logs": { Type: "SOURCE", EventAcceptedCount: "500" },
  "CHANNEL.disk": { Type: "CHANNEL", ChannelSize: "40", ChannelFillPercentage: "0.1" },
  "SINK.first": { Type: "SINK", EventDrainSuccessCount: "400" },
  "SINK.second": { Type: "SINK", EventDrainSuccessCount: "60" },
};
const prometheus = [
  "# HELP millrace_channel_oldest_event_age_seconds Time.",
  'millrace_channel_oldest_event_age_seconds{component="disk"} 1.25',
  'millrace_channel_oldest_event_age_seconds{component="dead"} 0.5',
].join("\n");

function reading(atMs: number, accepted: number, first: number, second: number): Reading {
  const bySink = new Map([
    ["first", first],
    ["second", second],
  ]);
  return { atMs, accepted, delivered: first + second, held: 0, oldestSeconds: undefined, bySink };
}

void test("a reading sums sources, channels and sinks, and takes the oldest age", () => {
  assert.deepEqual(parseReading(json, prometheus, 7), {
    atMs: 7,
    accepted: 500,
    delivered: 460,
    held: 40,
    oldestSeconds: 1.25,
    bySink: new Map([
      ["first", 400],
      ["second", 60],
    ]),
  });
  assert.equal(parseReading({}, "", 7).oldestSeconds, undefined);
});

void test("rates are per second over all readings kept; one reading has none", () => {
  assert.deepEqual(ratesOf([reading(1_000, 100, 50, 0)]), { inPerSecond: 0, outPerSecond: 0 });
  const readings = [
    reading(1_000, 100, 50, 0),
    reading(1_250, 0, 0, 0),
    reading(3_000, 300, 100, 50),
  ];
  assert.deepEqual(ratesOf(readings), { inPerSecond: 100, outPerSecond: 50 });
});

void test("the active sink is the one that delivered most since; none when none did", () => {
  assert.equal(activeSink(reading(0, 0, 5, 5), reading(1, 0, 6, 25)), "second");
  assert.equal(activeSink(reading(0, 0, 5, 5), reading(1, 0, 6, 5)), "first");
  assert.equal(activeSink(reading(0, 0, 5, 5), reading(1, 0, 5, 5)), undefined);
});

void test("a line is missing once it was acknowledged 15 s ago with all well since", async () => {
  const clock = createFakeClock();
  const watch = createOverdueWatch(clock);
  const judge = createArrivalJudge();
  judge.issue("a", Buffer.from("x"), 2);
  judge.issue("a", Buffer.from("y"), 4);
  judge.acknowledge("a", 2);
  const pass = async (seconds: number, calm: boolean): Promise<number> => {
    let missing = 0;
    for (let i = 0; i < seconds * 4; i++) {
      missing = watch.missing(judge, calm);
      await clock.advance(250);
    }
    return missing;
  };
  assert.equal(await pass(14, true), 0);
  assert.equal(await pass(2, true), 1, "the second line is not acknowledged");
  assert.equal(await pass(20, false), 0, "something explains it");
  assert.equal(await pass(14, true), 0, "the wait begins again");
  judge.acknowledge("a", 4);
  assert.equal(await pass(3, true), 1);
  assert.equal(await pass(15, true), 2);
  for (const startOffset of [0, 2]) {
    judge.arrive(
      "c",
      { stream: "a", startOffset, body: Buffer.from("xy"[startOffset / 2] ?? "") },
      "",
    );
  }
  assert.equal(await pass(1, true), 0);
});
