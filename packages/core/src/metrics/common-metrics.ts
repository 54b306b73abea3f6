import type { Counter, Metrics } from "./metrics.ts";

/** What the monitoring port shows of every channel; read when it is scraped. */
export interface ChannelGauges {
  readonly events: () => number;
  readonly bytes: () => number;
  /** Undefined where the channel has no bound in bytes. */
  readonly capacityBytes: () => number | undefined;
  readonly oldestAgeSeconds: () => number;
}

/** Declares what every channel shows. Returns the counter of events taken and settled. */
export function declareChannelMetrics(metrics: Metrics, gauges: ChannelGauges): Counter {
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
  return metrics.counter(
    "millrace_channel_taken_events_total",
    "Events that sinks have taken and settled.",
  );
}

/** The counter of events that were let go for one reason, on purpose or not. Declare it at start. */
export function declareDiscard(metrics: Metrics, reason: string, intended: boolean): Counter {
  return metrics.counter(
    "millrace_events_discarded_total",
    "Events that were neither delivered nor held any more, by reason.",
    { reason, intended: String(intended) },
  );
}
