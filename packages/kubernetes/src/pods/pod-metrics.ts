import type { Counter, Metrics } from "@millrace/core";
import type { PodDirectory } from "./pod-directory.ts";

/** Declares what a holder of a directory shows of it. Returns the counter to acquire it with. */
export function declarePodMetrics(
  metrics: Metrics,
  directory: () => PodDirectory | undefined,
): Counter {
  metrics.gauge(
    "millrace_kubernetes_pods",
    "Pods of this node that the API server has told of and that exist.",
    () => directory()?.counts.pods ?? 0,
  );
  return metrics.counter(
    "millrace_kubernetes_watch_restarts_total",
    "Times the API server had to be asked again: the watch broke, was refused, or was too old.",
  );
}
