import { choice, type OptionsOf } from "@millrace/core";

export const options = {
  policy: choice("policy", ["round_robin", "random"], "How the channel of an event is chosen.", {
    default: "round_robin",
  }),
};

export type Options = OptionsOf<typeof options>;
