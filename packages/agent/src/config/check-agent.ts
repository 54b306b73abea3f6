import type {
  AgentConfiguration,
  Dropped,
  SinkConfig,
  SourceConfig,
} from "./agent-configuration.ts";
import { type AgentProperties, type ComponentProperties, listedOf } from "./agent-properties.ts";
import {
  type CheckContext,
  checkComponent,
  type ComponentConfig,
  type Report,
} from "./check-component.ts";
import { checkSinkGroups } from "./check-sink-groups.ts";
import {
  checkBatchSizes,
  checkSharedDirectories,
  reportLooseEnds,
  withoutUnused,
} from "./check-wiring.ts";
import { didYouMean } from "./nearest-name.ts";
import type { Property } from "./read-property-files.ts";

/**
 * Checks one agent's components in Flume's order - channels, sources, sinks, groups - and leaves
 * out each that has an error, with what depends on it. What is left is whole.
 */
export async function checkAgent(
  given: AgentProperties,
  checks: Omit<CheckContext, "agent"> & { readonly generation: number },
): Promise<{ configuration: AgentConfiguration; dropped: Dropped[] }> {
  let errors = 0;
  const report: Report = (severity, place, property, message) => {
    if (severity === "error") errors++;
    checks.report(severity, place, property, message);
  };
  const { agent, components } = given;
  const check: CheckContext = { ...checks, agent, report };
  for (const { place, prefix } of components.configfilters) {
    const message = "configuration filters are not supported in this version; use ${env:NAME}";
    report("error", place, prefix.slice(0, -1), message);
  }
  const declared = components.channels.map(({ name }) => name);
  const channels = new Map<string, ComponentConfig<"channel">>();
  for (const component of components.channels) {
    const channel = await checkComponent("channel", component, check);
    if (channel !== undefined) channels.set(component.name, channel);
  }
  checkSharedDirectories(agent, channels, report);
  const sources = new Map<string, SourceConfig>();
  for (const component of components.sources) {
    const source = await checkSource(component, channels, declared, check);
    if (source !== undefined) sources.set(component.name, source);
  }
  const sinks = new Map<string, SinkConfig>();
  for (const component of components.sinks) {
    const sink = await checkSink(component, channels, declared, check);
    if (sink !== undefined) sinks.set(component.name, sink);
  }
  checkBatchSizes(channels, sources, sinks, given, report);
  const groups = await checkSinkGroups(components, sinks, check);
  const configuration = {
    ...{ agent, channels, sources, sinks, groups },
    discardOnReload: new Set(given.discardOnReload),
    generation: checks.generation,
  };
  if (errors === 0) reportLooseEnds(configuration, report);
  return {
    configuration: withoutUnused(configuration),
    dropped: listDropped(components, configuration),
  };
}

function listDropped(
  components: AgentProperties["components"],
  { channels, sources, sinks, groups }: AgentConfiguration,
): Dropped[] {
  const left = (
    kind: Dropped["kind"],
    all: readonly ComponentProperties[],
    kept: ReadonlyMap<string, unknown>,
  ): Dropped[] => all.filter(({ name }) => !kept.has(name)).map(({ name }) => ({ kind, name }));
  return [
    ...left("channel", components.channels, channels),
    ...left("source", components.sources, sources),
    ...left("sink", components.sinks, sinks),
    ...left("sink group", components.sinkgroups, groups),
  ];
}

async function checkSource(
  component: ComponentProperties,
  channels: ReadonlyMap<string, ComponentConfig<"channel">>,
  declared: readonly string[],
  check: CheckContext,
): Promise<SourceConfig | undefined> {
  const own = new Map<string, Property>();
  const selectorProperties = new Map<string, Property>();
  for (const [key, property] of component.properties) {
    if (key === "channels" || key === "interceptors" || key.startsWith("interceptors.")) continue;
    if (key.startsWith("selector.")) selectorProperties.set(key.slice(9), property);
    else if (key !== "channel" || component.properties.has("channels")) own.set(key, property);
  }
  const source = await checkComponent("source", { ...component, properties: own }, check);
  const names = checkChannels(component, channels, declared, check.report);
  const selector = await checkComponent(
    "selector",
    {
      name: component.name,
      prefix: `${component.prefix}selector.`,
      place: selectorProperties.get("type") ?? component.place,
      properties: selectorProperties,
      defaultType: "replicating",
      neighbours: {
        channels: listedOf(component, "channels", declared),
        place: component.properties.get("channels") ?? component.place,
      },
    },
    check,
  );
  const interceptors = await checkInterceptors(component, check);
  if (!source || !selector || !interceptors || names.length === 0) return undefined;
  const optionalChannels = new Set<string>();
  for (const [key, { value }] of selectorProperties) {
    if (!/^optional(\.|$)/.test(key)) continue;
    for (const name of value.split(/\s+/)) optionalChannels.add(name);
  }
  return { ...source, channels: names, selector, interceptors, optionalChannels };
}

