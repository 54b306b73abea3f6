/**
 * Metrics of one component beside Flume's counters: plain numbers and functions that are read when
 * the monitoring port is scraped. Labels `agent`, `component` and `type` are added by the agent.
 * Declare every label value that can occur at start: a counter born at 1 is invisible to an alert.
 */
export interface Metrics {
  /** A number that only grows. `name` as Prometheus wants it, `_total` at the end. */
  counter(name: string, help: string, labels?: Labels): Counter;
  /** A number read when asked; undefined leaves the sample out. */
  gauge(name: string, help: string, read: () => number | undefined, labels?: Labels): void;
  /** Observations in seconds, in fixed buckets. */
  histogram(name: string, help: string, labels?: Labels): Histogram;
}

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  value: number;
}

export interface Histogram {
  /** Upper bounds in seconds; one more count than bounds, the last one for what is above all. */
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum: number;
}

const secondsBounds = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 20, 60] as const;

export function createHistogram(): Histogram {
  return {
    bounds: secondsBounds,
    counts: new Array<number>(secondsBounds.length + 1).fill(0),
    sum: 0,
  };
}

export function observe(histogram: Histogram, seconds: number): void {
  let bucket = 0;
  while (bucket < histogram.bounds.length && seconds > (histogram.bounds[bucket] as number))
    bucket++;
  histogram.counts[bucket] = (histogram.counts[bucket] as number) + 1;
  histogram.sum += seconds;
}

/** Keeps nothing anyone reads: for tests and for components made outside an agent. */
export const noMetrics: Metrics = {
  counter: () => ({ value: 0 }),
  gauge() {},
  histogram: createHistogram,
};
