import {
  type Channel,
  type ChannelProcessor,
  createChannelCounters,
  createSinkCounters,
  createSourceCounters,
  type Definition,
  MillraceError,
  silentLog,
  type Sink,
  userHome,
} from "@millrace/core";
import { componentContext, type MakerOptions } from "../graph/component-maker.ts";
import { createMetricsRegistry } from "../monitoring/metrics-registry.ts";
import type { ComponentConfig } from "./check-component.ts";
import type { Place } from "./problem.ts";

/** The names a selector or a sink processor is made of. */
export interface Neighbours {
  readonly channels?: readonly string[];
  readonly sinks?: readonly string[];
  /** Where they are listed. */
  readonly place: Place;
}

/**
 * Makes the component once and throws it away, to hear of what only its making shows: a route to a
 * channel that is not the source's, a group of too few sinks. Making opens and listens on nothing.
 * What it throws besides CONFIG_INVALID is for the start to tell.
 */
export async function tryToMake(
  made: Pick<MakerOptions, "agent" | "runtime" | "systemProperties">,
  config: ComponentConfig,
  neighbours: Neighbours | undefined,
): Promise<MillraceError | undefined> {
  // Without any of its channels or sinks it would only complain of what is reported already.
  const { channels = [], sinks = [] } = neighbours ?? {};
  if (neighbours !== undefined && channels.length + sinks.length === 0) return undefined;
  const options = { ...made, log: () => silentLog, labels: {}, home: userHome() };
  const context = {
    ...componentContext({ ...options, metrics: createMetricsRegistry() }, config),
    counters: { ...createSourceCounters(), ...createChannelCounters(), ...createSinkCounters() },
    channelProcessor: noProcessor,
    channels: new Map(channels.map((name) => [name, channelNamed(name)])),
    sinks: new Map(sinks.map((name) => [name, noSink])),
  };
  try {
    await (config.definition as unknown as Definition).create(config.options, context as never);
    return undefined;
  } catch (error) {
    const ours = error instanceof MillraceError && error.code === "CONFIG_INVALID";
    return ours ? error : undefined;
  }
}

const nothing = (): Promise<void> => Promise.resolve();
const unused = (): Promise<never> =>
  Promise.reject(new MillraceError("CHANNEL_CLOSED", "made for a check only"));
const noProcessor: ChannelProcessor = { processEventBatch: unused };
const noSink: Sink = {
  batchSize: 1,
  deliveriesInFlight: 1,
  start: nothing,
  stop: nothing,
  deliver: unused,
};

function channelNamed(name: string): Channel {
  const lifecycle = { start: nothing, stop: nothing };
  return { name, size: 0, durable: false, ...lifecycle, beginPut: unused, beginTake: unused };
}
