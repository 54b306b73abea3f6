/** What the tests of the groups have in common. */
import { DeliveryError, type EventBatch, MillraceError, type Sink } from "@millrace/core";
import { numberedBatch, numbersOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";

export type Answer = "ok" | Error | Promise<void>;

/** A sink that answers as it is told: from `answers` first, then always `otherwise`. */
export class ScriptedSink implements Sink {
  batchSize = 10;
  deliveriesInFlight = 1;
  answers: Answer[] = [];
  otherwise: Answer = "ok";
  readonly asked: number[][] = [];
  flushed = 0;
  underWay = 0;
  underWayMost = 0;
  start = () => Promise.resolve();
  stop = () => Promise.resolve();
  flush = () => void this.flushed++;

  async deliver(batch: EventBatch): Promise<void> {
    this.asked.push(numbersOf(batch));
    this.underWayMost = Math.max(this.underWayMost, ++this.underWay);
    try {
      const answer = this.answers.shift() ?? this.otherwise;
      if (answer instanceof Error) throw answer;
      if (answer !== "ok") await answer;
    } finally {
      this.underWay--;
    }
  }
}

export const down = new MillraceError("RPC_CONNECT_FAILED", "refused", {
  cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }),
});

export async function errorOf(promise: Promise<void>): Promise<DeliveryError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof DeliveryError, `a delivery error, not ${String(error)}`);
  return error;
}

/** A promise that the test ends. */
export function open(): { promise: Promise<void>; resolve(): void; reject(error: Error): void } {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}

void test("a scripted sink answers in the order of its script, then always the same", async () => {
  const sink = new ScriptedSink();
  sink.answers = [down];
  await assert.rejects(sink.deliver(numberedBatch(1, 1)), { code: "RPC_CONNECT_FAILED" });
  await sink.deliver(numberedBatch(2, 3));
  assert.deepEqual([sink.asked, sink.underWay, sink.underWayMost], [[[1], [2, 3]], 0, 1]);
});
