import type { EventBatch } from "../events/event-batch.ts";

/** A member of a load-balancing group, as a selector sees it. */
export interface SelectableSink {
  readonly name: string;
  /** Whether it can take a batch now: not left out after a failure, and with room for one more. */
  readonly available: boolean;
  /** In a row; 0 while it works. */
  readonly failures: number;
  /** Batches that it has not answered. */
  readonly underWay: number;
}

/**
 * In which order the members of a group are asked for a batch. Who comes first has its turn, and the
 * batch waits while that one has no room: put those that are available first where any will do. What
 * it does not take goes to the next that has room, and so on. Who is left out after a failure is
 * passed over, who is not named is not asked. Called once a batch, when at least one is available,
 * with all members in the order of the group. Keeps a state of its own, if any: one is made for each
 * group. What it throws fails the delivery, which is tried again.
 */
export type SinkSelector = (
  members: readonly SelectableSink[],
  batch: EventBatch,
) => Iterable<Pick<SelectableSink, "name">>;
