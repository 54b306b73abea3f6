import { type Clock, settledBy, sleep } from "@millrace/core";
import type { SinkPart } from "../graph/part.ts";
import type { Runnable } from "../graph/runnable.ts";
import type { Starter } from "../graph/starter.ts";
import { graceMs, type Stopper } from "../graph/stop-parts.ts";
import { allOf } from "./replace-parts.ts";
import type { LeavingChannel, Parts } from "./plan-reload.ts";

export interface PartRunner {
  readonly starter: Starter;
  readonly stopper: Stopper;
  readonly clock: Clock;
}

const emptyCheckMs = 20;
const beingReplaced = "is being replaced";

/** Starts each once: channels, then sinks, then sources. Gives the kind of the first that failed. */
export async function openParts(
  { starter }: PartRunner,
  { channels, sinks, sources }: Parts,
): Promise<"channels" | "sinks" | "sources" | undefined> {
  for (const [kind, parts] of Object.entries({ channels, sinks, sources })) {
    const starts = parts.map((part) => starter.startOnce(part));
    const results = await Promise.allSettled(starts);
    if (results.some(({ status }) => status === "rejected")) return kind as keyof Parts;
  }
  return undefined;
}

/** Starts each as often as it takes; waits for first attempts alone. */
export async function keepOpening({ starter }: PartRunner, parts: Parts): Promise<void> {
  const { channels, sinks, sources } = parts;
  for (const some of [channels, sinks, sources]) {
    await Promise.all(some.map((part) => starter.startFirst(part)));
  }
}

/** Stops what runs, and what is still tried to be started. */
export async function endParts(
  { starter, stopper, clock }: PartRunner,
  parts: readonly Runnable[],
  deadline: AbortSignal,
): Promise<void> {
  const givenUp = Promise.all(parts.map((part) => starter.giveUp(part)));
  await settledBy(givenUp, deadline, clock, graceMs);
  for (const { title } of parts) starter.notStarted.set(title, beingReplaced);
  await stopper.stop(parts, deadline);
}

/** The agent is ready again, as far as it depends on these. */
export function partsReplaced({ starter }: PartRunner, parts: Parts): void {
  for (const { title } of allOf(parts)) {
    if (starter.notStarted.get(title) === beingReplaced) starter.notStarted.delete(title);
  }
}

/** Lets the sinks of channels that end deliver what these hold, until the deadline. */
export async function emptyChannels(
  { stopper, clock }: PartRunner,
  channels: readonly LeavingChannel["part"][],
  sinks: readonly SinkPart[],
  deadline: AbortSignal,
): Promise<void> {
  const sinksOf = (name: string): SinkPart[] => sinks.filter(({ unit }) => unit.channel === name);
  const empty = async ({ name, channel }: LeavingChannel["part"]): Promise<void> => {
    const own = sinksOf(name);
    if (!channel.durable) return stopper.each(own, deadline, (sink) => sink.drain(deadline));
    // Empty a moment ago: what came since is little.
    while (own.length > 0 && channel.size > 0 && !deadline.aborted) {
      await sleep(clock, emptyCheckMs, deadline);
    }
  };
  await Promise.all(channels.map(empty));
}
