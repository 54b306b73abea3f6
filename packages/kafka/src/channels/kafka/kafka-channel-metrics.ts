import {
  type Clock,
  type Counter,
  declareChannelMetrics,
  declareDiscard,
  type Metrics,
} from "@millrace/core";

/** Flume's KafkaChannelCounter beside what every channel counts: times are milliseconds in all. */
export interface KafkaCounters {
  KafkaEventGetTimer: number;
  KafkaEventSendTimer: number;
  KafkaCommitTimer: number;
  RollbackCount: number;
}

export function createKafkaCounters(): KafkaCounters {
  return { KafkaEventGetTimer: 0, KafkaEventSendTimer: 0, KafkaCommitTimer: 0, RollbackCount: 0 };
}

export interface KafkaChannelMetrics {
  readonly taken: Counter;
  readonly malformed: Counter;
  readonly expired: Counter;
  readonly commitFailures: Counter;
  readonly givenUp: Counter;
}

export interface KafkaChannelGauges {
  readonly events: () => number;
  readonly bytes: () => number;
  readonly oldestTimestampMs: () => number | undefined;
  readonly lag: () => number | undefined;
  readonly partitions: () => number;
  readonly putBytes: () => number;
}

export function registerKafkaChannelMetrics(
  metrics: Metrics,
  clock: Clock,
  gauges: KafkaChannelGauges,
): KafkaChannelMetrics {
  metrics.gauge(
    "millrace_kafka_channel_lag_events",
    "Offsets between what the group has settled and the end of the partitions that are ours, as last read.",
    gauges.lag,
  );
  metrics.gauge(
    "millrace_kafka_channel_partitions",
    "Partitions that are ours now.",
    gauges.partitions,
  );
  metrics.gauge(
    "millrace_kafka_channel_put_bytes",
    "Bytes of events on their way to the brokers.",
    gauges.putBytes,
  );
  return {
    taken: declareChannelMetrics(metrics, {
      events: gauges.events,
      bytes: gauges.bytes,
      capacityBytes: () => undefined,
      oldestAgeSeconds: () => {
        const oldest = gauges.oldestTimestampMs();
        return oldest === undefined ? 0 : Math.max(0, clock.now() - oldest) / 1000;
      },
    }),
    malformed: declareDiscard(metrics, "kafka_record_malformed", false),
    expired: declareDiscard(metrics, "kafka_record_expired", false),
    commitFailures: metrics.counter(
      "millrace_kafka_channel_commit_failures_total",
      "Commits of offsets that failed and were tried again.",
    ),
    givenUp: metrics.counter(
      "millrace_kafka_channel_given_up_events_total",
      "Events that were lent when their partition went to another member of the group: it may deliver them again.",
    ),
  };
}
