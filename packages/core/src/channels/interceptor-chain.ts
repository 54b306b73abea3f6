import assert from "node:assert/strict";
import type { EventBatch } from "../events/event-batch.ts";
import { editHeaders, type HeaderEdits } from "../events/header-edits.ts";
import type { Interceptor } from "../sources/source.ts";

/** One pass over a batch: neighbouring header edits together, or one function. */
interface Pass {
  readonly run: (batch: EventBatch) => EventBatch | Promise<EventBatch>;
  readonly interceptor: Interceptor;
}

/** How many events an interceptor left out of a batch. */
export interface LeftOut {
  readonly interceptor: Interceptor;
  readonly count: number;
}

export interface Intercepted {
  readonly events: EventBatch;
  readonly leftOut: readonly LeftOut[];
}

const nothing: readonly LeftOut[] = [];

/** Runs the interceptors in their order; neighbours that only set headers share one pass. */
export function createInterceptorChain(
  interceptors: readonly Interceptor[],
): (batch: EventBatch) => Promise<Intercepted> {
  const passes = toPasses(interceptors);
  return async (batch) => {
    let events = batch;
    let leftOut = nothing;
    for (const { run, interceptor } of passes) {
      const passed = await run(events);
      const count = events.length - passed.length;
      assert(count >= 0, `an interceptor made ${passed.length} events of ${events.length}`);
      if (count > 0) leftOut = [...leftOut, { interceptor, count }];
      events = passed;
    }
    return { events, leftOut };
  };
}

function toPasses(interceptors: readonly Interceptor[]): Pass[] {
  const passes: Pass[] = [];
  let neighbours: HeaderEdits[] = [];
  for (const interceptor of interceptors) {
    if (typeof interceptor === "function") {
      neighbours = [];
      passes.push({ run: interceptor, interceptor });
      continue;
    }
    if (neighbours.length === 0) {
      const together: HeaderEdits[] = (neighbours = []);
      const edit = (batch: EventBatch): EventBatch =>
        editHeaders(
          batch,
          together.flatMap((one) => [...one.edits()]),
        );
      passes.push({ run: edit, interceptor });
    }
    neighbours.push(interceptor);
  }
  return passes;
}
