import type {
  ComponentContext,
  Labels,
  Log,
  Metrics,
  OptionSpecs,
  PartRef,
  Runtime,
} from "@millrace/core";
import type { ComponentConfig, PartConfig } from "../config/check-component.ts";
import type { MetricsSource } from "../monitoring/metrics-registry.ts";

export interface MakerOptions {
  readonly agent: string;
  readonly runtime: Runtime;
  /** The log of a component, by its name. */
  readonly log: (component: string) => Log;
  readonly metrics: MetricsSource;
  /** Labels that every metric carries, beside agent, component and type. */
  readonly labels: Labels;
  readonly home: string;
  /** The -D words; none when not given. */
  readonly systemProperties?: ReadonlyMap<string, string>;
}

/** What a component is handed, whatever kind it is of. */
export function componentContext(
  options: MakerOptions,
  config: Pick<ComponentConfig, "name" | "type" | "parts">,
  label = config.name,
): ComponentContext {
  const { agent, runtime, log, home, systemProperties = new Map() } = options;
  const common = {
    agent,
    name: config.name,
    runtime,
    home,
    systemProperties,
    log: log(label),
    metrics: componentMetrics(options, label, config.type),
  };
  return withParts(common, config.parts);
}

export function componentMetrics(
  { agent, metrics, labels }: MakerOptions,
  component: string,
  type: string,
): Metrics {
  return metrics.withLabels({ agent, ...labels, component, type });
}

function withParts(
  common: Omit<ComponentContext, "makePart">,
  parts: ReadonlyMap<string, PartConfig>,
): ComponentContext {
  return {
    ...common,
    async makePart<T>(ref: PartRef): Promise<T> {
      const part = parts.get(ref.prefix);
      if (part === undefined) throw new Error(`${common.name} has no part under ${ref.prefix}`);
      return (await part.definition.create(part.options, withParts(common, part.parts))) as T;
    },
  };
}

/** The value of the option that Flume knows under this key; undefined where there is none. */
export function optionByKey(config: ComponentConfig, key: string): unknown {
  const specs: OptionSpecs = config.definition.options;
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.key === key) return (config.options as Record<string, unknown>)[name];
  }
  return undefined;
}
