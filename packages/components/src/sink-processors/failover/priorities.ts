import { MillraceError, type SinkProcessorContext } from "@millrace/core";

/**
 * The group's sinks by name with their priorities, highest first. A sink without one gets -1, -2 ...
 * in the order of the group, past numbers that others have. Throws CONFIG_INVALID for a name that is
 * not in the group.
 */
export function readPriorities(
  given: ReadonlyMap<string, string>,
  { name: group, sinks }: SinkProcessorContext,
): readonly { readonly sink: string; readonly priority: number }[] {
  for (const sink of given.keys()) {
    if (sinks.has(sink)) continue;
    const key = `processor.priority.${sink}`;
    const known = [...sinks.keys()].join(", ");
    throw new MillraceError(
      "CONFIG_INVALID",
      `${key} names sink ${sink}, which is not in sink group ${group}: ${known}`,
      { context: { key, sink, known: [...sinks.keys()] } },
    );
  }
  const taken = new Set(Array.from(given.values(), Number));
  let next = -1;
  const priorities = Array.from(sinks.keys(), (sink) => {
    const text = given.get(sink);
    if (text !== undefined) return { sink, priority: Number(text) };
    while (taken.has(next)) next--;
    return { sink, priority: next-- };
  });
  return priorities.sort((a, b) => b.priority - a.priority);
}
