import { type Clock, type Log, settledBy } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { graceMs } from "../graph/stop-parts.ts";
import type { ReloadOutcome } from "./apply-reload.ts";

export interface ReloaderOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** How long what is replaced may finish. */
  readonly drainMs: number;
  /** Ends the starts that the reload waits for. */
  readonly cutShort: () => void;
  /** Called one after the other. */
  readonly apply: (wanted: AgentConfiguration, deadline: AbortSignal) => Promise<ReloadOutcome>;
}

/** Reloads one after the other, each within its time. */
export interface Reloader {
  reload(wanted: AgentConfiguration): Promise<ReloadOutcome>;
  /**
   * Lets a reload under way come to its end, so that what is behind it is stopped in order. Its own
   * waits end soon, so that the time until the deadline is left for what the channels hold.
   */
  finish(deadline: AbortSignal): Promise<void>;
}

/** How long a stop lets a reload wait for a channel to empty, and for what it opens to start. */
const patienceMs = 2000;

export function createReloader(options: ReloaderOptions): Reloader {
  const { clock, log, drainMs, cutShort, apply } = options;
  let last: Promise<unknown> = Promise.resolve();
  let deadline: AbortController | undefined;

  const run = async (wanted: AgentConfiguration): Promise<ReloadOutcome> => {
    const own = new AbortController();
    deadline = own;
    const timer = clock.setTimer(drainMs, () => own.abort());
    try {
      return await apply(wanted, own.signal);
    } finally {
      timer.cancel();
      deadline = undefined;
    }
  };

  return {
    reload(wanted) {
      const outcome = last.then(() => run(wanted));
      last = outcome.catch(() => {});
      return outcome;
    },
    async finish(stopDeadline) {
      const cut = (): void => {
        deadline?.abort();
        cutShort();
      };
      const cutAgain = (): void => {
        cut();
        timer = clock.setTimer(patienceMs, cutAgain);
      };
      let timer = clock.setTimer(patienceMs, cutAgain);
      stopDeadline.addEventListener("abort", cut);
      if (stopDeadline.aborted) cut();
      const ended = await settledBy(last, stopDeadline, clock, graceMs);
      timer.cancel();
      stopDeadline.removeEventListener("abort", cut);
      if (!ended) log.error("the reload did not end by the deadline and is left behind");
    },
  };
}
