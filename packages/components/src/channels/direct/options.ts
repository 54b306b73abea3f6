import { integer, type OptionsOf } from "@millrace/core";

export const options = {
  keepAliveSeconds: integer(
    "keep-alive",
    "How long a put waits for room, then a batch for a sink to take it, and a take for an event. " +
      "A batch that no sink took in that time is withdrawn, and its sender told to try again.",
    { default: 3, min: 0, unit: "s" },
  ),
  answerTimeoutSeconds: integer(
    "answerTimeout",
    "How long a sender waits at most, from its put on, for sinks to deliver its batch. Less than " +
      "half of the senders' request-timeout, and no less than keep-alive.",
    { default: 8, min: 1, unit: "s" },
  ),
  capacity: integer("capacity", "Events whose senders wait, and those that sinks hold, at most.", {
    default: 1_000_000,
    min: 1,
  }),
  transactionCapacity: integer(
    "transactionCapacity",
    "Events one transaction holds at most; no more than capacity.",
    { default: 10_000, min: 1 },
  ),
  byteCapacity: integer(
    "byteCapacity",
    "Bytes of those events at most, headers included; 0 sets no limit. When not set: a quarter of " +
      "the heap limit that Node.js runs with.",
    { min: 0, unit: "bytes" },
  ),
};

export type Options = OptionsOf<typeof options>;
