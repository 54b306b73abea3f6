import type { Sink, SinkContext } from "@millrace/core";
import { eventText } from "./event-text.ts";
import type { Options } from "./options.ts";

/** Flume takes one event at a time here; a batch is the same lines in fewer transactions. */
const eventsPerDelivery = 100;

/** One line in the agent's log for each event, at level info. */
export function createLoggerSink({ maxBytesToLog }: Options, { log }: SinkContext): Sink {
  return {
    batchSize: eventsPerDelivery,
    deliveriesInFlight: 1,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    deliver(batch) {
      for (const event of batch) log.info(`Event: ${eventText(event, maxBytesToLog)}`);
      return Promise.resolve();
    },
  };
}
