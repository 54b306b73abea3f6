import type { ChannelContext } from "@millrace/core";
import {
  type ConfiguredFileChannel,
  makeFileChannel,
} from "../../file-channel/make-file-channel.ts";
import { limitsOf, type Options } from "./options.ts";

/**
 * The file channel. It serves what is newest from memory as it is, so Flume's queue in memory before
 * a file channel would add nothing but the loss of that queue in a crash.
 */
export function createSpillableMemoryChannel(
  options: Options,
  context: ChannelContext,
): ConfiguredFileChannel<Options> {
  return makeFileChannel(options, limitsOf, context);
}
