import { MillraceError } from "@millrace/core";
import { createFakeClock, createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { HostHealth } from "./host-health.ts";

const error = new MillraceError("RPC_TIMEOUT", "no answer");
/** 200 of 0..400 is in the middle: no jitter. */
const noJitter = { ...createSeededRandom(1), integer: () => 200 };

function world(penaltyMsMax = 30_000) {
  const clock = createFakeClock();
  const health = new HostHealth(clock, noJitter, penaltyMsMax);
  const fail = () => health.settle(health.offer(), "failed", error);
  const deliver = () => health.settle(health.offer(), "delivered");
  return { clock, health, fail, deliver };
}

test("row 1: up, a batch is delivered: up", () => {
  const { health, deliver } = world();
  assert.equal(health.state, "up");
  assert.equal(deliver(), undefined);
  assert.deepEqual([health.state, health.penaltyMs, health.reason], ["up", 0, undefined]);
});

test("row 2: up, a batch fails: penalised for 2 s", () => {
  const { health, fail } = world();
  assert.equal(fail(), "failing");
  assert.deepEqual([health.state, health.penaltyMs, health.reason], ["penalised", 2000, error]);
});

test("row 3: penalised, its time is not over: penalised", async () => {
  const { clock, health, fail } = world();
  fail();
  await clock.advance(1999);
  assert.deepEqual([health.state, health.penaltyMs], ["penalised", 1]);
});

test("row 4: penalised, its time is over: due (T139)", async () => {
  const { clock, health, fail } = world();
  fail();
  await clock.advance(2000);
  assert.deepEqual([health.state, health.penaltyMs], ["due", 0]);
});

test("row 5: due, a batch is handed to it: on trial until that is settled", async () => {
  const { clock, health, fail } = world();
  fail();
  await clock.advance(2000);
  const offer = health.offer();
  assert.deepEqual([offer.onTrial, health.state], [true, "trial"]);
});

test("row 6: on trial, delivered: up, and the row of failures is over (T139)", async () => {
  const { clock, health, fail, deliver } = world();
  fail();
  await clock.advance(2000);
  assert.equal(deliver(), "recovered");
  assert.deepEqual([health.state, health.reason], ["up", undefined]);
  fail();
  assert.equal(health.penaltyMs, 2000);
});

test("row 7: on trial, failed: penalised for twice as long, up to maxBackoff (T138)", async () => {
  const { clock, health, fail } = world();
  const penalties: number[] = [];
  for (let i = 0; i < 20; i++) {
    const news = fail();
    assert.equal(news, i === 0 ? "failing" : undefined);
    penalties.push(health.penaltyMs);
    await clock.advance(health.penaltyMs);
    assert.equal(health.state, "due");
  }
  assert.deepEqual(penalties.slice(0, 6), [2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(penalties[19], 30_000);
});

test("row 8: on trial, given up: due as before", async () => {
  const { clock, health, fail } = world();
  fail();
  await clock.advance(2000);
  assert.equal(health.settle(health.offer(), "undecided"), undefined);
  assert.deepEqual([health.state, health.reason], ["due", error]);
});

test("row 9: penalised, asked all the same because nobody else is left: on trial", () => {
  const { health, fail, deliver } = world();
  fail();
  const offer = health.offer();
  assert.equal(health.state, "trial");
  health.settle(offer, "failed", error);
  assert.deepEqual([health.state, health.penaltyMs], ["penalised", 4000]);
  assert.equal(deliver(), "recovered");
  assert.equal(health.state, "up");
});

test("row 10: what batches in flight before a failure or a recovery tell, is known already", async () => {
  const { clock, health } = world();
  const offers = [health.offer(), health.offer(), health.offer()] as const;
  health.settle(offers[0], "failed", error);
  health.settle(offers[1], "failed", error);
  assert.equal(health.penaltyMs, 2000, "one failure, not two");
  health.settle(offers[2], "delivered");
  assert.equal(health.state, "penalised", "it was answered before the failure");
  await clock.advance(2000);
  const trials = [health.offer(), health.offer()] as const;
  health.settle(trials[0], "delivered");
  assert.equal(health.state, "up");
  health.settle(trials[1], "failed", error);
  assert.equal(health.state, "up");
});

test("row 11: without penalties a failure makes it due at once", () => {
  const { health, fail } = world(0);
  fail();
  assert.deepEqual([health.state, health.penaltyMs], ["due", 0]);
});

test("a penalty is off by a fifth at most, and never over maxBackoff", () => {
  const clock = createFakeClock();
  const random = createSeededRandom(7);
  const first = new Set<number>();
  for (let i = 0; i < 200; i++) {
    const health = new HostHealth(clock, random, 9000);
    health.settle(health.offer(), "failed", error);
    assert.ok(health.penaltyMs >= 1600 && health.penaltyMs <= 2400, String(health.penaltyMs));
    first.add(health.penaltyMs);
    for (let n = 0; n < 5; n++) health.settle(health.offer(), "failed", error);
    assert.ok(health.penaltyMs >= 7200 && health.penaltyMs <= 9000, String(health.penaltyMs));
  }
  assert.ok(first.size > 50, "a fleet does not come back at one moment");
});
