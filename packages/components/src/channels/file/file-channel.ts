import type { ChannelContext } from "@millrace/core";
import {
  type ChannelLimits,
  type ConfiguredFileChannel,
  makeFileChannel,
} from "../../file-channel/make-file-channel.ts";
import type { Options } from "./options.ts";

/** The file channel as a configuration asks for it. */
export function createConfiguredFileChannel(
  options: Options,
  context: ChannelContext,
): ConfiguredFileChannel<Options> {
  return makeFileChannel(options, limitsOf, context);
}

function limitsOf({
  capacity,
  byteCapacity,
  keepAliveSeconds,
  memoryBytes,
}: Options): ChannelLimits {
  return { capacity, byteCapacity, keepAliveMs: keepAliveSeconds * 1000, memoryBytes };
}
