import { choice, type OptionsOf, text } from "@millrace/core";

export const options = {
  identity: text(
    "identity",
    "Names this process among all agents. When not given: POD_NAMESPACE and POD_NAME, else the host's name.",
  ),
  onLoop: choice(
    "onLoop",
    ["refuse", "discard"],
    "What becomes of an event that was here before: its batch is refused, and the sender keeps it, or it is discarded and counted.",
    { default: "refuse" },
  ),
};

export type Options = OptionsOf<typeof options>;
