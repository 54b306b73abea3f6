import { createChannelCounters } from "@millrace/core";
import type { ComponentConfig } from "../config/check-component.ts";
import { componentContext, optionByKey } from "./component-maker.ts";
import { type ChannelPart, makePart, type PartOptions } from "./part.ts";
import { titleOf } from "./runnable.ts";

/** Makes a channel. Throws PartFailed. */
export function makeChannel(
  options: PartOptions,
  config: ComponentConfig<"channel">,
): Promise<ChannelPart> {
  const { name, type, place } = config;
  const title = titleOf("channel", name, type, place);
  return makePart(options, { title, name }, async (build) => {
    // A channel that outlives a reload goes on by itself; one that is made anew begins at zero.
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
    return { config, channel, lifecycle };
  });
}

/** As Flume computes them: a channel without a capacity is full beyond all measure. */
function fill(size: number, capacity: number) {
  return {
    ChannelSize: size,
    ChannelCapacity: capacity,
    ChannelFillPercentage: capacity === 0 ? Number.MAX_VALUE : (size / capacity) * 100,
  };
}
