import { createFakeClock, type FakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEventLoopLag, declareEventLoopLag } from "./event-loop-lag.ts";
import { createMetricsRegistry } from "./metrics-registry.ts";

/** A clock on which time passes while the event loop is kept busy: timers fire when it turns again. */
function given() {
  const clock = createFakeClock();
  let busyMs = 0;
  const lag = createEventLoopLag({
    ...timersOf(clock),
    monotonic: () => clock.monotonic() + busyMs,
  });
  lag.start();
  return {
    clock,
    lag,
    /** Time passes, and nothing runs. */
    block: (ms: number) => void (busyMs += ms),
  };
}

function timersOf({ now, setTimer }: FakeClock) {
  return { now, setTimer };
}

void test("timers that fire in time are no lag, from the first reading on", async () => {
  const { clock, lag } = given();
  assert.equal(lag.quantile(0.99), 0, "before the first timer");
  await clock.advance(300_000);
  assert.deepEqual([lag.quantile(0.5), lag.quantile(0.99), lag.quantile(1)], [0, 0, 0]);
});

void test("a block is a late timer, seen in the quantile of its share", async () => {
  const { clock, lag, block } = given();
  for (let i = 0; i < 50; i++) {
    // Of 20 timers one is 400 ms late.
    await clock.advance(1900);
    block(400);
    await clock.advance(100);
  }
  assert.equal(lag.quantile(0.5), 0);
  assert.equal(lag.quantile(0.9), 0);
  assert.equal(lag.quantile(0.99), 0.4);
});

void test("a block that has not ended for the timers shows in whoever reads first", async () => {
  const { clock, lag, block } = given();
  await clock.advance(1000);
  block(3000);
  assert.equal(lag.quantile(0.99), 2.9);
});

void test("a reading takes nothing from another one", async () => {
  const { clock, lag, block } = given();
  for (let i = 0; i < 20; i++) {
    block(250);
    await clock.advance(100);
  }
  for (let reader = 0; reader < 5; reader++) assert.equal(lag.quantile(0.99), 0.25);
  await clock.advance(20_000);
  assert.equal(lag.quantile(0.99), 0.25);
});

void test("what is over for a minute is forgotten", async () => {
  const { clock, lag, block } = given();
  for (let i = 0; i < 20; i++) {
    block(250);
    await clock.advance(100);
  }
  await clock.advance(59_000);
  assert.equal(lag.quantile(1), 0.25);
  await clock.advance(1000);
  assert.equal(lag.quantile(1), 0);
});

void test("it measures while it is started, once however often that is", async () => {
  const { clock, lag, block } = given();
  lag.start();
  assert.equal(clock.timerCount, 1);
  lag.stop();
  lag.stop();
  assert.equal(clock.timerCount, 0);
  block(5000);
  assert.equal(lag.quantile(1), 0);
  lag.start();
  assert.equal(lag.quantile(1), 0, "nobody waited for a timer meanwhile");
  await clock.advance(100);
  assert.equal(lag.quantile(1), 0);
});

void test("the metric has the median and the 99th percentile", () => {
  const metrics = createMetricsRegistry();
  const quantile = (share: number): number => share / 10;
  declareEventLoopLag(metrics.withLabels({ agent: "a1" }), { start() {}, stop() {}, quantile });
  const samples = metrics.families.get("millrace_event_loop_lag_seconds")?.samples ?? [];
  assert.deepEqual(
    samples.map(({ labels, read }) => [labels["quantile"], read()]),
    [
      ["0.5", 0.05],
      ["0.99", 0.099],
    ],
  );
});
