import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock } from "@millrace/testing";
import { type CounterGroup, stampCounters } from "./counters.ts";
import { createHistogram, noMetrics, observe } from "./metrics.ts";

void test("an observation lands in the first bucket that holds it", () => {
  const histogram = createHistogram();
  const last = histogram.bounds.at(-1) ?? 0;
  for (const seconds of [0, 0.001, 0.0011, last, last + 1]) observe(histogram, seconds);
  assert.equal(histogram.counts.length, histogram.bounds.length + 1);
  assert.equal(histogram.counts[0], 2, "a bound belongs to its own bucket");
  assert.equal(histogram.counts[1], 1);
  assert.equal(histogram.counts.at(-2), 1);
  assert.equal(histogram.counts.at(-1), 1, "what is above all bounds has a bucket too");
  assert.ok(Math.abs(histogram.sum - (0.0021 + last * 2 + 1)) < 1e-9);
});

void test("counters that no one reads still count", () => {
  const counter = noMetrics.counter("x_total", "help");
  counter.value += 3;
  assert.equal(counter.value, 3);
});

void test("a group shows when it was started, and stopped since", async () => {
  const clock = createFakeClock(1000);
  const group: CounterGroup = {
    kind: "SINK",
    name: "k1",
    type: "avro",
    startTimeMs: 0,
    stopTimeMs: 0,
    read: () => ({}),
  };
  stampCounters(group, "start", clock);
  await clock.advance(500);
  stampCounters(group, "stop", clock);
  assert.deepEqual([group.startTimeMs, group.stopTimeMs], [1000, 1500]);
  stampCounters(group, "start", clock);
  assert.deepEqual([group.startTimeMs, group.stopTimeMs], [1500, 0]);
});
