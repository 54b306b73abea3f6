import {
  type Counter,
  createHistogram,
  type Histogram,
  type Labels,
  type Metrics,
} from "@millrace/core";

export interface CollectingMetrics extends Metrics {
  /** The counter's or gauge's value now; undefined when no component declared it. */
  value(name: string, labels?: Labels): number | undefined;
}

/** Keeps what components declare, so that a test can read it. */
export function createCollectingMetrics(): CollectingMetrics {
  const readers = new Map<string, () => number | undefined>();
  const keyOf = (name: string, labels: Labels = {}): string =>
    `${name}${JSON.stringify(Object.entries(labels).sort())}`;
  return {
    counter(name, _help, labels) {
      const counter: Counter = { value: 0 };
      readers.set(keyOf(name, labels), () => counter.value);
      return counter;
    },
    gauge(name, _help, read, labels) {
      readers.set(keyOf(name, labels), read);
    },
    histogram(name, _help, labels) {
      const histogram: Histogram = createHistogram();
      readers.set(keyOf(name, labels), () => histogram.counts.reduce((a, b) => a + b, 0));
      return histogram;
    },
    value: (name, labels) => readers.get(keyOf(name, labels))?.(),
  };
}
