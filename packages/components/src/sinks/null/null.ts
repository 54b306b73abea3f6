import type { Sink, SinkContext } from "@millrace/core";
import type { Options } from "./options.ts";

const logIntervalMs = 1000;

/** Discards what it is given, and says now and then how much that was. */
export function createNullSink(
  { batchSize, logEveryNEvents }: Options,
  { log, name, runtime }: SinkContext,
): Sink {
  let discarded = 0;
  let nextLog = logEveryNEvents;
  let loggedMs = -Infinity;
  return {
    batchSize,
    deliveriesInFlight: 1,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    deliver(batch) {
      discarded += batch.length;
      if (discarded >= nextLog) {
        const now = runtime.clock.monotonic();
        nextLog = discarded - (discarded % logEveryNEvents) + logEveryNEvents;
        if (now - loggedMs >= logIntervalMs) {
          loggedMs = now;
          log.info(`null sink ${name} has discarded ${discarded} events`);
        }
      }
      return Promise.resolve();
    },
  };
}
