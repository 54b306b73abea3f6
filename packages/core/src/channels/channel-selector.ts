import type { EventBatch } from "../events/event-batch.ts";
import type { Channel } from "./channel.ts";

/** Which part of a batch goes where. An event in neither map is discarded, and counted as such. */
export interface Routes {
  readonly required: ReadonlyMap<Channel, EventBatch>;
  readonly optional: ReadonlyMap<Channel, EventBatch>;
  /** Events that no route took. */
  readonly unmatched: number;
}

/** Called once per batch. Replicating shares one batch among all channels. */
export type ChannelSelector = (batch: EventBatch) => Routes;
