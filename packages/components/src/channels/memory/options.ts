import { ignored, integer, type OptionsOf } from "@millrace/core";

export const options = {
  capacity: integer("capacity", "Events the channel holds at most, lent ones included.", {
    default: 100,
    min: 1,
  }),
  transactionCapacity: integer(
    "transactionCapacity",
    "Events one transaction holds at most; no more than capacity.",
    { default: 100, min: 1 },
  ),
  keepAliveSeconds: integer(
    "keep-alive",
    "How long a put waits for room and a take for an event.",
    { default: 3, min: 0, unit: "s" },
  ),
  byteCapacity: integer(
    "byteCapacity",
    "Bytes the channel keeps in memory at most, headers and slabs included; 0 sets no limit. " +
      "When not set: 80 % of the heap limit that Node.js runs with.",
    { min: 0, unit: "bytes" },
  ),
  byteCapacityBufferPercentage: ignored(
    "byteCapacityBufferPercentage",
    "Headers are counted byte by byte here, so nothing is kept back for them.",
  ),
};

export type Options = OptionsOf<typeof options>;
