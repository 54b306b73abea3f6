import {
  type ComponentContext,
  editHeaders,
  type Event,
  EventBatch,
  type HeaderEdit,
  type InterceptBatch,
} from "@millrace/core";
import { isExcluded } from "../../pods/pod-annotations.ts";
import {
  acquirePodDirectory,
  type PodDirectory,
  podDirectoryLimits,
  type PodDirectoryLimits,
} from "../../pods/pod-directory.ts";
import type { PodInfo } from "../../pods/pod-info.ts";
import { PodLease } from "../../pods/pod-lease.ts";
import { declarePodMetrics } from "../../pods/pod-metrics.ts";
import { podSettings } from "../../pods/pod-settings.ts";
import type { Options } from "./options.ts";
import { Patience } from "./patience.ts";
import { pendingEdits, PodHeaders } from "./pod-headers.ts";
import { findStretches, type Stretch, type Whose } from "./stretches.ts";

/** What is done to a stretch of events: edits, which may be none, or leaving them out. */
type Treatment = readonly HeaderEdit[] | "excluded";

const untouched: Treatment = [];
/** Below this many events a stretch it is cheaper to decode the events than to edit each stretch. */
const stretchLengthMin = 4;

/**
 * Adds to each event what is known of its pod, waiting a bounded time for pods that are not known
 * yet; an event whose pod did not become known goes on, marked. When all are known it answers at
 * once, without a promise.
 */
export function createKubernetesInterceptor(
  options: Options,
  context: ComponentContext,
  limits: PodDirectoryLimits = podDirectoryLimits,
): InterceptBatch {
  const { runtime, log, metrics } = context;
  const settings = podSettings(options);
  const restarts = declarePodMetrics(metrics, () => lease.held);
  const acquire = (): PodDirectory => acquirePodDirectory(settings, runtime, log, restarts, limits);
  const lease = new PodLease(acquire, runtime);
  const pending = metrics.counter(
    "millrace_kubernetes_pending_total",
    "Events that went on without metadata, as their pod was not known in time.",
  );
  const headers = new PodHeaders(options.labels, options.annotations);
  const patience = new Patience(runtime.clock);

  const treat = (directory: PodDirectory, whose: Whose | undefined): Treatment => {
    if (whose === undefined) return untouched;
    const pod = peek(directory, whose);
    if (pod === undefined) return pendingEdits;
    return isExcluded(pod, whose.container) ? "excluded" : headers.of(pod, whose.container);
  };

  const apply = (batch: EventBatch, stretches: readonly Stretch[]): EventBatch => {
    const directory = lease.use();
    const treatments = stretches.map(({ whose }) => treat(directory, whose));
    for (const [i, { from, to }] of stretches.entries()) {
      if (treatments[i] === pendingEdits) pending.value += to - from;
    }
    return batch.length < stretches.length * stretchLengthMin
      ? applyToEach(batch, stretches, treatments)
      : applyToStretches(batch, stretches, treatments);
  };

  const intercept = (batch: EventBatch): EventBatch | Promise<EventBatch> => {
    const stretches = findStretches(batch);
    const directory = lease.use();
    const awaited = new Map<string, Whose>();
    for (const { whose } of stretches) {
      if (whose === undefined || peek(directory, whose) !== undefined) continue;
      if (patience.isWorthwhile(whose.key, directory.current)) awaited.set(whose.key, whose);
    }
    if (awaited.size === 0) return apply(batch, stretches);
    return waitFor(directory, [...awaited.values()], patience).then(() => apply(batch, stretches));
  };
  return Object.assign(intercept, { discards: { reason: "excluded", intended: true } });
}

/** Waits for all of them at once: the directory bounds each look-up, and so the whole. */
async function waitFor(
  directory: PodDirectory,
  awaited: readonly Whose[],
  patience: Patience,
): Promise<void> {
  const found = await Promise.all(
    awaited.map(({ uid, namespace, pod }) =>
      uid === undefined ? directory.lookUpName(namespace, pod) : directory.lookUp(uid),
    ),
  );
  for (const [i, { key }] of awaited.entries()) {
    if (found[i] === undefined) patience.waitedInVain(key, directory.current);
  }
}

function peek(directory: PodDirectory, { uid, namespace, pod }: Whose): PodInfo | undefined {
  return uid === undefined ? directory.peekName(namespace, pod) : directory.peek(uid);
}

function applyToStretches(
  batch: EventBatch,
  stretches: readonly Stretch[],
  treatments: readonly Treatment[],
): EventBatch {
  const parts: EventBatch[] = [];
  for (const [i, { from, to }] of stretches.entries()) {
    const treatment = treatments[i] ?? untouched;
    if (treatment !== "excluded") parts.push(editHeaders(batch.slice(from, to), treatment));
  }
  return EventBatch.join(parts);
}

/** For a batch in which containers take turns with nearly every event. */
function applyToEach(
  batch: EventBatch,
  stretches: readonly Stretch[],
  treatments: readonly Treatment[],
): EventBatch {
  let stretch = 0;
  return batch.map((event, index): Event | undefined => {
    while (index >= (stretches[stretch] as Stretch).to) stretch++;
    const treatment = treatments[stretch] ?? untouched;
    if (treatment === "excluded") return undefined;
    if (treatment.length === 0) return event;
    const headers = new Map(event.headers);
    for (const { name, value } of treatment) headers.set(name, value);
    return { headers, body: event.body };
  });
}
