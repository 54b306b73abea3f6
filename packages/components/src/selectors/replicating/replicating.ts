import type { Channel, ChannelSelector, EventBatch, SelectorContext } from "@millrace/core";
import { knownChannels } from "../known-channels.ts";
import type { Options } from "./options.ts";

/** The same batch, shared, to every channel: required, but for those named optional. */
export function createReplicatingSelector(
  options: Options,
  context: SelectorContext,
): ChannelSelector {
  const optional = knownChannels(options.optional, "selector.optional", context);
  const required = [...context.channels.values()].filter((channel) => !optional.includes(channel));
  return (batch) => ({
    required: toEach(required, batch),
    optional: toEach(optional, batch),
    unmatched: 0,
  });
}

function toEach(channels: readonly Channel[], batch: EventBatch): Map<Channel, EventBatch> {
  return new Map(channels.map((channel) => [channel, batch]));
}
