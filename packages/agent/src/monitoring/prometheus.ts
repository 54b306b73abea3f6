import type { CounterGroup, Histogram } from "@millrace/core";
import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  type Histogram as PrometheusHistogram,
  Registry,
} from "prom-client";
import type { LeaveOut } from "./leave-out.ts";
import type { Family, MetricsRegistry, Sample } from "./metrics-registry.ts";

/** What a Prometheus server is given. */
export interface PrometheusExporter {
  readonly contentType: string;
  /** The text of everything as it is now. */
  render(): Promise<string>;
  /** Ends the observation of the process. */
  close(): void;
}

/** Flume's own reporter leaves these out, or cannot show them. */
const notExported: ReadonlySet<string> = new Set(["ChannelFillPercentage", "Closed"]);
const flumeGauges: ReadonlySet<string> = new Set([
  "ChannelSize",
  "ChannelCapacity",
  "OpenConnectionCount",
  "Open",
  "Unhealthy",
]);

/**
 * Shows the agent's metrics under their own names, Flume's counters as `Flume_<name>` with their one
 * label `component`, and the process itself (memory, event loop). Numbers are read by the callbacks
 * of a scrape, never copied between scrapes.
 */
export function createPrometheusExporter(
  registry: MetricsRegistry,
  groups: () => readonly CounterGroup[],
  leaveOut: LeaveOut,
): PrometheusExporter {
  const processRegistry = new Registry();
  collectDefaultMetrics({ register: processRegistry });
  return {
    contentType: processRegistry.contentType,
    async render() {
      const scrape = new Registry();
      for (const family of [...registry.families.values(), ...flumeFamilies(groups())]) {
        try {
          register(family, scrape, leaveOut);
        } catch (error) {
          // A plugin may have names that Prometheus has not.
          leaveOut(family.name, error);
        }
      }
      return (await scrape.metrics()) + (await processRegistry.metrics());
    },
    close() {
      processRegistry.clear();
    },
  };
}

function register(family: Family, into: Registry, leaveOut: LeaveOut): void {
  const { name, help, kind, samples } = family;
  const labelNames = [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))];
  const common = { name, help, labelNames, registers: [into] };
  switch (kind) {
    case "counter":
      new Counter({
        ...common,
        collect() {
          each(family, leaveOut, (labels, value) => this.inc(labels, value));
        },
      });
      break;
    case "gauge":
      new Gauge({
        ...common,
        collect() {
          each(family, leaveOut, (labels, value) => this.set(labels, value));
        },
      });
      break;
    case "histogram":
      assertNames(name, labelNames);
      into.registerMetric(histogramMetric(name, help, samples));
      break;
  }
}

/** A name that is none in the text makes all of it unreadable. prom-client asks for its own kinds alone. */
function assertNames(name: string, labelNames: readonly string[]): void {
  const wrong = [name, ...labelNames].find((each) => !/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(each));
  if (wrong !== undefined) throw new Error(`"${wrong}" is no name of Prometheus`);
}

/** One that throws must not take all the others away. */
function each(
  { name, samples }: Family,
  leaveOut: LeaveOut,
  take: (labels: Record<string, string>, value: number) => void,
): void {
  for (const { labels, read } of samples) {
    try {
      const value = read();
      if (typeof value === "number") take({ ...labels }, value);
    } catch (error) {
      leaveOut(name, error);
    }
  }
}

/** prom-client's histogram counts observations itself; ours has the counts. */
function histogramMetric(
  name: string,
  help: string,
  samples: readonly Sample[],
): PrometheusHistogram {
  const get = () => ({ name, help, type: "histogram", values: samples.flatMap(histogramLines) });
  return { name, help, get: () => Promise.resolve(get()) } as unknown as PrometheusHistogram;

  function histogramLines({ labels, read }: Sample) {
    const { bounds, counts, sum } = read() as Histogram;
    let below = 0;
    const buckets = counts.map((count, index) => {
      below += count;
      const le = index < bounds.length ? String(bounds[index]) : "+Inf";
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
      { metricName: `${name}_count`, labels: { ...labels }, value: below },
    ];
  }
}

function flumeFamilies(groups: readonly CounterGroup[]): Family[] {
  const families = new Map<string, Family & { samples: Sample[] }>();
  for (const group of groups) {
    for (const [attribute, value] of Object.entries(group.read())) {
      if (notExported.has(attribute)) continue;
      const gauge = flumeGauges.has(attribute);
      const name = `Flume_${attribute}${gauge ? "" : "_total"}`;
      let family = families.get(name);
      if (family === undefined) {
        family = { name, help: name, kind: gauge ? "gauge" : "counter", samples: [] };
        families.set(name, family);
      }
      family.samples.push({ labels: { component: group.name }, read: () => Number(value) });
    }
  }
  return [...families.values()];
}
