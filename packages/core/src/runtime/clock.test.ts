import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock, settle } from "@millrace/testing";
import { sleep, systemClock } from "./clock.ts";
import { settledBy } from "./deadline.ts";
import { jitter, systemRandom } from "./random.ts";
import { yieldToEventLoop } from "./yield.ts";

const never = new AbortController().signal;

void test("sleep ends when its time has come, not before", async () => {
  const clock = createFakeClock();
  let ended = false;
  const slept = sleep(clock, 1000).then(() => (ended = true));
  await clock.advance(999);
  assert.equal(ended, false);
  await clock.advance(1);
  await slept;
});

void test("an aborted sleep ends at once and leaves no timer behind", async () => {
  const clock = createFakeClock();
  const stop = new AbortController();
  const slept = sleep(clock, 1000, stop.signal);
  assert.equal(clock.timerCount, 1);
  stop.abort();
  await slept;
  assert.equal(clock.timerCount, 0);
  await sleep(clock, 1000, stop.signal);
  assert.equal(clock.timerCount, 0, "nor does one that was aborted before");
});

void test("many sleeps over one signal leave no listener on it", async () => {
  const clock = createFakeClock();
  const stop = new AbortController();
  let listeners = 0;
  const signal = stop.signal;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (
    listeners--,
    remove(...args)
  );
  for (let i = 0; i < 20; i++) {
    const slept = sleep(clock, 1, signal);
    await clock.advance(1);
    await slept;
  }
  assert.equal(listeners, 0);
});

void test("jitter stays within a fifth of what it was given, both ways", () => {
  const waits = Array.from({ length: 2000 }, () => jitter(systemRandom, 1000));
  assert.ok(waits.every((ms) => ms >= 800 && ms <= 1200));
  assert.ok(waits.some((ms) => ms < 900) && waits.some((ms) => ms > 1100));
  const at = (integer: number): number => jitter({ ...systemRandom, integer: () => integer }, 5000);
  assert.deepEqual([at(0), at(200), at(400)], [4000, 5000, 6000]);
});

void test("the machine's chance gives what it is asked for", () => {
  assert.equal(systemRandom.bytes(16).length, 16);
  assert.notDeepEqual(systemRandom.bytes(16), systemRandom.bytes(16));
  for (let i = 0; i < 100; i++) assert.ok([0, 1, 2].includes(systemRandom.integer(3)));
});

void test("the machine's timers fire once, or not at all when cancelled", async () => {
  let fired = 0;
  systemClock.setTimer(0, () => fired++);
  systemClock.setTimer(0, () => fired++).cancel();
  // The timer does not keep the process alive: this one does.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(fired, 1);
  assert.ok(Math.abs(systemClock.now() - Date.now()) < 1000);
  assert.ok(systemClock.monotonic() <= systemClock.monotonic());
});

void test("a timer of weeks, months or for ever does not fire at once", async (t) => {
  let early = 0;
  const timers = [2 ** 31, 1e15, Infinity].map((ms) => systemClock.setTimer(ms, () => early++));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const timer of timers) timer.cancel();
  assert.equal(early, 0);

  t.mock.timers.enable({ apis: ["setTimeout"] });
  const fired: string[] = [];
  systemClock.setTimer(2 ** 31 + 5, () => fired.push("kept"));
  const cancelled = systemClock.setTimer(2 ** 31 + 5, () => fired.push("cancelled"));
  t.mock.timers.tick(2 ** 31 - 1);
  cancelled.cancel();
  t.mock.timers.tick(5);
  assert.deepEqual(fired, []);
  t.mock.timers.tick(1);
  assert.deepEqual(fired, ["kept"]);
  t.mock.timers.tick(2 ** 31 - 1);
  assert.deepEqual(fired, ["kept"], "once");
});

void test("yielding lets timers and sockets have their turn", async () => {
  let turned = false;
  setImmediate(() => (turned = true));
  await Promise.resolve();
  assert.equal(turned, false);
  await yieldToEventLoop();
  assert.equal(turned, true);
});

void test("work that ends is settled, at whatever time", async () => {
  const clock = createFakeClock();
  assert.equal(await settledBy(Promise.resolve(), never, clock, 1000), true);
  assert.equal(await settledBy(Promise.resolve(), AbortSignal.abort(), clock, 1000), true);
  await settle();
  assert.equal(clock.timerCount, 0);
});

void test("work that does not end is left behind at the deadline and its grace", async () => {
  const clock = createFakeClock();
  const deadline = new AbortController();
  let settled: boolean | undefined;
  void settledBy(new Promise(() => {}), deadline.signal, clock, 1000).then((is) => (settled = is));
  await clock.advance(60_000);
  assert.equal(settled, undefined);
  deadline.abort();
  await clock.advance(999);
  assert.equal(settled, undefined);
  await clock.advance(1);
  assert.equal(settled, false);
});

void test("work that ends within the grace is settled", async () => {
  const clock = createFakeClock();
  const settled = settledBy(sleep(clock, 500), AbortSignal.abort(), clock, 1000);
  await clock.advance(500);
  assert.equal(await settled, true);
  assert.equal(clock.timerCount, 0);
});
