import {
  type Channel,
  type ChannelSelector,
  type EventBatch,
  joinRanges,
  type Routes,
  type SelectorContext,
} from "@millrace/core";
import type { Options } from "./options.ts";
import { readTargets, type Target, type Targets } from "./target.ts";

/** Events `from..to` of a batch that go to one target. */
interface Stretch {
  readonly target: Target;
  readonly from: number;
  to: number;
}

/** A batch in more runs than this is copied first: finding event i walks over the runs. */
const runsMax = 16;

/** A cut whose runs hold fewer events on average is copied into one slab. */
const sharedRunEventsMin = 8;

/**
 * Looks at one header of each event, once, and at nothing else. A batch that goes one way is passed
 * on as it is; otherwise each channel gets its events in their order, and channels that get the same
 * events get the same batch. What has no target is `unmatched`.
 */
export function createMultiplexingSelector(
  options: Options,
  context: SelectorContext,
): ChannelSelector {
  const targets = readTargets(options, context);
  const header = Buffer.from(options.header);
  if (targets.otherwise.required.length === 0) {
    context.log.warn(
      `source ${context.name} discards events whose header ${options.header} has no mapping, and ` +
        `counts them as unmatched_route: set selector.default to keep them`,
    );
  }
  return (batch) => {
    const readable = batch.runs.length > runsMax ? batch.copy() : batch;
    return routesOf(readable, stretchesOf(readable, header, targets));
  };
}

function stretchesOf(batch: EventBatch, header: Buffer, { byValue, otherwise }: Targets) {
  const stretches: Stretch[] = [];
  let last: Stretch | undefined;
  for (let i = 0; i < batch.length; i++) {
    const value = batch.headerAt(i, header);
    const target = (value === undefined ? undefined : byValue.get(value)) ?? otherwise;
    if (last?.target === target) last.to = i + 1;
    else stretches.push((last = { target, from: i, to: i + 1 }));
  }
  return stretches;
}

function routesOf(batch: EventBatch, stretches: readonly Stretch[]): Routes {
  const targets = [...new Set(stretches.map(({ target }) => target))];
  let unmatched = 0;
  for (const { target, from, to } of stretches) {
    if (target.required.length + target.optional.length === 0) unmatched += to - from;
  }
  const cut = new Map<string, EventBatch>();
  /** The events of these targets, cut out once whichever channel asks. */
  const eventsFor = (wanted: readonly Target[]): EventBatch => {
    const key = wanted.map((target) => targets.indexOf(target)).join();
    let events = cut.get(key);
    if (events === undefined) {
      events = wanted.length === targets.length ? batch : cutOut(batch, stretches, wanted);
      cut.set(key, events);
    }
    return events;
  };
  const route = (kind: "required" | "optional"): Map<Channel, EventBatch> => {
    const wanted = new Map<Channel, Target[]>();
    for (const target of targets) {
      for (const channel of target[kind]) {
        const others = wanted.get(channel);
        if (others === undefined) wanted.set(channel, [target]);
        else others.push(target);
      }
    }
    return new Map(Array.from(wanted, ([channel, these]) => [channel, eventsFor(these)]));
  };
  return { required: route("required"), optional: route("optional"), unmatched };
}

/** Shares the batch's bytes, unless the pieces are so small that carrying them costs more. */
function cutOut(
  batch: EventBatch,
  stretches: readonly Stretch[],
  wanted: readonly Target[],
): EventBatch {
  const ranges = joinRanges(
    stretches.filter(({ target }) => wanted.includes(target)),
    [],
  );
  const cut = batch.select(ranges);
  return cut.runs.length * sharedRunEventsMin > cut.length && cut.runs.length > 1
    ? cut.copy()
    : cut;
}
