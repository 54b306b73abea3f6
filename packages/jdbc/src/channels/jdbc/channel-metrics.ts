import {
  type ChannelGauges,
  type Counter,
  declareChannelMetrics,
  declareDiscard,
  type Metrics,
} from "@millrace/core";

export interface JdbcChannelGauges extends ChannelGauges {
  readonly settledRows: () => number;
}

export interface JdbcChannelMetrics {
  readonly taken: Counter;
  readonly missing: Counter;
  readonly errors: Readonly<Record<"write" | "forget" | "lost" | "corrupt", Counter>>;
}

/** Declares everything at once, so that no counter is born above zero. */
export function declareMetrics(metrics: Metrics, gauges: JdbcChannelGauges): JdbcChannelMetrics {
  metrics.gauge(
    "millrace_jdbc_channel_settled_rows",
    "Delivered events whose rows are not deleted yet: a crash delivers them again.",
    gauges.settledRows,
  );
  const errors = (kind: string): Counter =>
    metrics.counter("millrace_jdbc_channel_errors_total", "Errors of the database, by kind.", {
      kind,
    });
  return {
    taken: declareChannelMetrics(metrics, gauges),
    missing: declareDiscard(metrics, "missing_row", false),
    errors: {
      write: errors("write"),
      forget: errors("forget"),
      lost: errors("lost"),
      corrupt: errors("corrupt"),
    },
  };
}
