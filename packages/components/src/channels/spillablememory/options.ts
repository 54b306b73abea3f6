import { ignored, integer, type OptionsOf } from "@millrace/core";
import { checkLogOptions, noteLogOptions } from "../../file-channel/check-log-options.ts";
import type { ChannelLimits } from "../../file-channel/make-file-channel.ts";
import { logOptions } from "../../file-channel/options.ts";

const memoryCapacityDefault = 10_000;
/** The least that the file channel keeps in memory. */
const memoryBytesMin = 65_536;

export const options = {
  memoryCapacity: integer(
    "memoryCapacity",
    "Events that sinks get from memory rather than from disk, each reckoned as avgEventSize bytes; " +
      "0 keeps as little in memory as can be. All events are on disk as well.",
    { default: memoryCapacityDefault, min: 0 },
  ),
  overflowCapacity: integer(
    "overflowCapacity",
    "Events the channel holds beyond memoryCapacity; 0 lets it hold memoryCapacity events only.",
    { default: 100_000_000, min: 0 },
  ),
  overflowTimeoutSeconds: integer(
    "overflowTimeout",
    "How long a put waits for room and a take for an event.",
    { default: 3, min: 0, unit: "s" },
  ),
  avgEventSize: integer("avgEventSize", "Bytes of an event, for memoryCapacity.", {
    default: 500,
    min: 1,
    unit: "bytes",
  }),
  byteCapacity: integer(
    "byteCapacity",
    "Bytes of unread events kept in memory, headers included. When not set: memoryCapacity times " +
      "avgEventSize.",
    { min: 0, unit: "bytes" },
  ),
  memoryBytes: integer(
    "memoryBytes",
    "The file channel's name for byteCapacity, which it goes before.",
    { min: memoryBytesMin, unit: "bytes" },
  ),
  ...logOptions,
  capacity: ignored("capacity", "The channel holds memoryCapacity and overflowCapacity events."),
  keepAlive: ignored("keep-alive", "Waits are as long as overflowTimeout."),
  byteCapacityBufferPercentage: ignored(
    "byteCapacityBufferPercentage",
    "Headers are counted byte by byte here, so nothing is kept back for them.",
  ),
  overflowDeactivationThreshold: ignored(
    "overflowDeactivationThreshold",
    "Each event is on disk from the start; there is no overflow to go over to and back from.",
  ),
};

export type Options = OptionsOf<typeof options>;

/** The file channel's limits for Flume's options of this one. */
export function limitsOf(options: Options): ChannelLimits {
  const { overflowCapacity, overflowTimeoutSeconds, avgEventSize, byteCapacity } = options;
  const memoryCapacity = memoryCapacityOf(options);
  const memoryBytes =
    options.memoryBytes ??
    (memoryCapacity === 0 ? 0 : (byteCapacity ?? memoryCapacity * avgEventSize));
  return {
    capacity: memoryCapacity + overflowCapacity,
    keepAliveMs: overflowTimeoutSeconds * 1000,
    memoryBytes: Math.max(memoryBytesMin, memoryBytes),
  };
}

/** A channel that may hold nothing at all holds what it would by default, as in Flume. */
function memoryCapacityOf({ memoryCapacity, overflowCapacity }: Options): number {
  return memoryCapacity + overflowCapacity === 0 ? memoryCapacityDefault : memoryCapacity;
}

/** Problems between the options, for `check`. */
export function checkOptions(options: Options): { key: string; message: string }[] {
  return checkLogOptions(options, limitsOf(options).capacity);
}

/** What is otherwise than an operator of Flume's channel may think, for `check`. */
export function noteOptions(options: Options): { key: string; message: string }[] {
  const notes = [...noteLogOptions(options)];
  if (options.overflowCapacity > 0) return notes;
  const { capacity } = limitsOf(options);
  return [
    ...notes,
    {
      key: "overflowCapacity",
      message:
        `is 0: the channel holds ${capacity} events, which are on disk too; ` +
        "for one without a disk take the type memory",
    },
  ];
}
