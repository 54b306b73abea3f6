import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "@millrace/testing";
import { runLoops } from "./run-loops.ts";

/** Loops whose rounds the test ends one by one. */
function given(first: number) {
  const stop = new AbortController();
  const errors: unknown[] = [];
  const rounds: { end(): void; fail(error: Error): void }[] = [];
  let begun = 0;
  let wanted = first;
  const ended = runLoops({
    wanted: () => wanted,
    begin() {
      begun++;
      return () =>
        new Promise<void>((end, fail) => {
          rounds.push({ end, fail });
        });
    },
    until: stop.signal,
    onError: (error) => void errors.push(error),
  });
  const endOne = async (): Promise<void> => {
    rounds.shift()?.end();
    await settle();
  };
  return { stop, errors, rounds, ended, endOne, want: (n: number) => (wanted = n), begun: () => begun }; // prettier-ignore
}

void test("more loops begin at the end of a round when more are wanted", async () => {
  const { rounds, endOne, want, begun, stop } = given(1);
  assert.equal(rounds.length, 1);
  want(4);
  assert.equal(rounds.length, 1, "nothing is looked at before a round ends");
  await endOne();
  assert.equal(rounds.length, 4);
  await endOne();
  assert.deepEqual([rounds.length, begun()], [4, 4], "no loop too many");
  stop.abort();
});

void test("loops too many end before their next round; the last one never does", async () => {
  const { rounds, endOne, want, stop } = given(3);
  assert.equal(rounds.length, 3);
  want(0);
  // Two rounds that end in one turn must not take each other for the one that stays.
  rounds.shift()?.end();
  rounds.shift()?.end();
  rounds.shift()?.end();
  await settle();
  assert.equal(rounds.length, 1);
  await endOne();
  assert.equal(rounds.length, 1);
  want(2);
  await endOne();
  assert.equal(rounds.length, 2, "and they come back");
  stop.abort();
});

void test("all has ended when the last round has, after the stop", async () => {
  const { endOne, stop, ended, rounds } = given(2);
  let over = false;
  void ended.then(() => (over = true));
  stop.abort();
  await endOne();
  assert.equal(over, false);
  await endOne();
  assert.deepEqual([over, rounds.length], [true, 0]);
});

void test("a loop whose round throws ends and is told of; the others go on, and it is replaced", async () => {
  const { rounds, errors, endOne, stop, ended } = given(2);
  rounds.shift()?.fail(new Error("a mistake"));
  await settle();
  assert.deepEqual([errors.length, rounds.length], [1, 1]);
  await endOne();
  assert.equal(rounds.length, 2);
  stop.abort();
  await endOne();
  await endOne();
  await ended;
});

void test("told to stop before it began, nothing runs", async () => {
  let begun = 0;
  await runLoops({
    wanted: () => 3,
    begin: () => () => Promise.resolve(void begun++),
    until: AbortSignal.abort(),
    onError: (error) => assert.fail(String(error)),
  });
  assert.equal(begun, 0);
});
