import { type ChannelContext, expandHome, MillraceError } from "@millrace/core";
import { createFileChannel, type FileChannel } from "@millrace/file-channel";
import { join } from "node:path";
import type { LogOptions } from "./options.ts";

const minimumRequiredSpaceFloor = 1024 * 1024;

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

/** A channel over the durable log as a configuration asks for it. Nothing is opened before `start`. */
export function makeFileChannel(
  options: LogOptions,
  limits: ChannelLimits,
  context: ChannelContext,
): FileChannel {
  const { fsyncIntervalSeconds, encryption } = options;
  const { byteCapacity } = limits;
  if (encryption.size > 0) {
    throw new MillraceError("CONFIG_INVALID", "the file channel does not encrypt yet");
  }
  if (!options.fsyncPerTransaction) {
    context.log.warn(
      `fsyncPerTransaction is false: a power cut loses up to ${fsyncIntervalSeconds} s of acknowledged events`,
    );
  }
  const given = options.dataDirs.map((path) => expandHome(path, context.home));
  return createFileChannel(
    {
      dataDirs: given.length > 0 ? given : [join(context.home, ".flume", "file-channel", "data")],
      capacity: limits.capacity,
      ...(byteCapacity === undefined ? {} : { byteCapacity }),
      transactionCapacity: options.transactionCapacity,
      keepAliveMs: limits.keepAliveMs,
      minimumRequiredSpaceBytes: Math.max(
        minimumRequiredSpaceFloor,
        options.minimumRequiredSpaceBytes,
      ),
      memoryBytes: limits.memoryBytes,
      segmentBytes: options.segmentBytes,
      ackSyncMs: options.ackSyncMs,
      onCorruption: options.onCorruption,
      fsyncPerTransaction: options.fsyncPerTransaction,
      fsyncIntervalMs: fsyncIntervalSeconds * 1000,
    },
    context,
  );
}
