import type { Counter, Metrics } from "@millrace/core";
import type { MemoryChannel } from "./memory-channel.ts";

export interface MemoryChannelMetrics {
  readonly taken: Counter;
  readonly leftAtExit: Counter;
}

/** Declares what the monitoring port shows of a memory channel; gauges are read when it is scraped. */
export function registerChannelMetrics(
  metrics: Metrics,
  channel: Pick<MemoryChannel, "size" | "bytes" | "byteCapacity" | "oldestEventAgeMs">,
): MemoryChannelMetrics {
  metrics.gauge("millrace_channel_events", "Events held now.", () => channel.size);
  metrics.gauge("millrace_channel_bytes", "Bytes held now.", () => channel.bytes);
  metrics.gauge("millrace_channel_capacity_bytes", "Bytes the channel may hold.", () =>
    channel.byteCapacity === Infinity ? undefined : channel.byteCapacity,
  );
  metrics.gauge(
    "millrace_channel_oldest_event_age_seconds",
    "Time since the oldest event held was committed.",
    () => channel.oldestEventAgeMs() / 1000,
  );
  return {
    taken: metrics.counter(
      "millrace_channel_taken_events_total",
      "Events that sinks have taken and settled.",
    ),
    leftAtExit: metrics.counter(
      "millrace_events_discarded_total",
      "Events that were neither delivered nor are held.",
      { reason: "memory_channel_left_at_exit", intended: "false" },
    ),
  };
}
