import type { Counter, Log } from "@millrace/core";
import type { LeavingChannel } from "./plan-reload.ts";

/** Why channels that hold events keep a reload from being done; undefined when none does. */
export function refusalOf(
  leaving: readonly LeavingChannel[],
  discard: ReadonlySet<string>,
): string | undefined {
  const held = leaving.filter(({ part: { name, channel } }) => {
    return channel.size > 0 && !discard.has(name);
  });
  if (held.length === 0) return undefined;
  const what = held.map(({ part: { name, channel }, becomes }) => {
    return `channel ${name} holds ${channel.size} events and would be ${becomes}`;
  });
  const names = held.map(({ part }) => part.name).join(" ");
  return `${what.join("; ")}. Take it off its sources first and let its sinks empty it, or name it to lose what it holds: discardOnReload = ${names}`;
}

/** Counts what channels that end still hold, and says it. */
export function discardHeld(
  leaving: readonly LeavingChannel[],
  discarded: Counter,
  log: Log,
): void {
  for (const { part, becomes } of leaving) {
    const { size } = part.channel;
    if (size === 0) continue;
    discarded.value += size;
    log.warn(
      `discardOnReload: ${size} events of channel ${part.name} are given up; it is ${becomes}`,
    );
  }
}
