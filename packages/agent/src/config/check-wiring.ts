import type { AgentConfiguration, SinkConfig, SourceConfig } from "./agent-configuration.ts";
import type { AgentProperties } from "./agent-properties.ts";
import type { ComponentConfig, Report } from "./check-component.ts";

/**
 * A source or sink whose batches are larger than a transaction of its channel could never move one:
 * it is left out, as Flume does.
 */
export function checkBatchSizes(
  channels: ReadonlyMap<string, ComponentConfig<"channel">>,
  sources: Map<string, SourceConfig>,
  sinks: Map<string, SinkConfig>,
  { components }: AgentProperties,
  report: Report,
): void {
  const fits = (
    config: SourceConfig | SinkConfig,
    names: readonly string[],
    given: AgentProperties["components"]["sources"],
  ): boolean => {
    const size = config.definition.batchSize?.(config.options);
    if (size === undefined) return true;
    const own = given.find(({ name }) => name === config.name);
    const property = [...(own?.properties.values() ?? [])].find(({ key }) =>
      /batch-?size$/i.test(key),
    );
    const place = property ?? config.place;
    const key = property?.key ?? own?.prefix.slice(0, -1) ?? config.name;
    let whole = true;
    for (const name of names) {
      const channel = channels.get(name);
      const most = channel?.definition.transactionCapacity?.(channel.options);
      if (most === undefined || size <= most) continue;
      whole = false;
      const message = `batches of ${size} events do not fit transactionCapacity ${most} of channel ${name}`;
      report("error", place, key, message);
    }
    return whole;
  };
  for (const [name, source] of sources) {
    if (!fits(source, source.channels, components.sources)) sources.delete(name);
  }
  for (const [name, sink] of sinks) {
    if (!fits(sink, [sink.channel], components.sinks)) sinks.delete(name);
  }
}

/** Two channels of one agent that would keep their data in one directory. The later is left out. */
export function checkSharedDirectories(
  agent: string,
  channels: Map<string, ComponentConfig<"channel">>,
  report: Report,
): void {
  const owner = new Map<string, string>();
  for (const [name, { definition, options, place }] of channels) {
    const directories = new Set<string>();
    for (const [option, spec] of Object.entries(definition.options)) {
      if (spec.key !== "dataDirs" || spec.form === "ignored") continue;
      const value = options[option] as unknown;
      const written = Array.isArray(value) ? (value as readonly string[]) : [];
      if (written.length === 0) directories.add("the default dataDirs");
      for (const item of written) directories.add(item.replace(/\/+$/, ""));
    }
    for (const directory of directories) {
      const other = owner.get(directory);
      if (other === undefined) {
        owner.set(directory, name);
        continue;
      }
      channels.delete(name);
      const message = `would share ${directory} with channel ${other}; give each its own dataDirs`;
      report("error", place, `${agent}.channels.${name}`, message);
      break;
    }
  }
}

/** Without the channels that nothing uses any more. */
export function withoutUnused(configuration: AgentConfiguration): AgentConfiguration {
  const { channels, sources, sinks } = configuration;
  const used = new Set([...sources.values()].flatMap((source) => source.channels));
  for (const sink of sinks.values()) used.add(sink.channel);
  return { ...configuration, channels: new Map([...channels].filter(([name]) => used.has(name))) };
}

/** Says which channels nothing uses, and which have one end only, in a configuration without errors. */
export function reportLooseEnds(configuration: AgentConfiguration, report: Report): void {
  const { agent, channels, sources, sinks } = configuration;
  const filled = new Set([...sources.values()].flatMap((source) => source.channels));
  const drained = new Set([...sinks.values()].map((sink) => sink.channel));
  for (const [name, { place }] of channels) {
    const key = `${agent}.channels.${name}`;
    if (!filled.has(name) && !drained.has(name)) {
      report("warning", place, key, "is left out: no source and no sink uses it");
    } else if (!drained.has(name)) {
      report("warning", place, key, "has no sink: it fills up, and then its sources stop");
    } else if (!filled.has(name)) {
      report("note", place, key, "has no source: its sinks only drain what it holds");
    }
  }
}
