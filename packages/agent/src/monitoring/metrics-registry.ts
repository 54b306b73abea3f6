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
export interface MetricsRegistry extends MetricsSource {
  readonly families: ReadonlyMap<string, Family>;
  /** What is declared by way of it goes away together. */
  scope(): MetricsScope;
}

export interface MetricsSource {
  /** Metrics whose samples carry these labels beside their own. */
  withLabels(labels: Labels): Metrics;
}

export interface MetricsScope extends MetricsSource {
  /** Takes away what nobody else has declared too. A gauge shows again what it showed before. */
  release(): void;
}

type Held = Counter | Histogram | undefined;

/** One declaration of a sample. */
interface Claim {
  readonly scope: object;
  readonly held: Held;
  read(): Reading;
}

interface OpenFamily extends Family {
  readonly samples: Sample[];
  readonly byLabels: Map<string, { readonly sample: Sample; readonly claims: Claim[] }>;
}

/**
 * Two components may declare one name, with labels of their own; the first one's help is shown. The
 * same name and labels once more give the same counter or histogram, and the newest gauge. So a
 * component that is made anew goes on counting where the one before it ended.
 */
export function createMetricsRegistry(): MetricsRegistry {
  const families = new Map<string, OpenFamily>();
  const released = new WeakSet<object>();

  function declare(
    scope: object,
    [name, help, kind]: readonly [string, string, Family["kind"]],
    labels: Labels,
    make: () => { held?: Counter | Histogram; read: () => Reading },
  ): Held {
    // What comes late from a component that is gone is counted where nobody looks.
    if (released.has(scope)) return make().held;
    let family = families.get(name);
    if (family === undefined) {
      families.set(name, (family = { name, help, kind, samples: [], byLabels: new Map() }));
    }
    assert.equal(family.kind, kind, `${name} is declared as a ${family.kind} and as a ${kind}`);
    const key = JSON.stringify(Object.entries(labels).sort());
    let known = family.byLabels.get(key);
    if (known === undefined) {
      const claims: Claim[] = [];
      known = { claims, sample: { labels, read: () => claims.at(-1)?.read() } };
      family.samples.push(known.sample);
      family.byLabels.set(key, known);
    }
    const { claims } = known;
    const last = claims.at(-1);
    const { held, read } = kind !== "gauge" && last !== undefined ? last : make();
    if (last?.scope === scope) claims.pop();
    claims.push({ scope, held, read });
    return held;
  }

  function release(scope: object): void {
    released.add(scope);
    for (const family of families.values()) {
      for (const [key, { sample, claims }] of family.byLabels) {
        const left = claims.filter((claim) => claim.scope !== scope);
        claims.splice(0, claims.length, ...left);
        if (claims.length > 0) continue;
        family.byLabels.delete(key);
        family.samples.splice(family.samples.indexOf(sample), 1);
      }
      if (family.samples.length === 0) families.delete(family.name);
    }
  }

  const metricsOf = (scope: object, common: Labels): Metrics => ({
    counter(name, help, labels = {}) {
      const held = declare(scope, [name, help, "counter"], { ...common, ...labels }, () => {
        const counter: Counter = { value: 0 };
        return { held: counter, read: () => counter.value };
      });
      return held as Counter;
    },
    gauge(name, help, read, labels = {}) {
      declare(scope, [name, help, "gauge"], { ...common, ...labels }, () => ({ read }));
    },
    histogram(name, help, labels = {}) {
      const held = declare(scope, [name, help, "histogram"], { ...common, ...labels }, () => {
        const histogram = createHistogram();
        return { held: histogram, read: () => histogram };
      });
      return held as Histogram;
    },
  });

  return {
    families,
    withLabels: (labels) => metricsOf(families, labels),
    scope() {
      const scope = {};
      return {
        withLabels: (labels) => metricsOf(scope, labels),
        release: () => release(scope),
      };
    },
  };
}
