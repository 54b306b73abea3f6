import { type Clock, type Log, settledBy } from "@millrace/core";
import { setMaxListeners } from "node:events";
import type { Graph } from "./create-graph.ts";
import type { Runnable } from "./runnable.ts";

/** How long a component may take beyond the deadline before it is left behind. */
export const graceMs = 2000;

export interface Stopper {
  /** Runs a step for each, all at once; names those that have not ended soon after the deadline. */
  each<R extends Runnable>(
    runnables: Iterable<R>,
    deadline: AbortSignal,
    step: (runnable: R) => Promise<void>,
  ): Promise<void>;
  stop(runnables: Iterable<Runnable>, deadline: AbortSignal): Promise<void>;
  /** Sources, then sinks when they have drained, then channels. */
  stopGraph(graph: Graph, deadline: AbortSignal): Promise<void>;
}

export function createStopper(clock: Clock, log: Log): Stopper {
  const each: Stopper["each"] = async (runnables, deadline, step) => {
    // Every component listens, and there may be many.
    setMaxListeners(0, deadline);
    const one = async (runnable: Parameters<typeof step>[0]): Promise<void> => {
      const work = step(runnable).catch((error: unknown) =>
        log.error(`${runnable.title} did not stop well`, { error }),
      );
      if (await settledBy(work, deadline, clock, graceMs)) return;
      log.error(`${runnable.title} did not stop by the deadline and is left behind`);
    };
    await Promise.all([...runnables].map(one));
  };
  const stop: Stopper["stop"] = (runnables, deadline) =>
    each(runnables, deadline, ({ lifecycle }) => lifecycle.stop(deadline));
  return {
    each,
    stop,
    async stopGraph({ sources, sinks, channels }, deadline) {
      await stop(sources.values(), deadline);
      await each(sinks.values(), deadline, (sink) => sink.drain(deadline));
      await stop(sinks.values(), deadline);
      await stop(channels.values(), deadline);
    },
  };
}
