import { type Channel, createChannelCounters } from "@millrace/core";
import { componentContext, optionByKey } from "./component-maker.ts";
import type { GraphBuild } from "./graph-build.ts";
import type { Runnable } from "./runnable.ts";

/** Makes the channels; those that could be made come by name, and as what is started. */
export async function makeChannels(build: GraphBuild): Promise<{
  channels: ReadonlyMap<string, Channel>;
  runnables: readonly Runnable[];
}> {
  const channels = new Map<string, Channel>();
  const runnables: Runnable[] = [];
  for (const config of build.options.configuration.channels.values()) {
    await build.attempt("channel", config, async (title) => {
      const { name, type } = config;
      const counters = createChannelCounters();
      const context = { ...componentContext(build.options, config), counters };
      const channel = await config.definition.create(config.options, context);
      const capacity = Number(optionByKey(config, "capacity") ?? 0);
      const read = () => ({
        ...counters,
        ...fill(channel.size, capacity),
        ...channel.readCounters?.(),
      });
      const lifecycle = build.counted(channel, { kind: "CHANNEL", name, type, read });
      channels.set(name, channel);
      runnables.push({ title, name, lifecycle });
    });
  }
  return { channels, runnables };
}

/** As Flume computes them: a channel without a capacity is full beyond all measure. */
function fill(size: number, capacity: number) {
  return {
    ChannelSize: size,
    ChannelCapacity: capacity,
    ChannelFillPercentage: capacity === 0 ? Number.MAX_VALUE : (size / capacity) * 100,
  };
}
