import {
  type ComponentContext,
  editHeaders,
  EventBatch,
  type InterceptBatch,
  MillraceError,
} from "@millrace/core";
import { identityOf } from "./identity.ts";
import type { Options } from "./options.ts";

/** The sources an event has passed, oldest first, with commas between. */
const headerName = "millrace.via";
const header = Buffer.from(headerName);
/** At most one line about a ring in this time; it says how many events there were. */
const saidAgainMs = 60_000;
/** Of a ring, in its message: rings are short. */
const namesShownMax = 10;
const nameShownMax = 200;
/** Below this many events a stretch it is cheaper to decode the events than to edit each stretch. */
const stretchLengthMin = 4;

/** Neighbouring events that came the same way. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly via: string;
}

/**
 * Writes this source's identity behind those that the event has passed. An event that names it
 * already has gone in a circle: its batch is refused as EVENT_LOOP, or the event is left out.
 */
export function createLoopGuard(options: Options, context: ComponentContext): InterceptBatch {
  const identity = identityOf(options.identity, context);
  const say = createRingLog(context);
  const refused = context.metrics.counter(
    "millrace_loop_refused_events_total",
    "Events of batches that were refused because one of them had been here before.",
  );

  const intercept = (batch: EventBatch): EventBatch => {
    const stretches = findStretches(batch);
    const looped = stretches.filter(({ via }) => `,${via},`.includes(`,${identity},`));
    const [first] = looped;
    if (first === undefined) return pass(batch, stretches, identity);
    const count = looped.reduce((sum, { from, to }) => sum + to - from, 0);
    const ring = describeRing(first.via, identity);
    if (options.onLoop === "discard") {
      say(`${ring}; such events are discarded here`, count);
      return pass(batch, stretches.filter((stretch) => !looped.includes(stretch)), identity); // prettier-ignore
    }
    refused.value += batch.length;
    say(`${ring}; such batches are refused, and their sender keeps them`, count);
    throw new MillraceError("EVENT_LOOP", ring, { context: { events: count, of: batch.length } });
  };
  if (options.onLoop === "refuse") return intercept;
  return Object.assign(intercept, { discards: { reason: "loop", intended: false } });
}

/** Senders write the header: of a long name its beginning is shown, of many names the first. */
function describeRing(via: string, identity: string): string {
  const passed = `,${via},`;
  const names = passed.slice(passed.indexOf(`,${identity},`) + 1, -1).split(",", namesShownMax + 1);
  const short = names.map((name) => (name.length > nameShownMax ? `${name.slice(0, nameShownMax)}...` : name)); // prettier-ignore
  const ring = short.length > namesShownMax ? [...short.slice(0, -1), "more"] : short;
  return `agents are wired in a ring, ${[...ring, identity].join(" -> ")}: take one of these hops out`;
}

function findStretches(batch: EventBatch): Stretch[] {
  const stretches: Stretch[] = [];
  let via = "";
  let from = 0;
  for (let i = 0; i < batch.length; i++) {
    const found = batch.headerAt(i, header) ?? "";
    if (i > 0 && found !== via) {
      stretches.push({ from, to: i, via });
      from = i;
    }
    via = found;
  }
  if (batch.length > 0) stretches.push({ from, to: batch.length, via });
  return stretches;
}

/** The events of the stretches, each with one name more on its way. */
function pass(batch: EventBatch, stretches: readonly Stretch[], identity: string): EventBatch {
  const longer = (via: string): string => (via === "" ? identity : `${via},${identity}`);
  if (batch.length >= stretches.length * stretchLengthMin) {
    const parts = stretches.map(({ from, to, via }) => {
      const edit = { name: headerName, value: longer(via), preserveExisting: false };
      return editHeaders(batch.slice(from, to), [edit]);
    });
    return EventBatch.join(parts);
  }
  const kept = batch.select(stretches);
  return kept.map(({ headers, body }) => {
    const via = longer(headers.get(headerName) ?? "");
    return { headers: new Map(headers).set(headerName, via), body };
  });
}

/** A ring sends its events again and again: one line a minute is enough. */
function createRingLog({
  log,
  runtime,
}: ComponentContext): (message: string, events: number) => void {
  let untold = 0;
  let toldAtMs = -Infinity;
  return (message, events) => {
    untold += events;
    const nowMs = runtime.clock.monotonic();
    if (nowMs - toldAtMs < saidAgainMs) return;
    log.error(message, { events: untold });
    untold = 0;
    toldAtMs = nowMs;
  };
}
