import { list, type OptionsOf } from "@millrace/core";

export const options = {
  optional: list(
    "optional",
    "Channels that may fail: the sender is told OK without them, and what they miss is counted.",
  ),
};

export type Options = OptionsOf<typeof options>;
