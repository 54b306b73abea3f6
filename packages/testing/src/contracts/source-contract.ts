import { isPollable, type Source } from "@millrace/core";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { lifecycleContract } from "./lifecycle-contract.ts";
import { noDeadline, within } from "./settling.ts";

/**
 * The tests every source passes. `make` is called for each test and gives a fresh source, not
 * started, with a channel processor that takes every batch; clean up by `test.after`.
 */
export function sourceContract(
  name: string,
  make: (test: TestContext) => Source | Promise<Source>,
): void {
  lifecycleContract(name, async (context) => make(context));

  void test(`${name}: if it is polled, it answers, and says how to wait`, async (context) => {
    const source = await make(context);
    await within("start", source.start(noDeadline));
    if (isPollable(source)) {
      const { incrementMs, maxMs } = source.pollBackoff;
      assert.ok(incrementMs >= 0 && maxMs >= incrementMs, `${incrementMs} up to ${maxMs} ms`);
      const stop = new AbortController();
      const answer = source.poll(stop.signal);
      stop.abort();
      assert.match(await within("an aborted poll", answer), /^(ready|backoff)$/);
    }
    await within("stop", source.stop(noDeadline));
  });
}
