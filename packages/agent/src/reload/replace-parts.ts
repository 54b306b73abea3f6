import type { Channel } from "@millrace/core";
import { channelsOf, type Graph, ownChannels } from "../graph/create-graph.ts";
import { makeChannel } from "../graph/make-channel.ts";
import { makeSinkUnit } from "../graph/make-sink-unit.ts";
import { makeSource } from "../graph/make-source.ts";
import type { PartOptions } from "../graph/part.ts";
import type { Parts, ReloadPlan } from "./plan-reload.ts";

/** The channels of a graph, without those of some of its parts. */
export function channelsBeside(graph: Graph, { channels }: Parts): Map<string, Channel> {
  const left = channelsOf(graph);
  for (const { name } of channels) left.delete(name);
  return left;
}

/** Makes parts over channels that are there and those among the parts. Throws PartFailed, or makes all. */
export async function makeParts(
  options: PartOptions,
  { channels, sinks, sources }: ReloadPlan["into"],
  there: Map<string, Channel>,
): Promise<Parts> {
  const made = { channels: [], sinks: [], sources: [] } as { [K in keyof Parts]: [...Parts[K]] };
  try {
    for (const config of channels) {
      const part = await makeChannel(options, config);
      made.channels.push(part);
      there.set(part.name, part.channel);
    }
    for (const unit of sinks) {
      const channel = there.get(unit.channel);
      if (channel !== undefined) made.sinks.push(await makeSinkUnit(options, unit, channel));
    }
    for (const config of sources) {
      const own = ownChannels(config.channels, there);
      if (own.size > 0) made.sources.push(await makeSource(options, config, own));
    }
    return made;
  } catch (error) {
    releaseParts(made);
    throw error;
  }
}

/** What parts were made of, to make them again. */
export function configsOf({ channels, sinks, sources }: Parts): ReloadPlan["into"] {
  return {
    channels: channels.map(({ config }) => config),
    sinks: sinks.map(({ unit }) => unit),
    sources: sources.map(({ config }) => config),
  };
}

export function releaseParts(parts: Parts): void {
  for (const part of allOf(parts)) part.release();
}

/** Puts parts into the places of others. */
export function exchangeParts(graph: Graph, out: Parts, into: Parts): void {
  for (const { name } of out.channels) graph.channels.delete(name);
  for (const { unit } of out.sinks) graph.sinks.delete(unit.key);
  for (const { name } of out.sources) graph.sources.delete(name);
  for (const part of into.channels) graph.channels.set(part.name, part);
  for (const part of into.sinks) graph.sinks.set(part.unit.key, part);
  for (const part of into.sources) graph.sources.set(part.name, part);
}

/** Channels, sinks, sources: the order in which they start. */
export function allOf({ channels, sinks, sources }: Parts) {
  return [...channels, ...sinks, ...sources];
}

export const noParts: Parts = { channels: [], sinks: [], sources: [] };
