import { DeliveryError, type MillraceError, toMillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import { countRanges } from "../events/ranges.ts";
import type { SinkCounters } from "../metrics/counters.ts";
import { type Histogram, type Metrics, observe } from "../metrics/metrics.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Sink } from "./sink.ts";

/** How a sink's deliveries go; written by whoever counts them. */
export interface SinkHealth {
  /** Why the last one failed, and since when they do; undefined when it succeeded or there was none. */
  failing: { readonly error: MillraceError; readonly sinceMs: number } | undefined;
}

export interface DeliveryCounting {
  readonly counters: SinkCounters;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly health?: SinkHealth;
}

const flumeBatchSize = 100;

/**
 * The same sink, its deliveries counted: Flume's batch, drain and write counters, the events
 * delivered, and how long a delivery took by its outcome. The sink runner counts its sink with
 * this; the members of a group are counted with it by whoever makes the group.
 */
export function countDeliveries(
  sink: Sink,
  { counters, metrics, clock, health }: DeliveryCounting,
): Sink {
  const delivered = metrics.counter(
    "millrace_sink_delivered_events_total",
    "Events that the next hop or the store has.",
  );
  const seconds = declareDurations(metrics);
  const own: SinkHealth = health ?? { failing: undefined };
  const showFailing = declareFailing(metrics, own);

  const countFailure = (thrown: unknown, startedMs: number, givenUp: boolean): void => {
    const error = toMillraceError(thrown);
    if (error instanceof DeliveryError) {
      const settled = countRanges(error.settled);
      counters.EventDrainSuccessCount += settled;
      delivered.value += settled;
    }
    // Given up is not failed: the batch goes back to its channel.
    if (givenUp) return;
    counters.EventWriteFail++;
    own.failing = { error, sinceMs: own.failing?.sinceMs ?? clock.now() };
    showFailing(error.code);
    observe(seconds[error.answer], (clock.monotonic() - startedMs) / 1000);
  };

  return {
    get batchSize() {
      return countOr(sink.batchSize, flumeBatchSize);
    },
    get deliveriesInFlight() {
      return countOr(sink.deliveriesInFlight, 1);
    },
    start: (aborted) => sink.start(aborted),
    stop: (deadline) => sink.stop(deadline),
    flush: () => sink.flush?.(),
    async deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
      if (batch.length < countOr(sink.batchSize, flumeBatchSize)) counters.BatchUnderflowCount++;
      else counters.BatchCompleteCount++;
      counters.EventDrainAttemptCount += batch.length;
      const startedMs = clock.monotonic();
      try {
        await sink.deliver(batch, giveUp);
      } catch (error) {
        countFailure(error, startedMs, giveUp.aborted);
        throw error;
      }
      own.failing = undefined;
      counters.EventDrainSuccessCount += batch.length;
      delivered.value += batch.length;
      observe(seconds.ok, (clock.monotonic() - startedMs) / 1000);
    },
  };
}

/** A plugin in JavaScript may have left the number out, and a sink that takes nothing is no help. */
function countOr(count: number, otherwise: number): number {
  return count >= 1 ? count : otherwise;
}

/** There are few codes; each is shown only while it is why the last delivery failed. */
function declareFailing(metrics: Metrics, health: SinkHealth): (code: string) => void {
  const shown = new Set<string>();
  return (reason) => {
    if (shown.has(reason)) return;
    shown.add(reason);
    metrics.gauge(
      "millrace_sink_failing_info",
      "1 while the sink's last delivery has failed, with the error's code.",
      () => (health.failing?.error.code === reason ? 1 : undefined),
      { reason },
    );
  };
}

function declareDurations(
  metrics: Metrics,
): Record<"ok" | "retry" | "reject" | "fatal", Histogram> {
  const duration = (result: string): Histogram =>
    metrics.histogram("millrace_sink_delivery_seconds", "Time of one delivery, by its outcome.", {
      result,
    });
  return {
    ok: duration("ok"),
    retry: duration("retry"),
    reject: duration("reject"),
    fatal: duration("fatal"),
  };
}
