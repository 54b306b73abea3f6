import { systemRuntime } from "@millrace/core";
import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodDirectory } from "./pod-directory.ts";
import { PodLease } from "./pod-lease.ts";

void test("a directory is held while it is used, let go after ten minutes without use, and had again", async () => {
  const clock = createFakeClock();
  const journal: string[] = [];
  const acquire = (): PodDirectory => {
    journal.push("acquire");
    const release = (): void => void journal.push("release");
    return { release } as unknown as PodDirectory;
  };
  const lease = new PodLease(acquire, { ...systemRuntime, clock });
  assert.equal(clock.timerCount, 0, "nothing is asked before the first use");
  const first = lease.use();
  for (let i = 0; i < 5; i++) {
    await clock.advance(400_000);
    assert.equal(lease.use(), first);
  }
  assert.deepEqual(journal, ["acquire"]);
  await clock.advance(599_999);
  assert.equal(lease.held, first);
  await clock.advance(1);
  assert.deepEqual(journal, ["acquire", "release"]);
  assert.equal(lease.held, undefined);
  assert.equal(clock.timerCount, 0);
  lease.use();
  assert.equal(journal.length, 3);
  lease.release();
  assert.equal(clock.timerCount, 0);
});
