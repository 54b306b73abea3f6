import { createFakeClock, settle } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createHandshakeAdmission } from "./handshake-admission.ts";

test("a herd goes in by a few at a turn, and never more than 64 at one time", async () => {
  const clock = createFakeClock();
  const admission = createHandshakeAdmission(clock);
  const leaves: (() => void)[] = [];
  for (let i = 0; i < 400; i++) void admission.enter().then((leave) => leaves.push(leave));
  let before = 0;
  let turns = 0;
  while (leaves.length < 64) {
    await settle(1);
    assert.ok(leaves.length - before <= 4 * 2, `${leaves.length - before} began in one turn`);
    before = leaves.length;
    turns++;
  }
  assert.ok(turns >= 8, `all began in ${turns} turns`);
  await settle(20);
  assert.deepEqual([leaves.length, admission.underWay, admission.waiting], [64, 64, 336]);
  let over = 0;
  let most = 0;
  while (over < 400) {
    const leave = leaves[over++];
    assert.ok(leave !== undefined, `only ${over - 1} have begun`);
    leave();
    leave();
    most = Math.max(most, admission.underWay);
    await settle(1);
  }
  assert.ok(most <= 64, `${most} at one time`);
  assert.deepEqual([admission.underWay, admission.waiting], [0, 0]);
});

test("handshakes that stall do not keep others out", async () => {
  const clock = createFakeClock();
  const admission = createHandshakeAdmission(clock);
  for (let i = 0; i < 64; i++) void admission.enter();
  await settle(40);
  let begun = false;
  void admission.enter().then(() => (begun = true));
  await settle(10);
  assert.equal(begun, false);
  await clock.advance(200);
  await settle(10);
  assert.equal(begun, true);
});
