import assert from "node:assert/strict";
import { test } from "node:test";
import { DeliveryError, MillraceError } from "../errors/millrace-error.ts";
import { EventBatch } from "./event-batch.ts";
import type { Ranges } from "./ranges.ts";
import { RemainingEvents } from "./remaining-events.ts";

const batchOf = (text: string): EventBatch =>
  EventBatch.fromEvents([...text].map((letter) => ({ body: Buffer.from(letter) })));
const letters = (batch: EventBatch): string =>
  [...batch].map(({ body }) => body.toString()).join("");
const range = (from: number, to: number): Ranges => [{ from, to }];
const partly = (settled: Ranges, rejected: Ranges = []): DeliveryError =>
  new DeliveryError("SINK_WRITE_FAILED", "partly", { settled, rejected });

void test("what one took or refused the next is not offered, in positions of what each was offered", () => {
  const remaining = new RemainingEvents(batchOf("abcdefgh"));
  remaining.note(partly(range(1, 3), range(5, 6)));
  assert.equal(letters(remaining.left), "adegh");
  remaining.note(new MillraceError("SINK_WRITE_FAILED", "nothing"));
  assert.equal(letters(remaining.left), "adegh");
  remaining.note(partly(range(0, 2)));
  assert.equal(letters(remaining.left), "egh");
  const failure = remaining.failure(new MillraceError("SINK_WRITE_FAILED", "the rest"));
  assert.ok(failure instanceof DeliveryError);
  assert.deepEqual(failure.settled, range(0, 4));
  assert.deepEqual(failure.rejected, range(5, 6));
  remaining.note();
  assert.equal(remaining.left.length, 0);
  const { settled } = remaining.failureOf("EVENT_REJECTED", "f can never be delivered");
  assert.deepEqual(settled, [...range(0, 5), ...range(6, 8)]);
});

void test("parts may be answered in any order", () => {
  const remaining = new RemainingEvents(batchOf("abcdefghi"));
  remaining.notePart(6, 3);
  remaining.notePart(0, 3, new MillraceError("RPC_TIMEOUT", "none of it"));
  remaining.notePart(3, 3, partly(range(1, 2), range(2, 3)));
  assert.equal(letters(remaining.left), "abcd");
  assert.deepEqual(remaining.rejected, range(5, 6));
});

void test("an error is handed on as it is while nothing was taken, and keeps its time to wait", () => {
  const remaining = new RemainingEvents(batchOf("ab"));
  const error = new DeliveryError("RPC_TIMEOUT", "later", { retryAfterMs: 7 });
  assert.equal(remaining.failure(error), error);
  remaining.notePart(0, 1);
  const failure = remaining.failure(error);
  assert.ok(failure instanceof DeliveryError);
  assert.deepEqual(
    [failure.code, failure.message, failure.retryAfterMs, failure.cause, failure.settled],
    ["RPC_TIMEOUT", "later", 7, error, range(0, 1)],
  );
});
