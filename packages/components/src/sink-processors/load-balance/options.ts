import { boolean, integer, type OptionsOf, part } from "@millrace/core";

export const options = {
  selector: part(
    "selector",
    "sink-selector",
    "How the sink of a batch is chosen: round_robin, random, or a plugin's.",
    "round_robin",
  ),
  backoff: boolean("backoff", "Leaves failing sinks out for a while.", { default: false }),
  maxTimeOutMs: integer(
    "selector.maxTimeOut",
    "The longest time a failing sink is left out; 0 means 30000.",
    { default: 30_000, unit: "ms" },
  ),
};

export type Options = OptionsOf<typeof options>;
