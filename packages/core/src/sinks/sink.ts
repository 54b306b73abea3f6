import type { EventBatch } from "../events/event-batch.ts";
import type { Lifecycle } from "../lifecycle.ts";

/**
 * Delivers. The transaction around it belongs to the sink runner; a sink group is a sink made of
 * sinks.
 */
export interface Sink extends Lifecycle {
  /** How many events it would like at once; read before every take. */
  readonly batchSize: number;
  /** How many `deliver` calls may be under way. 1 keeps order. */
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

/** What a sink group may say of a member, for the log and the metrics. */
export interface MemberState {
  readonly sink: string;
  readonly state: "active" | "standby" | "penalised";
  readonly penalisedUntilMs: number;
  readonly reason: string;
}
