import {
  type ChannelGauges,
  type Counter,
  declareChannelMetrics,
  declareDiscard,
  type Histogram,
  type Metrics,
} from "@millrace/core";

export interface FileChannelGauges extends ChannelGauges {
  readonly availableBytes: () => number | undefined;
  readonly reservedBytes: () => number | undefined;
}

export interface ChannelMetrics {
  /** These go on over restarts: totals since the channel was made. */
  readonly put: Counter;
  readonly taken: Counter;
  readonly corruptDiscarded: Counter;
  readonly syncSeconds: Histogram;
  readonly errors: Readonly<Record<ErrorKind, Counter>>;
}

export type ErrorKind = "write" | "ack" | "sync" | "corrupt" | "disk_full";

/** Declares everything at once, so that no counter is born above zero. */
export function declareMetrics(metrics: Metrics, gauges: FileChannelGauges): ChannelMetrics {
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
    put: metrics.counter(
      "millrace_file_channel_put_events_total",
      "Events put since the channel was made, over all restarts.",
    ),
    taken: declareChannelMetrics(metrics, gauges),
    corruptDiscarded: declareDiscard(metrics, "corrupt_record", false),
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