/** The source's channels that are there. */
function checkChannels(
  { properties, prefix, place }: ComponentProperties,
  channels: ReadonlyMap<string, ComponentConfig<"channel">>,
  declared: readonly string[],
  report: Report,
): string[] {
  const property = properties.get("channels");
  if (property === undefined) {
    const near = properties.has("channel") ? "; a source has channels, a sink has a channel" : "";
    report("error", place, `${prefix}channels`, `is required: the names of its channels${near}`);
    return [];
  }
  const names = new Set(property.value.split(/\s+/));
  for (const name of names) {
    if (channels.has(name)) continue;
    reportNoChannel(property, name, declared, report);
    names.delete(name);
  }
  return [...names];
}

/** A channel with errors of its own is only noted: its errors are the ones to correct. */
function reportNoChannel(
  property: Property,
  name: string,
  declared: readonly string[],
  report: Report,
): void {
  if (declared.includes(name)) {
    report("note", property, property.key, `channel ${name} has errors of its own`);
    return;
  }
  const known = declared.length === 0 ? "; the agent has none" : `; it has ${declared.join(", ")}`;
  const why = name.includes(",")
    ? "; names are separated by blanks, not commas"
    : didYouMean(name, declared) || known;
  const several = /\s/.test(name) ? "; a sink reads one channel" : "";
  report("error", property, property.key, `no channel ${name}${why}${several}`);
}

/** All of them in order, or undefined when one has an error. */
async function checkInterceptors(
  { properties, prefix, place }: ComponentProperties,
  check: CheckContext,
): Promise<ComponentConfig<"interceptor">[] | undefined> {
  const list = properties.get("interceptors");
  const names = [...new Set((list?.value ?? "").split(/\s+/).filter((name) => name !== ""))];
  const found = new Map<string, Map<string, Property>>();
  for (const [key, property] of properties) {
    if (!key.startsWith("interceptors.")) continue;
    const [name = "", ...rest] = key.slice("interceptors.".length).split(".");
    let own = found.get(name);
    if (own === undefined) found.set(name, (own = new Map()));
    own.set(rest.join("."), property);
  }
  for (const [name, own] of found) {
    if (names.includes(name)) continue;
    const [first] = own.values();
    const where = first ?? place;
    const near = didYouMean(name, names);
    const message = `is left out: ${prefix}interceptors does not list it${near}`;
    check.report("warning", where, `${prefix}interceptors.${name}`, message);
  }
  const interceptors: (ComponentConfig<"interceptor"> | undefined)[] = [];
  for (const name of names) {
    const own = found.get(name) ?? new Map<string, Property>();
    const at = own.get("type") ?? list ?? place;
    const given = { name, prefix: `${prefix}interceptors.${name}.`, place: at, properties: own };
    interceptors.push(await checkComponent("interceptor", given, check));
  }
  const whole = interceptors.filter((interceptor) => interceptor !== undefined);
  return whole.length === names.length ? whole : undefined;
}

async function checkSink(
  component: ComponentProperties,
  channels: ReadonlyMap<string, ComponentConfig<"channel">>,
  declared: readonly string[],
  check: CheckContext,
): Promise<SinkConfig | undefined> {
  const own = new Map(component.properties);
  own.delete("channel");
  if (!component.properties.has("channel")) own.delete("channels");
  const sink = await checkComponent("sink", { ...component, properties: own }, check);
  const property = component.properties.get("channel");
  if (property === undefined) {
    const near = component.properties.has("channels")
      ? "; a sink has one channel, not channels"
      : "";
    const key = `${component.prefix}channel`;
    check.report("error", component.place, key, `is required: the name of its channel${near}`);
    return undefined;
  }
  const channel = property.value;
  if (!channels.has(channel)) {
    reportNoChannel(property, channel, declared, check.report);
    return undefined;
  }
  return sink && { ...sink, channel };
}
