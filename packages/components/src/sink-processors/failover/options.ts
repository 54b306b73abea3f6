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

/** Which of the group's sinks have no priority, and when they are used. */
export function noteMissingPriorities(
  { priority }: Options,
  sinks: readonly string[],
): { key: string; message: string }[] {
  const missing = sinks.filter((sink) => !priority.has(sink));
  if (missing.length === 0 || sinks.length < 2) return [];
  if (missing.length === sinks.length) {
    const order = sinks.join(", ");
    return [{ key: "priority", message: `no sink has one: they are used in this order: ${order}` }];
  }
  return missing.map((sink) => ({
    key: `priority.${sink}`,
    message: "is not given: the sink gets a negative one, in the order of the group's sinks",
  }));
}
