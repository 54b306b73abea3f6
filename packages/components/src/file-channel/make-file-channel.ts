import { type ChannelContext, expandHome, MillraceError } from "@millrace/core";
import {
  createFileChannel,
  type FileChannel,
  fileChannelDefaults,
  type FileChannelLimits,
} from "@millrace/file-channel";
import { join } from "node:path";
import { makeKeys } from "./make-keys.ts";
import { parseMinimumSpace } from "./minimum-space.ts";
import type { LogOptions } from "./options.ts";

/** What a component that is a channel over the durable log says beside `logOptions`. */
export interface ChannelLimits {
  /** Events held at most. */
  readonly capacity: number;
  /** Bytes held at most; the disk decides when it is undefined. */
  readonly byteCapacity?: number | undefined;
  readonly keepAliveMs: number;
  /** Unread events kept in memory beside the log. */
  readonly memoryBytes: number;
}

/** One that takes new options of its component while it runs, as far as they are limits. */
export interface ConfiguredFileChannel<O extends LogOptions> extends FileChannel {
  reconfigure(options: O): void;
}

/**
 * A channel over the durable log as a configuration asks for it. Nothing is opened before `start`.
 */
export function makeFileChannel<O extends LogOptions>(
  options: O,
  limitsOf: (options: O) => ChannelLimits,
  context: ChannelContext,
): ConfiguredFileChannel<O> {
  const { fsyncIntervalSeconds, minimumRequiredSpace } = options;
  const minimumSpace = parseMinimumSpace(minimumRequiredSpace);
  if (minimumSpace === undefined) {
    throw new MillraceError(
      "CONFIG_INVALID",
      `minimumRequiredSpace is "${minimumRequiredSpace}", neither bytes nor a percentage`,
    );
  }
  if (!options.fsyncPerTransaction) {
    context.log.warn(
      `fsyncPerTransaction is false: a power cut loses up to ${fsyncIntervalSeconds} s of acknowledged events`,
    );
  }
  const given = options.dataDirs.map((path) => expandHome(path, context.home));
  const channel = createFileChannel(
    {
      dataDirs: given.length > 0 ? given : [join(context.home, ".flume", "file-channel", "data")],
      ...withDefaults(options, limitsOf(options)),
      minimumRequiredSpaceBytes: minimumSpace.bytes,
      minimumRequiredSpacePercent: minimumSpace.percent,
      segmentBytes: options.segmentBytes,
      ackSyncMs: options.ackSyncMs,
      onCorruption: options.onCorruption,
      fsyncPerTransaction: options.fsyncPerTransaction,
      fsyncIntervalMs: fsyncIntervalSeconds * 1000,
      keys: makeKeys(options, context),
      activeKey: options.activeKey,
      formatVersion: options.formatVersion === "1" ? 1 : 2,
      ...lockWaitOf(context.systemProperties),
    },
    context,
  );
  return Object.assign(channel, {
    reconfigure: (changed: O) => channel.setLimits(withDefaults(changed, limitsOf(changed))),
  });
}

function withDefaults(
  { transactionCapacity }: LogOptions,
  { byteCapacity = fileChannelDefaults.byteCapacity, ...limits }: ChannelLimits,
): FileChannelLimits {
  return { ...limits, byteCapacity, transactionCapacity };
}

/** `-Dmillrace.lockWaitSeconds`: a predecessor may take its whole time to stop. */
function lockWaitOf(words: ReadonlyMap<string, string>): { lockWaitMs?: number } {
  const seconds = words.get("millrace.lockWaitSeconds");
  if (seconds === undefined) return {};
  if (/^\d{1,6}$/.test(seconds)) return { lockWaitMs: Number(seconds) * 1000 };
  const said = `millrace.lockWaitSeconds=${seconds} is not a whole number of seconds`;
  throw new MillraceError("CONFIG_INVALID", said);
}
