import { setMaxListeners } from "node:events";
import type { Channel, TakeTransaction } from "../channels/channel.ts";
import { type MillraceError, toMillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import type { Lifecycle } from "../lifecycle.ts";
import type { SinkCounters } from "../metrics/counters.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { settledBy } from "../runtime/deadline.ts";
import type { Log } from "../runtime/log.ts";
import { jitter, type Random } from "../runtime/random.ts";
import type { PollBackoff } from "../sources/source.ts";
import { countDeliveries, type SinkHealth } from "./count-deliveries.ts";
import { deliverLent } from "./deliver-lent.ts";
import { runLoops } from "./run-loops.ts";
import type { Sink } from "./sink.ts";

export interface SinkRunnerOptions {
  readonly name: string;
  /** A sink, or a group as one. */
  readonly sink: Sink;
  readonly channel: Channel;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: SinkCounters;
  readonly metrics: Metrics;
  /** Of a sink that is no group: a group's members have their own. */
  readonly health?: SinkHealth;
  /** Whether `drain` empties a durable channel as well, because nobody may come back to it. */
  readonly drainsDurable?: boolean;
  /** Between deliveries of a batch that failed; Flume's 1 s increments up to 5 s when not given. */
  readonly backoff?: PollBackoff;
  /** Told once of an error whose answer is `fatal`; the runner has stopped taking then. */
  readonly onFatal?: (error: MillraceError) => void;
}

/** Runs a sink over its channel. `stop` stops taking, ends what is in flight, and stops the sink. */
export interface SinkRunner extends Lifecycle {
  /**
   * Between the sources' stop and this runner's: delivers until a channel that is not durable is
   * empty; over a durable one, unless `drainsDurable`, only finishes what is in flight. Resolves when no delivery is under
   * way any more, soon after `deadline` at the latest. The sink is still started.
   */
  drain(deadline: AbortSignal): Promise<void>;
}

const flumeBackoff: PollBackoff = { incrementMs: 1000, maxMs: 5000 };

/** How long a delivery that was given up may still take to settle. */
const giveUpGraceMs = 1000;

/** Two empty takes within this time: the channel does not wait, so the runner does. */
const emptyTakeMs = 100;

/**
 *      beginTake ──> deliver ──> commit          per loop; deliveriesInFlight loops
 *                  ^    │ failed
 *                  └────┘ back-off, the same batch
 *
 *   A group's number of deliveries changes with its members that work; see runLoops.
 *
 *   three signals, each aborted once in the life of a run:
 *   taking      no take begins any more
 *   retrying    a delivery that fails is not tried again: its batch is rolled back
 *   delivering  deliveries under way are given up
 */
export function createSinkRunner(options: SinkRunnerOptions): SinkRunner {
  const { name, channel, clock, log } = options;
  const sink = countDeliveries(options.sink, options);
  let run: Run | undefined;
  let stopping: Promise<void> | undefined;

  /** Waits for the loops, and gives up at the deadline. */
  const finish = async (current: Run, deadline: AbortSignal): Promise<void> => {
    const giveUp = (): void => current.end("delivering");
    deadline.addEventListener("abort", giveUp);
    if (deadline.aborted) giveUp();
    const ended = await settledBy(current.ended, deadline, clock, giveUpGraceMs);
    deadline.removeEventListener("abort", giveUp);
    if (!ended) {
      log.error(
        `sink ${name} did not give up its delivery; the batch stays with channel ${channel.name}`,
      );
    }
  };

  const stopOnce = async (deadline: AbortSignal): Promise<void> => {
    if (run !== undefined) {
      run.end("retrying");
      await finish(run, deadline);
      run = undefined;
    }
    await sink.stop(deadline);
  };

  return {
    async start(aborted) {
      stopping = undefined;
      await sink.start(aborted);
      if (run === undefined && stopping === undefined) run = startRun(options, sink);
    },
    async drain(deadline) {
      if (run === undefined) return;
      if (channel.durable && options.drainsDurable !== true) run.end("retrying");
      else run.drain();
      await finish(run, deadline);
    },
    stop(deadline) {
      stopping ??= stopOnce(deadline);
      return stopping;
    },
  };
}

interface Run {
  /** Resolves when no loop runs; never rejects. */
  readonly ended: Promise<unknown>;
  /** Ends taking and retrying, or these and the deliveries under way. */
  end(what: "retrying" | "delivering"): void;
  /** Goes on until the channel is empty, then ends. */
  drain(): void;
}

function startRun(options: SinkRunnerOptions, sink: Sink): Run {
  const { channel, clock, random, log, counters, backoff = flumeBackoff } = options;
  const taking = new AbortController();
  const retrying = new AbortController();
  const delivering = new AbortController();
  // Each delivery under way listens, and there may be many.
  setMaxListeners(0, taking.signal, retrying.signal, delivering.signal);
  let draining = false;

  const flush = (): void => {
    try {
      sink.flush?.();
    } catch (error) {
      log.error("the sink could not be asked to close its files", { error });
    }
  };
  const end = (what: "retrying" | "delivering"): void => {
    taking.abort();
    retrying.abort();
    if (what === "delivering") delivering.abort();
    else flush();
  };
  const endWhenEmpty = (): void => {
    if (draining && channel.size === 0) taking.abort();
  };
  const fail = (error: MillraceError): void => {
    if (taking.signal.aborted && retrying.signal.aborted) return;
    end("retrying");
    log.error(`the sink stopped: ${error.code} ${error.message}`, { error });
    options.onFatal?.(error);
  };

  const deliver = async (batch: EventBatch): Promise<void> => {
    const delivery = sink.deliver(batch, delivering.signal);
    // A sink that holds deliveries until its file is full would wait for events that never come.
    if (draining || retrying.signal.aborted) flush();
    await delivery;
  };
  const how = {
    deliver,
    retrying: retrying.signal,
    delivering: delivering.signal,
    backoff,
    clock,
    random,
    log,
  };

  const take = async (): Promise<TakeTransaction | undefined> => {
    try {
      return await channel.beginTake(sink.batchSize, taking.signal);
    } catch (thrown) {
      counters.ChannelReadFail++;
      const error = toMillraceError(thrown);
      if (error.answer === "fatal") {
        fail(error);
      } else {
        log.warn(`channel ${channel.name} gave nothing: ${error.code} ${error.message}`, { error });
        await sleep(clock, jitter(random, backoff.maxMs), taking.signal);
      }
      return undefined;
    }
  };

  const begin = (): (() => Promise<void>) => {
    let emptyAtMs = -Infinity;
    return async () => {
      const lent = await take();
      if (lent === undefined) return;
      if (lent.batch.length > 0) {
        const fatal = await deliverLent(lent, how);
        if (fatal !== undefined) fail(fatal);
      } else {
        await lent.commit();
        counters.BatchEmptyCount++;
        const now = clock.monotonic();
        if (now - emptyAtMs < emptyTakeMs) await sleep(clock, emptyTakeMs, taking.signal);
        emptyAtMs = clock.monotonic();
      }
      endWhenEmpty();
    };
  };

  const ended = runLoops({
    wanted: () => sink.deliveriesInFlight,
    begin,
    until: taking.signal,
    // A round throws only by a mistake of ours: better to stop in order than to stand still unseen.
    onError: (error) => fail(toMillraceError(error)),
  });
  return {
    ended,
    end,
    drain() {
      draining = true;
      endWhenEmpty();
      flush();
    },
  };
}
