import type {
  Channel,
  ChannelSelector,
  EventBatch,
  Random,
  Ranges,
  SelectorContext,
} from "@millrace/core";
import type { Options } from "./options.ts";

/** A batch in more runs than this is copied first: finding event i walks over the runs. */
const runsMax = 16;

/**
 * One required channel for each event, the next in turn or one drawn by lot; turns go on from batch
 * to batch. Each channel gets its events in their order, in one batch of its own.
 */
export function createLoadBalancingSelector(
  { policy }: Options,
  { channels, runtime }: SelectorContext,
): ChannelSelector {
  const all = [...channels.values()];
  const [only] = all;
  const next = policy === "random" ? drawn(all.length, runtime.random) : inTurn(all.length);
  return (batch) => {
    if (all.length === 1 && only !== undefined) return routes(new Map([[only, batch]]));
    const readable = batch.runs.length > runsMax ? batch.copy() : batch;
    const shares = new Map<Channel, { from: number; to: number }[]>();
    for (let i = 0; i < readable.length; i++) add(shares, all[next()] as Channel, i);
    return routes(
      new Map(Array.from(shares, ([channel, share]) => [channel, cut(readable, share)])),
    );
  };
}

function inTurn(count: number): () => number {
  let turn = -1;
  return () => (turn = (turn + 1) % count);
}

function drawn(count: number, random: Random): () => number {
  return () => random.integer(count);
}

function add(shares: Map<Channel, { from: number; to: number }[]>, channel: Channel, i: number) {
  const share = shares.get(channel);
  const last = share?.at(-1);
  if (share === undefined) shares.set(channel, [{ from: i, to: i + 1 }]);
  else if (last?.to === i) last.to = i + 1;
  else share.push({ from: i, to: i + 1 });
}

/** Single events out of a batch are copied together: carrying each as a run of its own costs more. */
function cut(batch: EventBatch, share: Ranges): EventBatch {
  const part = batch.select(share);
  return part.runs.length > 1 ? part.copy() : part;
}

function routes(required: ReadonlyMap<Channel, EventBatch>) {
  return { required, optional: new Map<Channel, EventBatch>(), unmatched: 0 };
}
