import { type ChannelContext, expandHome, MillraceError } from "@millrace/core";
import { createFileChannel, type FileChannel } from "@millrace/file-channel";
import { join } from "node:path";
import type { Options } from "./options.ts";

const minimumRequiredSpaceFloor = 1024 * 1024;

/** The file channel as a configuration asks for it. */
export function createConfiguredFileChannel(
  options: Options,
  context: ChannelContext,
): FileChannel {
  const { keepAliveSeconds, fsyncIntervalSeconds, byteCapacity, encryption } = options;
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
      capacity: options.capacity,
      ...(byteCapacity === undefined ? {} : { byteCapacity }),
      transactionCapacity: options.transactionCapacity,
      keepAliveMs: keepAliveSeconds * 1000,
      minimumRequiredSpaceBytes: Math.max(
        minimumRequiredSpaceFloor,
        options.minimumRequiredSpaceBytes,
      ),
      memoryBytes: options.memoryBytes,
      segmentBytes: options.segmentBytes,
      ackSyncMs: options.ackSyncMs,
      onCorruption: options.onCorruption,
      fsyncPerTransaction: options.fsyncPerTransaction,
      fsyncIntervalMs: fsyncIntervalSeconds * 1000,
    },
    context,
  );
}
