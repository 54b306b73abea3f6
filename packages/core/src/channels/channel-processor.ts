import { type MillraceError, toMillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import { declareDiscard } from "../metrics/common-metrics.ts";
import type { Counter, Metrics } from "../metrics/metrics.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { ChannelProcessor, Interceptor } from "../sources/source.ts";
import type { ChannelSelector, Routes } from "./channel-selector.ts";
import { createFanOut, putShare, type Share, sharesInOrder } from "./fan-out.ts";
import { createInterceptorChain } from "./interceptor-chain.ts";

export interface ChannelProcessorOptions {
  /** In the order of the source's `interceptors`. */
  readonly interceptors: readonly Interceptor[];
  readonly selector: ChannelSelector;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * How long a batch that goes to several channels waits for room in all of them together. Read for
   * each batch: a reload may change it.
   */
  readonly keepAliveMs: number;
}

/** At most one line about unmatched events in this time; it says how many there were. */
const unmatchedLogMs = 60_000;

/**
 * Takes a source's batches through its interceptors and its selector into its channels. What is
 * left out on the way is counted in `millrace_events_discarded_total`, once the rest is stored: a
 * batch that failed was not processed, and its retry counts it.
 */
export function createChannelProcessor(options: ChannelProcessorOptions): ChannelProcessor {
  const { selector, clock, log } = options;
  const intercept = createInterceptorChain(options.interceptors);
  const fanOut = createFanOut(clock, () => options.keepAliveMs);
  const discards = declareDiscards(options.metrics);
  const leftOutBy = declareLeftOut(options.metrics, options.interceptors, discards.intercepted);
  const sayUnmatched = createUnmatchedLog(clock, log);

  const putRequired = async (routes: Routes): Promise<void> => {
    const shares = sharesInOrder(routes.required);
    const [first] = shares;
    if (first === undefined) return;
    // A single channel keeps its own keep-alive: no timer and no signal for the common case.
    if (shares.length === 1) await putShare(first);
    else await fanOut(shares);
  };

  const putOptional = async (share: Share): Promise<void> => {
    try {
      await putShare(share);
    } catch (error) {
      discards.optionalFailed.value += share.batch.length;
      const { code, message } = toMillraceError(error);
      log.warn(`optional channel ${share.channel.name} did not take a batch: ${code} ${message}`, {
        events: share.batch.length,
      });
    }
  };

  return {
    async processEventBatch(batch: EventBatch): Promise<void> {
      if (batch.length === 0) return;
      try {
        const { events, leftOut } = await intercept(batch);
        const routes = events.length === 0 ? noRoutes : selector(events);
        await putRequired(routes);
        for (const { interceptor, count } of leftOut) leftOutBy(interceptor).value += count;
        if (routes.unmatched > 0) {
          discards.unmatched.value += routes.unmatched;
          sayUnmatched(routes.unmatched);
        }
        if (routes.optional.size > 0) {
          await Promise.all(sharesInOrder(routes.optional).map(putOptional));
        }
      } catch (error) {
        throw asMillraceError(error);
      }
    },
  };
}

const noRoutes: Routes = { required: new Map(), optional: new Map(), unmatched: 0 };

function asMillraceError(error: unknown): MillraceError {
  return toMillraceError(error, "UNEXPECTED", "a batch could not be processed");
}

function declareDiscards(metrics: Metrics) {
  return {
    unmatched: declareDiscard(metrics, "unmatched_route", false),
    intercepted: declareDiscard(metrics, "interceptor", true),
    optionalFailed: declareDiscard(metrics, "optional_channel_failed", false),
  };
}

/** The counter for what an interceptor leaves out; those that give the same reason share it. */
function declareLeftOut(
  metrics: Metrics,
  interceptors: readonly Interceptor[],
  unnamed: Counter,
): (interceptor: Interceptor) => Counter {
  const byReason = new Map<string, Counter>();
  const counters = new Map<Interceptor, Counter>();
  for (const interceptor of interceptors) {
    if (typeof interceptor !== "function" || interceptor.discards === undefined) continue;
    const { reason, intended } = interceptor.discards;
    const key = `${reason} ${intended}`;
    const counter = byReason.get(key) ?? declareDiscard(metrics, reason, intended);
    byReason.set(key, counter);
    counters.set(interceptor, counter);
  }
  return (interceptor) => counters.get(interceptor) ?? unnamed;
}

/** Flume drops events without a route as if they had succeeded; here someone hears of it. */
function createUnmatchedLog(clock: Clock, log: Log): (count: number) => void {
  let untold = 0;
  let toldAt = -Infinity;
  return (count) => {
    untold += count;
    const now = clock.monotonic();
    if (now - toldAt < unmatchedLogMs) return;
    log.error(
      `${untold} events matched no route of the channel selector and were discarded; ` +
        `name a default channel (selector.default) to keep them`,
      { events: untold },
    );
    untold = 0;
    toldAt = now;
  };
}
