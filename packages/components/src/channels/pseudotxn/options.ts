import { integer, type OptionsOf } from "@millrace/core";

export const options = {
  capacity: integer("capacity", "Events the channel holds at most; taken ones are gone.", {
    default: 50,
    min: 1,
  }),
  keepAliveSeconds: integer(
    "keep-alive",
    "How long a put waits for room and a take for an event.",
    { default: 3, min: 0, unit: "s" },
  ),
};

export type Options = OptionsOf<typeof options>;
