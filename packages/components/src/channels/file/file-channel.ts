import type { ChannelContext } from "@millrace/core";
import type { FileChannel } from "@millrace/file-channel";
import { makeFileChannel } from "../../file-channel/make-file-channel.ts";
import type { Options } from "./options.ts";

/** The file channel as a configuration asks for it. */
export function createConfiguredFileChannel(
  options: Options,
  context: ChannelContext,
): FileChannel {
  const { capacity, byteCapacity, keepAliveSeconds, memoryBytes } = options;
  const keepAliveMs = keepAliveSeconds * 1000;
  return makeFileChannel(options, { capacity, byteCapacity, keepAliveMs, memoryBytes }, context);
}
