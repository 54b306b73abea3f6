import type { Guarantee } from "@millrace/core";
import type {
  AgentConfiguration,
  SinkConfig,
  SinkGroupConfig,
  SourceConfig,
} from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";

/** What an agent promises for the events of one source that leave by one sink or group. */
export interface PathGuarantee {
  /** `r1 -> c1 -> k1` */
  readonly path: string;
  readonly atLeastOnce: boolean;
  /** `at least once: taildir -> file -> avro`, or `lost if ...`, every way named. */
  readonly says: string;
  /** `order kept`, or who breaks it. */
  readonly order: string;
}

/** `r1 -> c1 -> k1: at least once: taildir -> file -> avro; order kept` */
export function formatPath({ path, says, order }: PathGuarantee): string {
  return `${path}: ${says}; ${order}`;
}

/** Every way from a source through a channel to a sink or a group of them. */
export function describePaths(configuration: AgentConfiguration): PathGuarantee[] {
  const paths: PathGuarantee[] = [];
  for (const source of configuration.sources.values()) {
    for (const name of source.channels) {
      const channel = configuration.channels.get(name);
      if (channel === undefined) continue;
      const exits = exitsOf(configuration, name);
      for (const exit of exits) paths.push(describePath(source, channel, exit, exits));
    }
  }
  return paths;
}

interface Exit {
  readonly name: string;
  readonly sinks: readonly SinkConfig[];
  readonly group?: SinkGroupConfig;
}

/** What takes from the channel: groups, and sinks that are in none. */
function exitsOf({ sinks, groups }: AgentConfiguration, channel: string): Exit[] {
  const grouped = new Set([...groups.values()].flatMap((group) => group.sinks));
  const exits: Exit[] = [];
  for (const group of groups.values()) {
    if (group.channel !== channel) continue;
    const members = group.sinks.flatMap((name) => sinks.get(name) ?? []);
    exits.push({ name: group.name, sinks: members, group });
  }
  for (const sink of sinks.values()) {
    if (sink.channel !== channel || grouped.has(sink.name)) continue;
    exits.push({ name: sink.name, sinks: [sink] });
  }
  return exits;
}

function describePath(
  source: SourceConfig,
  channel: ComponentConfig<"channel">,
  exit: Exit,
  exits: readonly Exit[],
): PathGuarantee {
  const losses = [
    ...lossOf(source),
    ...source.interceptors.flatMap((interceptor) =>
      interceptor.definition.guarantee === undefined ? [] : lossOf(interceptor),
    ),
    ...(source.optionalChannels.has(channel.name)
      ? [`it has no room or fails: channel ${channel.name} is optional for source ${source.name}`]
      : []),
    ...lossOf(channel),
    ...exit.sinks.flatMap((sink) => lossOf(sink)),
  ];
  const types = [
    source.type,
    channel.type,
    [...new Set(exit.sinks.map(({ type }) => type))].join("|"),
  ];
  return {
    path: [source.name, channel.name, exit.name].join(" -> "),
    atLeastOnce: losses.length === 0,
    says:
      losses.length === 0
        ? `at least once: ${types.join(" -> ")}`
        : `lost if ${losses.join(", or if ")}`,
    order: orderOf(source, channel.name, exit, exits),
  };
}

function lossOf({
  kind,
  name,
  type,
  definition,
}: {
  kind: string;
  name: string;
  type: string;
  definition: { guarantee?: Guarantee };
}): string[] {
  const { guarantee } = definition;
  if (guarantee?.atLeastOnce === true) return [];
  const when = guarantee?.lostIf ?? "it fails: it promises nothing";
  return [`${when}: ${type} ${kind} ${name}`];
}

function orderOf(
  { name: source, selector }: SourceConfig,
  channel: string,
  exit: Exit,
  exits: readonly Exit[],
): string {
  const breaks: string[] = [];
  if (exits.length > 1) {
    breaks.push(`${exits.map(({ name }) => name).join(" and ")} share channel ${channel}`);
  }
  const whys = new Map<string, string[]>();
  const add = (name: string, why: string | undefined): void => {
    if (why !== undefined) whys.set(why, [...(whys.get(why) ?? []), name]);
  };
  add(source, selector.definition.breaksOrder?.(selector.options));
  if (exit.group !== undefined) {
    const { definition, options } = exit.group.processor;
    add(exit.name, definition.breaksOrder?.(options));
  }
  for (const { name, definition, options } of exit.sinks) {
    add(name, definition.breaksOrder?.(options));
  }
  for (const [why, names] of whys) breaks.push(`${names.join(", ")}: ${why}`);
  if (breaks.length > 0) return `order not kept: ${breaks.join("; ")}`;
  if (exit.sinks.length > 1) {
    return `order kept only while ${exit.name} stays with one of its sinks`;
  }
  return "order kept";
}
