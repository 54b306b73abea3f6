import { DeliveryError, MillraceError, type Random, type Sink } from "@millrace/core";
import { createFakeClock, createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupMember } from "./group-member.ts";

const failure = new MillraceError("RPC_CONNECT_FAILED", "refused");

/** Chance that leaves every delay as it is: 0.8 + 200/1000. */
const noJitter: Random = { bytes: (count: number) => Buffer.alloc(count), integer: () => 200 };

function make(penaltyMsMax: number, random = noJitter) {
  const clock = createFakeClock();
  return { clock, member: new GroupMember("k1", {} as Sink, { clock, random }, penaltyMsMax) };
}

test("a penalty is 2 s at first, doubles with each failure in a row, and ends at the limit", () => {
  const { member } = make(30_000);
  const penalties = Array.from({ length: 6 }, () => {
    member.penalise(failure);
    return member.penaltyMs;
  });
  assert.deepEqual(penalties, [2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("no number of failures makes a penalty negative, endless, or anything but the limit", () => {
  const { member } = make(30_000);
  for (let i = 0; i < 5000; i++) member.penalise(failure);
  assert.equal(member.penaltyMs, 30_000);
});

test("a penalty runs down with the clock, and a success ends the row", async () => {
  const { clock, member } = make(30_000);
  member.penalise(failure);
  member.penalise(failure);
  await clock.advance(1500);
  assert.equal(member.penaltyMs, 2500);
  await clock.advance(10_000);
  assert.deepEqual([member.penaltyMs, member.failures], [0, 2]);
  member.reinstate();
  member.penalise(failure);
  assert.equal(member.penaltyMs, 2000);
});

test("chance moves a penalty by a fifth at most, never over the limit", () => {
  const seen = new Set<number>();
  for (let seed = 1; seed <= 50; seed++) {
    const { member } = make(3000, createSeededRandom(seed));
    member.penalise(failure);
    assert.ok(member.penaltyMs >= 1600 && member.penaltyMs <= 2400, String(member.penaltyMs));
    seen.add(member.penaltyMs);
    member.penalise(failure);
    assert.ok(member.penaltyMs >= 2400 && member.penaltyMs <= 3000, String(member.penaltyMs));
  }
  assert.ok(seen.size > 20, `${seen.size} different penalties`);
});

test("a store that asks for a longer wait gets it, within five minutes", () => {
  const { member } = make(30_000);
  const asks = (retryAfterMs: number) =>
    new DeliveryError("SINK_WRITE_FAILED", "429", { retryAfterMs });
  member.penalise(asks(60_000));
  assert.equal(member.penaltyMs, 60_000);
  member.penalise(asks(3_600_000));
  assert.equal(member.penaltyMs, 300_000);
});

test("with a limit of 0 there is no penalty", () => {
  const { member } = make(0);
  member.penalise(new DeliveryError("SINK_WRITE_FAILED", "429", { retryAfterMs: 1000 }));
  assert.deepEqual([member.penaltyMs, member.failures], [0, 1]);
});

test("the reason is the system's word, however deep it lies, else our code", () => {
  const { member } = make(30_000);
  const system = Object.assign(new Error("read"), { code: "ECONNRESET" });
  const wrapped = new Error("socket", { cause: system });
  member.penalise(new MillraceError("RPC_CONNECTION_LOST", "lost", { cause: wrapped }));
  assert.equal(member.reason, "ECONNRESET");
  member.penalise(new MillraceError("RPC_TIMEOUT", "late", { cause: new Error("no code") }));
  assert.equal(member.reason, "RPC_TIMEOUT");
});
