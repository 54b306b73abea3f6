import { type Counter, declareChannelMetrics, type Metrics } from "@millrace/core";
import type { DirectChannel } from "./direct-channel.ts";

export interface DirectChannelMetrics {
  readonly taken: Counter;
  readonly withdrawn: Counter;
  readonly late: Counter;
  readonly duplicates: Counter;
}

/** Declares what the monitoring port shows of a direct channel; gauges are read when it is scraped. */
export function declareDirectMetrics(
  metrics: Metrics,
  channel: Pick<DirectChannel, "size" | "bytes" | "byteCapacity" | "oldestEventAgeMs">,
): DirectChannelMetrics {
  return {
    taken: declareChannelMetrics(metrics, {
      events: () => channel.size,
      bytes: () => channel.bytes,
      capacityBytes: () => (channel.byteCapacity === Infinity ? undefined : channel.byteCapacity),
      oldestAgeSeconds: () => channel.oldestEventAgeMs() / 1000,
    }),
    withdrawn: metrics.counter(
      "millrace_direct_withdrawn_events_total",
      "Events withdrawn because no sink took them within keep-alive; their senders were told to try again.",
    ),
    late: metrics.counter(
      "millrace_direct_late_events_total",
      "Events whose senders were told to try again because sinks took them but had not delivered them within answerTimeout.",
    ),
    duplicates: metrics.counter(
      "millrace_direct_possible_duplicates_total",
      "Events delivered although their senders were told to try again: each probably arrives twice.",
    ),
  };
}
