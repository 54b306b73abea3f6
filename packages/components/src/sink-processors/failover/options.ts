import { integer, type OptionsOf, prefixed } from "@millrace/core";

export const options = {
  priority: prefixed(
    "priority",
    "priority.<sink>: a whole number, the larger the earlier it is used. Sinks without one come " +
      "last, in the order of the group's sinks.",
  ),
  maxPenaltyMs: integer("maxpenalty", "The longest time a failing sink is left out.", {
    default: 30_000,
    unit: "ms",
  }),
};

export type Options = OptionsOf<typeof options>;
