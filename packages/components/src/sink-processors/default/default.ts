import { MillraceError, type Sink, type SinkProcessorContext } from "@millrace/core";

/**
 * Hands every batch to the one sink, and its errors on as they are. The sink's owner starts and stops
 * it. Throws CONFIG_INVALID for more or fewer sinks than one.
 */
export function createDefaultProcessor({ name, sinks }: SinkProcessorContext): Sink {
  const [sink, ...others] = sinks.values();
  if (sink === undefined || others.length > 0) {
    throw new MillraceError(
      "CONFIG_INVALID",
      `sink group ${name} has ${sinks.size} sinks; processor type default takes exactly one, ` +
        `failover and load_balance take more`,
      { context: { key: "sinks" } },
    );
  }
  return {
    get batchSize() {
      return sink.batchSize;
    },
    get deliveriesInFlight() {
      return sink.deliveriesInFlight;
    },
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    flush: () => sink.flush?.(),
    deliver: (batch, giveUp) => sink.deliver(batch, giveUp),
  };
}
