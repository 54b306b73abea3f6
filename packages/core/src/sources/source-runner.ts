import { toMillraceError } from "../errors/millrace-error.ts";
import type { Lifecycle } from "../lifecycle.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { settledBy } from "../runtime/deadline.ts";
import type { Log } from "../runtime/log.ts";
import { roundsPerTurn, yieldToEventLoop } from "../runtime/yield.ts";
import { isPollable, type PollableSource, type Source } from "./source.ts";

export interface SourceRunnerOptions {
  readonly source: Source;
  readonly clock: Clock;
  readonly log: Log;
  /** Told once of an error whose answer is `fatal`; polling has stopped then. */
  readonly onFatal?: (error: Error) => void;
}

/** How long a poll that was aborted may still run when the stop's deadline has passed. */
const abortGraceMs = 1000;

/**
 * Runs a source: starts it, and if it is pollable asks it again and again. After n backoffs in a
 * row it waits `n * incrementMs`, at most `maxMs`; after an exception `maxMs` (Flume polls again
 * at once after an EventDeliveryException). Stop aborts the poll, awaits it, then stops the source.
 */
export function createSourceRunner(options: SourceRunnerOptions): Lifecycle {
  const { source, clock, log } = options;
  let polling: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  let stopping: Promise<void> | undefined;

  const stopOnce = async (deadline: AbortSignal): Promise<void> => {
    if (polling !== undefined) {
      polling.stop.abort();
      const ended = await settledBy(polling.done, deadline, clock, abortGraceMs);
      if (!ended) log.error("the source's poll ignored its abort and was left behind");
      polling = undefined;
    }
    await source.stop(deadline);
  };

  return {
    async start(aborted) {
      stopping = undefined;
      await source.start(aborted);
      if (!isPollable(source) || polling !== undefined || stopping !== undefined) return;
      const stop = new AbortController();
      polling = { stop, done: poll(source, stop.signal, options) };
    },
    stop(deadline) {
      stopping ??= stopOnce(deadline);
      return stopping;
    },
  };
}

/** Asks until the signal aborts or an error is fatal. Never rejects. */
async function poll(
  source: PollableSource,
  signal: AbortSignal,
  { clock, log, onFatal }: SourceRunnerOptions,
): Promise<void> {
  const { incrementMs, maxMs } = source.pollBackoff;
  let backoffs = 0;
  for (let round = 1; !signal.aborted; round++) {
    try {
      const answer = await source.poll(signal);
      backoffs = answer === "ready" ? 0 : backoffs + 1;
      if (backoffs > 0) await sleep(clock, Math.min(backoffs * incrementMs, maxMs), signal);
    } catch (thrown) {
      if (signal.aborted) return;
      const error = toMillraceError(thrown);
      if (error.answer === "fatal") {
        log.error(`the source stopped: ${error.code} ${error.message}`, { error });
        onFatal?.(error);
        return;
      }
      log.warn(`a poll failed, next in ${maxMs} ms: ${error.code} ${error.message}`, { error });
      await sleep(clock, maxMs, signal);
    }
    if (round % roundsPerTurn === 0) await yieldToEventLoop();
  }
}
