import { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { cutBatch } from "./cut-batch.ts";

const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const bodies = (batch: EventBatch): string[] => [...batch].map(({ body }) => body.toString());

test("cutting keeps every event once, in order, within both limits", () => {
  const batch = EventBatch.join(
    Array.from({ length: 9 }, (_, i) =>
      events(...Array.from({ length: 10 }, (_, j) => `${i}.${j} `.repeat(1 + ((i * j) % 17)))),
    ),
  ).slice(3, 87);
  for (const [eventsMax, bytesMax] of [
    [1, 1e9],
    [5, 1e9],
    [1000, 50],
    [7, 200],
    [84, 1e9],
  ] as const) {
    const parts = cutBatch(batch, eventsMax, bytesMax);
    assert.deepEqual(bodies(EventBatch.join(parts)), bodies(batch));
    for (const part of parts) {
      assert.ok(part.length > 0 && part.length <= eventsMax);
      assert.ok(part.length === 1 || part.byteLength <= bytesMax);
    }
  }
  assert.deepEqual(cutBatch(batch, 84, 1e9), [batch]);
  assert.deepEqual(cutBatch(EventBatch.empty, 1, 1), [EventBatch.empty]);
});
