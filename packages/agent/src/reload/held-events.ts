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

/** What a channel held when it ended. */
export interface HeldAtEnd {
  readonly name: string;
  readonly size: number;
  readonly durable: boolean;
  readonly becomes: string;
}

export function heldAtEnd(leaving: readonly LeavingChannel[]): readonly HeldAtEnd[] {
  return leaving.flatMap(({ part: { name, channel }, becomes }) => {
    const { size, durable } = channel;
    return size === 0 ? [] : [{ name, size, durable, becomes }];
  });
}

/** Counts what is given up for good, and says it. What is on disk is there again with its channel. */
export function countGivenUp(held: readonly HeldAtEnd[], discarded: Counter, log: Log): void {
  for (const { name, size, becomes } of held) {
    discarded.value += size;
    log.warn(`discardOnReload: ${size} events of channel ${name} are given up; it is ${becomes}`);
  }
}
