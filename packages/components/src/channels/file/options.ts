import { integer, type OptionsOf } from "@millrace/core";
import { checkLogOptions } from "../../file-channel/check-log-options.ts";
import { logOptions } from "../../file-channel/options.ts";

const { dataDirs, ...otherLogOptions } = logOptions;

export const options = {
  dataDirs,
  capacity: integer("capacity", "Events the channel holds at most, lent ones included.", {
    default: 1_000_000,
    min: 1,
  }),
  byteCapacity: integer(
    "byteCapacity",
    "Bytes the channel holds at most, records and padding included. When not set, the disk decides.",
    { min: 4096, unit: "bytes" },
  ),
  keepAliveSeconds: integer(
    "keep-alive",
    "How long a put waits for room and a take for an event.",
    { default: 3, min: 0, unit: "s" },
  ),
  memoryBytes: integer(
    "memoryBytes",
    "Unread events kept in memory beside the log; more is read back from disk when it is taken.",
    { default: 67_108_864, min: 65_536, unit: "bytes" },
  ),
  ...otherLogOptions,
};

export type Options = OptionsOf<typeof options>;

export { noteLogOptions } from "../../file-channel/check-log-options.ts";

/** Problems between the options, for `check`. */
export function checkOptions(options: Options): ReturnType<typeof checkLogOptions> {
  return checkLogOptions(options, options.capacity);
}
