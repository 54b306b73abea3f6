import {
  type Counter,
  createHistogram,
  type Histogram,
  type Labels,
  type Metrics,
} from "@millrace/core";
import assert from "node:assert/strict";

export type Reading = number | Histogram | undefined;

/** One line of a metric: its labels, and how to read it when the port is scraped. */
export interface Sample {
  readonly labels: Labels;
  read(): Reading;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly samples: readonly Sample[];
}

/** All that the components of an agent declare. Nothing is copied: reading looks at their numbers. */
export interface MetricsRegistry {
  readonly families: ReadonlyMap<string, Family>;
  /** Metrics whose samples carry these labels beside their own. */
  withLabels(labels: Labels): Metrics;
}

interface OpenFamily extends Family {
  readonly samples: Sample[];
  readonly byLabels: Map<string, { sample: Sample; held: Counter | Histogram | undefined }>;
}

/**
 * Two components may declare one name, with labels of their own; the first one's help is shown. The
 * same name and labels once more give the same counter or histogram, and replace a gauge.
 */
export function createMetricsRegistry(): MetricsRegistry {
  const families = new Map<string, OpenFamily>();

  function declare(
    name: string,
    help: string,
    kind: Family["kind"],
    labels: Labels,
    make: () => { held?: Counter | Histogram; read: () => Reading },
  ): Counter | Histogram | undefined {
    let family = families.get(name);
    if (family === undefined) {
      families.set(name, (family = { name, help, kind, samples: [], byLabels: new Map() }));
    }
    assert.equal(family.kind, kind, `${name} is declared as a ${family.kind} and as a ${kind}`);
    const key = JSON.stringify(Object.entries(labels).sort());
    const known = family.byLabels.get(key);
    if (known !== undefined && kind !== "gauge") return known.held;
    const { held, read } = make();
    const sample = { labels, read };
    if (known === undefined) family.samples.push(sample);
    else family.samples[family.samples.indexOf(known.sample)] = sample;
    family.byLabels.set(key, { sample, held });
    return held;
  }

  return {
    families,
    withLabels: (common) => ({
      counter(name, help, labels = {}) {
        const held = declare(name, help, "counter", { ...common, ...labels }, () => {
          const counter: Counter = { value: 0 };
          return { held: counter, read: () => counter.value };
        });
        return held as Counter;
      },
      gauge(name, help, read, labels = {}) {
        declare(name, help, "gauge", { ...common, ...labels }, () => ({ read }));
      },
      histogram(name, help, labels = {}) {
        const held = declare(name, help, "histogram", { ...common, ...labels }, () => {
          const histogram = createHistogram();
          return { held: histogram, read: () => histogram };
        });
        return held as Histogram;
      },
    }),
  };
}
