import type { Channel, CounterGroup, MillraceError } from "@millrace/core";
import { createGraphBuild, type GraphOptions } from "./graph-build.ts";
import { makeChannels } from "./make-channels.ts";
import { makeSinks } from "./make-sinks.ts";
import { makeSources } from "./make-sources.ts";
import type { Failure, Runnable, RunnableSink } from "./runnable.ts";

/**
 * An agent's components, made and joined, none of them started.
 *
 *     source ──> interceptors ──> selector ──> channel ──> runner ──> sink
 *                                         └──> channel ──> runner ──> processor ──> sinks of a group
 */
export interface Graph {
  readonly channels: readonly Runnable[];
  /** The channels that could be made, as they are used. */
  readonly channelsByName: ReadonlyMap<string, Channel>;
  readonly sinks: readonly RunnableSink[];
  readonly sources: readonly Runnable[];
  /** What Flume's `/metrics` shows. */
  readonly counterGroups: readonly CounterGroup[];
  /** Components that could not be made; what needs them is left out too. */
  readonly failures: readonly Failure[];
  /** Why an open channel does not serve as it should: the first that says so. */
  trouble(): MillraceError | undefined;
}

/** Makes every component of the configuration. Opens and listens on nothing, and never throws. */
export async function createGraph(options: GraphOptions): Promise<Graph> {
  const build = createGraphBuild(options);
  const { channels, runnables } = await makeChannels(build);
  const sinks = await makeSinks(build, channels);
  const sources = await makeSources(build, channels);
  const { counterGroups, failures } = build;
  const trouble = () => [...channels.values()].find((channel) => channel.trouble)?.trouble;
  return {
    channels: runnables,
    channelsByName: channels,
    ...{ sinks, sources, counterGroups, failures, trouble },
  };
}
