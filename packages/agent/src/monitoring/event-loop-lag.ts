import type { Metrics } from "@millrace/core";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

const resolutionMs = 10;

/**
 * How late timers fire, between two scrapes: an agent whose event loop lags answers nobody in time.
 * It is measured from the first scrape on, which shows 0.
 */
export function declareEventLoopLag(metrics: Metrics): void {
  let delays: IntervalHistogram | undefined;
  const seconds = (percentile: number): number => {
    if (delays === undefined) {
      delays = monitorEventLoopDelay({ resolution: resolutionMs });
      delays.enable();
      return 0;
    }
    // A timer in time counts with its own interval.
    return delays.count === 0
      ? 0
      : Math.max(0, delays.percentile(percentile) / 1e9 - resolutionMs / 1e3);
  };
  const declare = (quantile: string, read: () => number): void =>
    metrics.gauge(
      "millrace_event_loop_lag_seconds",
      "How late timers fired since the last scrape.",
      read,
      { quantile },
    );
  declare("0.5", () => seconds(50));
  // The last that a scrape reads.
  declare("0.99", () => {
    const lag = seconds(99);
    delays?.reset();
    return lag;
  });
}
