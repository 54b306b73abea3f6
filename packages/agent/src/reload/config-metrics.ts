import { type Counter, declareDiscard, type Metrics } from "@millrace/core";

/** What the monitoring port shows of the configuration. */
export interface ConfigMetrics {
  /** Events that a reload gave up because it was told to. */
  readonly discarded: Counter;
  succeeded(): void;
  failed(): void;
}

export function declareConfigMetrics(metrics: Metrics, generation: () => number): ConfigMetrics {
  let lastSucceeded = true;
  metrics.gauge(
    "millrace_config_generation",
    "A number of the content of the configuration that runs; the same where the same files run.",
    generation,
  );
  metrics.gauge(
    "millrace_config_last_reload_success",
    "1 when the configuration that was read last runs, 0 when it was refused or taken back.",
    () => Number(lastSucceeded),
  );
  const failures = metrics.counter(
    "millrace_config_reload_failures_total",
    "Configurations that were read again and do not run.",
  );
  return {
    discarded: declareDiscard(metrics, "reload", true),
    succeeded() {
      lastSucceeded = true;
    },
    failed() {
      lastSucceeded = false;
      failures.value++;
    },
  };
}
