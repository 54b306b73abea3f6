import { type EventBatch, MillraceError, type Sink } from "@millrace/core";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { lifecycleContract } from "./lifecycle-contract.ts";
import { numberedBatch } from "./numbered-events.ts";
import { isPending, noDeadline, within } from "./settling.ts";

export interface SinkContractOptions {
  /** The batch that is delivered; numbered events when not given. */
  readonly batch?: EventBatch;
  /**
   * A sink whose `deliver` cannot end by itself: its peer never answers. It runs on a clock that
   * stands still. Left out for a sink that waits for no one.
   */
  readonly makeStuck?: (test: TestContext) => Sink | Promise<Sink>;
}

/**
 * The tests every sink passes. `make` is called for each test and gives a fresh sink, not started,
 * that can deliver as soon as it is; clean up by `test.after`.
 */
export function sinkContract(
  name: string,
  make: (test: TestContext) => Sink | Promise<Sink>,
  options: SinkContractOptions = {},
): void {
  const batch = options.batch ?? numberedBatch(1, 3);
  lifecycleContract(name, async (context) => make(context));

  void test(`${name}: it says how much it wants at once`, async (context) => {
    const sink = await make(context);
    for (const value of [sink.batchSize, sink.deliveriesInFlight]) {
      assert.ok(Number.isInteger(value) && value > 0, String(value));
    }
    await within("stop", sink.stop(noDeadline));
  });

  void test(`${name}: it delivers a batch, and the same batch again`, async (context) => {
    const sink = await make(context);
    await within("start", sink.start(noDeadline));
    await within("deliver", sink.deliver(batch, noDeadline));
    await within("deliver again", sink.deliver(batch, noDeadline));
    await within("stop", sink.stop(noDeadline));
  });

  void test(`${name}: deliver settles when it was given up before it began`, async (context) => {
    const sink = await make(context);
    await within("start", sink.start(noDeadline));
    await settlesAsMillrace(sink.deliver(batch, AbortSignal.abort()));
    await within("stop", sink.stop(noDeadline));
  });

  const { makeStuck } = options;
  if (makeStuck === undefined) return;
  void test(`${name}: a delivery that hangs settles soon after it is given up`, async (context) => {
    const sink = await makeStuck(context);
    await within("start", sink.start(noDeadline));
    const giveUp = new AbortController();
    const delivery = sink.deliver(batch, giveUp.signal);
    assert.ok(await isPending(delivery), "the sink is stuck");
    giveUp.abort();
    await assert.rejects(within("the delivery given up", delivery), MillraceError);
    await within("stop", sink.stop(AbortSignal.abort()));
  });
}

/** Resolves, or rejects with an error of ours; nothing else, and not never. */
async function settlesAsMillrace(promise: Promise<void>): Promise<void> {
  try {
    await within("a delivery given up", promise);
  } catch (error) {
    assert.ok(error instanceof MillraceError, `a Millrace error, not ${String(error)}`);
  }
}
