import { createFakeClock, settle } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { WaitingLine } from "./waiting-line.ts";

const gaveUp = (): never => {
  throw new Error("gave up");
};

function given() {
  const clock = createFakeClock();
  return { clock, line: new WaitingLine<number, string>(clock) };
}

test("a line serves first come, first served, up to the first it has nothing for", async () => {
  const { clock, line } = given();
  const served: string[] = [];
  for (const asked of [1, 5, 2]) {
    void line.wait(asked, 1000, undefined, gaveUp).then((got) => served.push(got));
  }
  line.serve((asked) => (asked < 5 ? `${asked} served` : undefined));
  await settle();
  assert.deepEqual(served, ["1 served"], "nobody overtakes");
  line.serve((asked) => `${asked} served`);
  await settle();
  assert.deepEqual(served, ["1 served", "5 served", "2 served"]);
  assert.ok(line.isEmpty);
  assert.equal(clock.timerCount, 0);
});

test("a wait ends with what giveUp says, at its time, at an abort, or at once with no time", async () => {
  const { clock, line } = given();
  const stop = new AbortController();
  const timed = line.wait(1, 1000, undefined, () => "late");
  const aborted = line.wait(2, 5000, stop.signal, gaveUp);
  assert.equal(await line.wait(3, 0, undefined, () => "no time"), "no time");
  await assert.rejects(line.wait(4, 9, AbortSignal.abort(), gaveUp), /gave up/);
  const refused = assert.rejects(aborted, /gave up/);
  stop.abort();
  await refused;
  await clock.advance(1000);
  assert.equal(await timed, "late");
  assert.ok(line.isEmpty);
  assert.equal(clock.timerCount, 0);
});

test("whoever gives up has left the line before it is told", async () => {
  const { clock, line } = given();
  let behind = "";
  const first = line.wait(9, 1000, undefined, () => {
    line.serve((asked) => String(asked));
    return "gave up";
  });
  void line.wait(1, 2000, undefined, gaveUp).then((got) => (behind = got));
  await clock.advance(1000);
  assert.equal(await first, "gave up");
  assert.equal(behind, "1", "the one behind it was served");
});

test("the end of a line settles everyone", async () => {
  const { line } = given();
  const waits = [1, 2].map((asked) => line.wait(asked, 1000, undefined, gaveUp));
  line.end(() => "closed");
  assert.deepEqual(await Promise.all(waits), ["closed", "closed"]);
  assert.ok(line.isEmpty);
});
