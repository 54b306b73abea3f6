import type { Counter, Histogram, Metrics } from "@millrace/core";

export interface ChannelGauges {
  readonly events: () => number;
  readonly bytes: () => number;
  readonly capacityBytes: () => number | undefined;
  readonly oldestAgeSeconds: () => number;
  readonly availableBytes: () => number | undefined;
  readonly reservedBytes: () => number | undefined;
}

export interface ChannelMetrics {
  readonly taken: Counter;
  readonly corruptDiscarded: Counter;
  readonly syncSeconds: Histogram;
  readonly errors: Readonly<Record<ErrorKind, Counter>>;
}

export type ErrorKind = "write" | "ack" | "sync" | "corrupt" | "disk_full";

/** Declares everything at once, so that no counter is born above zero. */
export function declareMetrics(metrics: Metrics, gauges: ChannelGauges): ChannelMetrics {
  metrics.gauge("millrace_channel_events", "Events held now.", gauges.events);
  metrics.gauge("millrace_channel_bytes", "Bytes held now.", gauges.bytes);
  metrics.gauge(
    "millrace_channel_capacity_bytes",
    "Bytes the channel may hold.",
    gauges.capacityBytes,
  );
  metrics.gauge(
    "millrace_channel_oldest_event_age_seconds",
    "Time since the oldest event held was committed.",
    gauges.oldestAgeSeconds,
  );
  metrics.gauge(
    "millrace_file_channel_available_bytes",
    "Free bytes of the roomiest data directory.",
    gauges.availableBytes,
  );
  metrics.gauge(
    "millrace_file_channel_reserved_bytes",
    "Free bytes that puts leave alone.",
    gauges.reservedBytes,
  );
  const errors = (kind: ErrorKind): Counter =>
    metrics.counter("millrace_file_channel_errors_total", "Errors of the disk, by kind.", { kind });
  return {
    taken: metrics.counter(
      "millrace_channel_taken_events_total",
      "Events that sinks have taken and settled.",
    ),
    corruptDiscarded: metrics.counter(
      "millrace_events_discarded_total",
      "Events that were neither delivered nor are held.",
      { reason: "corrupt_record", intended: "false" },
    ),
    syncSeconds: metrics.histogram("millrace_file_channel_sync_seconds", "Time of an fdatasync."),
    errors: {
      write: errors("write"),
      ack: errors("ack"),
      sync: errors("sync"),
      corrupt: errors("corrupt"),
      disk_full: errors("disk_full"),
    },
  };
}
