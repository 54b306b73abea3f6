import { EventBatch } from "@millrace/core";

/** Events `from..to` (both included), each with its number as body and as header `n`. */
export function numberedBatch(from: number, to: number): EventBatch {
  const events = [];
  for (let n = from; n <= to; n++) {
    events.push({ headers: new Map([["n", String(n)]]), body: Buffer.from(String(n)) });
  }
  return EventBatch.fromEvents(events);
}

/** The numbers of a batch's events, in order. */
export function numbersOf(batch: EventBatch): number[] {
  return Array.from(batch, ({ body }) => Number(body.toString()));
}

/** The whole numbers `from..to`, both included. */
export function numbers(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}
