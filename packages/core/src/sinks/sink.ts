import type { EventBatch } from "../events/event-batch.ts";
import type { Lifecycle } from "../lifecycle.ts";

/**
 * Delivers. The transaction around it belongs to the sink runner; a sink group is a sink made of
 * sinks.
 */
export interface Sink extends Lifecycle {
  /** How many events it would like at once; read before every take. */
  readonly batchSize: number;
  /**
   * How many `deliver` calls may be under way. 1 keeps order. Read before every take: a group says
   * what its members that work can hold now. Calls that began under a larger number end as they
   * would have.
   */
  readonly deliveriesInFlight: number;
  /**
   * Resolves when the next hop or the store has the whole batch, so that the channel may forget it.
   * Throws DeliveryError saying which part was settled, or any MillraceError when none was. Must
   * settle by a timeout of its own, and soon after `giveUp` aborts. May be called with a batch
   * that was delivered before.
   */
  deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void>;
  /**
   * For a sink that keeps `deliver` pending until a file closes: close it now, the runner drains or
   * stops. Called any number of times; a group passes it on to its members.
   */
  flush?(): void;
}

/**
 * How a member of a sink group is.
 *
 * - `active`: it gets batches;
 * - `standby`: it would, if those before it failed or its turn came;
 * - `penalised`: it failed, and gets none until its penalty is over;
 * - `trial`: its penalty is over, and one batch is under way to see whether it works.
 */
export const memberStates = ["active", "standby", "penalised", "trial"] as const;

/** What a sink group says of a member, for the log and the metrics. */
export interface MemberState {
  readonly sink: string;
  readonly state: (typeof memberStates)[number];
  /** Milliseconds since 1970; 0 when it is not penalised. */
  readonly penalisedUntilMs: number;
  /** Why its last delivery failed, in a word; "" when that succeeded. */
  readonly reason: string;
}
