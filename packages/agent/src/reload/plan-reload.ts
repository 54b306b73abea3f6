import type { AgentConfiguration, SourceConfig } from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";
import type { Graph } from "../graph/create-graph.ts";
import type { ChannelPart, SinkPart, SourcePart } from "../graph/part.ts";
import { type SinkUnit, sinkUnits } from "../graph/sink-units.ts";
import {
  componentChanges,
  groupChanges,
  type OptionChange,
  sinkChanges,
  sourceChanges,
} from "./component-changes.ts";

/** What a reload does to the parts that run. Everything that it does not name goes on untouched. */
export interface ReloadPlan {
  /** Channels that take what is new of them while they run. */
  readonly resized: readonly ResizedChannel[];
  /** What ends: it is gone, or made anew. */
  readonly out: Parts;
  /** What is made. */
  readonly into: {
    readonly channels: readonly ComponentConfig<"channel">[];
    readonly sinks: readonly SinkUnit[];
    readonly sources: readonly SourceConfig[];
  };
  /** Channels of `out` whose events nothing would hold afterwards. */
  readonly leaving: readonly LeavingChannel[];
}

export interface Parts {
  readonly channels: readonly ChannelPart[];
  readonly sinks: readonly SinkPart[];
  readonly sources: readonly SourcePart[];
}

export interface ResizedChannel {
  readonly part: ChannelPart;
  readonly before: ComponentConfig<"channel">;
  readonly config: ComponentConfig<"channel">;
  readonly changes: readonly OptionChange[];
}

export interface LeavingChannel {
  readonly part: ChannelPart;
  /** As the end of "would be ...". */
  readonly becomes: string;
}

/**
 * Compares what runs with what is wanted. A sink or group is made anew when anything of it has
 * changed or its channel is made anew; a source likewise.
 */
export function planReload(graph: Graph, wanted: AgentConfiguration): ReloadPlan {
  const { resized, leaving, ...channels } = planChannels(graph, wanted);
  const renewed = new Set([...channels.out, ...channels.into].map(({ name }) => name));
  const units = new Map(sinkUnits(wanted).map((unit) => [unit.key, unit]));
  const sinks = replaced(
    graph.sinks,
    units,
    ({ unit }, b) => renewed.has(b.channel) || unitChanges(unit, b).length > 0,
  );
  const sources = replaced(
    graph.sources,
    wanted.sources,
    ({ config }, b) =>
      b.channels.some((name) => renewed.has(name)) || sourceChanges("", config, b).length > 0,
  );
  return {
    resized,
    leaving,
    out: { channels: channels.out, sinks: sinks.out, sources: sources.out },
    into: { channels: channels.into, sinks: sinks.into, sources: sources.into },
  };
}

export function changesNothing({ resized, out, into }: ReloadPlan): boolean {
  return resized.length === 0 && [out, into].every((side) => size(side) === 0);
}

function size({ channels, sinks, sources }: ReloadPlan["into"] | Parts): number {
  return channels.length + sinks.length + sources.length;
}

function planChannels({ channels }: Graph, wanted: AgentConfiguration) {
  const resized: ResizedChannel[] = [];
  const leaving: LeavingChannel[] = [];
  const anew = ({ config: a, channel, name }: ChannelPart, b: typeof a): boolean => {
    const changes = componentChanges(`${wanted.agent}.channels.${name}.`, a, b);
    if (changes.length === 0) return false;
    const { resizable = [] } = b.definition;
    const fixed = changes.filter(({ option }) => !resizable.some((known) => known === option));
    if (fixed.length > 0 || channel.reconfigure === undefined) return true;
    const part = channels.get(name);
    if (part !== undefined) resized.push({ part, before: a, config: b, changes });
    return false;
  };
  const { out, into } = replaced(channels, wanted.channels, anew);
  for (const part of out) {
    const becomes = fateOf(part, wanted.channels.get(part.name));
    if (becomes !== undefined) leaving.push({ part, becomes });
  }
  return { resized, leaving, out, into };
}

/** What becomes of a channel whose events would not be in the one that follows it. */
export function fateOf(
  { config, channel }: ChannelPart,
  wanted: ComponentConfig<"channel"> | undefined,
): string | undefined {
  if (wanted === undefined) return "removed";
  if (wanted.type !== config.type) return `made a ${wanted.type} channel`;
  const { home = [] } = wanted.definition;
  const moved = componentChanges("", config, wanted).filter(({ option }) =>
    home.some((known) => known === option),
  );
  if (moved.length > 0) return `moved to another ${moved.map(({ key }) => key).join(" and ")}`;
  return channel.durable ? undefined : "made anew";
}

/** Parts that end, and what is made: in their places, or for the first time. */
function replaced<P, C>(
  live: ReadonlyMap<string, P>,
  wanted: ReadonlyMap<string, C>,
  anew: (part: P, config: C) => boolean,
): { out: P[]; into: C[] } {
  const out: P[] = [];
  const into: C[] = [];
  for (const [key, part] of live) if (!wanted.has(key)) out.push(part);
  for (const [key, config] of wanted) {
    const part = live.get(key);
    if (part !== undefined && !anew(part, config)) continue;
    if (part !== undefined) out.push(part);
    into.push(config);
  }
  return { out, into };
}

function unitChanges(a: SinkUnit, b: SinkUnit): string[] {
  const keys = a.group && b.group ? groupChanges("", a.group, b.group) : [];
  const names = ({ sinks }: SinkUnit): string => sinks.map(({ name }) => name).join(" ");
  if (names(a) !== names(b)) keys.push("sinks");
  for (const [index, sink] of b.sinks.entries()) {
    const before = a.sinks[index];
    if (before?.name === sink.name) keys.push(...sinkChanges(`${sink.name}.`, before, sink));
  }
  return keys;
}
