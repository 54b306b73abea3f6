import assert from "node:assert/strict";
import type { EventBatch } from "../events/event-batch.ts";
import { editHeaders, type HeaderEdits } from "../events/header-edits.ts";
import type { Interceptor } from "../sources/source.ts";

/** One pass over a batch: neighbouring header edits together, or one function. */
type Pass = (batch: EventBatch) => EventBatch | Promise<EventBatch>;

/** Runs the interceptors in their order; neighbours that only set headers share one pass. */
export function createInterceptorChain(
  interceptors: readonly Interceptor[],
): (batch: EventBatch) => Promise<EventBatch> {
  const passes = toPasses(interceptors);
  return async (batch) => {
    let events = batch;
    for (const pass of passes) {
      const passed = await pass(events);
      assert(
        passed.length <= events.length,
        `an interceptor made ${passed.length} events of ${events.length}`,
      );
      events = passed;
    }
    return events;
  };
}

function toPasses(interceptors: readonly Interceptor[]): Pass[] {
  const passes: Pass[] = [];
  let neighbours: HeaderEdits[] = [];
  for (const interceptor of interceptors) {
    if (typeof interceptor === "function") {
      neighbours = [];
      passes.push(interceptor);
      continue;
    }
    if (neighbours.length === 0) {
      const together: HeaderEdits[] = (neighbours = []);
      passes.push((batch) =>
        editHeaders(
          batch,
          together.flatMap((one) => [...one.edits()]),
        ),
      );
    }
    neighbours.push(interceptor);
  }
  return passes;
}
