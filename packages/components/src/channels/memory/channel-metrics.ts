import { type Counter, declareChannelMetrics, declareDiscard, type Metrics } from "@millrace/core";
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
  return {
    taken: declareChannelMetrics(metrics, {
      events: () => channel.size,
      bytes: () => channel.bytes,
      capacityBytes: () => (channel.byteCapacity === Infinity ? undefined : channel.byteCapacity),
      oldestAgeSeconds: () => channel.oldestEventAgeMs() / 1000,
    }),
    leftAtExit: declareDiscard(metrics, "memory_channel_left_at_exit", false),
  };
}
