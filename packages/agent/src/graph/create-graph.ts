import type { Channel, CounterGroup, MillraceError } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { makeChannel } from "./make-channel.ts";
import { makeSinkUnit } from "./make-sink-unit.ts";
import { makeSource } from "./make-source.ts";
import {
  type ChannelPart,
  type Part,
  PartFailed,
  type PartOptions,
  type SinkPart,
  type SourcePart,
} from "./part.ts";
import type { Failure } from "./runnable.ts";
import { aloneUnit, type SinkUnit, sinkUnits } from "./sink-units.ts";

/**
 * An agent's parts as they run now; a reload replaces some.
 *
 *     source ──> interceptors ──> selector ──> channel ──> runner ──> sink
 *                                         └──> channel ──> runner ──> processor ──> sinks of a group
 */
export interface Graph {
  readonly channels: Map<string, ChannelPart>;
  /** By the keys of their units. */
  readonly sinks: Map<string, SinkPart>;
  readonly sources: Map<string, SourcePart>;
}

/** Makes every part of the configuration, and tells those that could not be; what needs them is left out too. */
export async function createGraph(
  options: PartOptions,
  configuration: AgentConfiguration,
): Promise<{ graph: Graph; failures: readonly Failure[] }> {
  const graph: Graph = { channels: new Map(), sinks: new Map(), sources: new Map() };
  const failures: Failure[] = [];
  const attempt = async <T extends Part>(made: Promise<T>): Promise<T | undefined> => {
    try {
      return await made;
    } catch (error) {
      if (!(error instanceof PartFailed)) throw error;
      failures.push(error.failure);
      return undefined;
    }
  };
  for (const config of configuration.channels.values()) {
    const part = await attempt(makeChannel(options, config));
    if (part !== undefined) graph.channels.set(part.name, part);
  }
  const channels = channelsOf(graph);
  const makeUnit = async (unit: SinkUnit): Promise<SinkPart | undefined> => {
    const channel = channels.get(unit.channel);
    if (channel === undefined) return undefined;
    const leaveOut = (failure: Failure): void => void failures.push(failure);
    const part = await attempt(makeSinkUnit(options, unit, channel, leaveOut));
    if (part !== undefined) graph.sinks.set(unit.key, part);
    return part;
  };
  for (const unit of sinkUnits(configuration)) {
    const part = await makeUnit(unit);
    // Sinks whose group cannot be made deliver on their own, as those of a dropped group do.
    if (part !== undefined || unit.group === undefined) continue;
    for (const sink of unit.sinks) await makeUnit(aloneUnit(sink));
  }
  for (const config of configuration.sources.values()) {
    const own = ownChannels(config.channels, channels);
    if (own.size === 0) continue;
    const part = await attempt(makeSource(options, config, own));
    if (part !== undefined) graph.sources.set(part.name, part);
  }
  return { graph, failures };
}

export function channelsOf({ channels }: Pick<Graph, "channels">): Map<string, Channel> {
  return new Map([...channels.values()].map(({ name, channel }) => [name, channel]));
}

/** A source's channels, in its own order, as far as they are there. */
export function ownChannels(
  names: readonly string[],
  channels: ReadonlyMap<string, Channel>,
): Map<string, Channel> {
  const own = new Map<string, Channel>();
  for (const name of names) {
    const channel = channels.get(name);
    if (channel !== undefined) own.set(name, channel);
  }
  return own;
}

/** Channels first, then sinks, then sources. */
export function partsOf({ channels, sinks, sources }: Graph): readonly Part[] {
  return [...channels.values(), ...sinks.values(), ...sources.values()];
}

/** What Flume's `/metrics` shows. */
export function counterGroupsOf(graph: Graph): readonly CounterGroup[] {
  return partsOf(graph).flatMap(({ counterGroups }) => counterGroups);
}

/** Why an open channel does not serve as it should: the first that says so. */
export function troubleOf({ channels }: Graph): MillraceError | undefined {
  for (const { channel } of channels.values()) {
    if (channel.trouble !== undefined) return channel.trouble;
  }
  return undefined;
}
