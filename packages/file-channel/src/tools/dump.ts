import { EventBatch, type Event } from "@millrace/core";
import { readU64 } from "../format/bytes.ts";
import { extType, recordType } from "../format/record.ts";
import { openRecords } from "../log/open-records.ts";
import { extValue, runOf } from "../log/record-extensions.ts";
import { type ReadRecord } from "../log/record-reader.ts";
import { isInUse } from "./in-use.ts";
import { type DamagedRange, scanSegment } from "./scan-segment.ts";
import { openTolerant } from "./segment-files.ts";
import { scanWindowBytes, type SurveyedSegment } from "./surveyed-segment.ts";
import { type Survey, surveyChannel } from "./survey.ts";
import { readOnlyFiles, type ToolContext } from "./tool-context.ts";

export interface DumpOptions {
  /** Delivered events too, as far as their segments are still there. */
  readonly all: boolean;
  /** Events at most. */
  readonly max: number;
  /** The lowest sequence. */
  readonly from: number;
}

/** An event as it is stored. */
export interface DumpedEvent {
  readonly kind: "event";
  readonly sequence: number;
  readonly run: string;
  /** Ms since 1970. */
  readonly putMs: number | undefined;
  readonly acknowledged: boolean;
  /** Undefined in an encrypted segment, when there are no keys. */
  readonly event: Event | undefined;
}

/** What could not be read, in its place between the events. */
export interface DumpedDamage {
  readonly kind: "damage";
  readonly path: string;
  readonly range: DamagedRange;
}

/**
 * The events in their order. Nothing is written, nothing is taken: a dump shows, it does not
 * deliver. Throws as `surveyChannel`, and KEY_WRONG, KEY_MISSING where keys are given that do not
 * fit.
 */
export async function* dumpChannel(
  paths: readonly string[],
  options: DumpOptions,
  context: ToolContext,
): AsyncGenerator<DumpedEvent | DumpedDamage> {
  const files = readOnlyFiles(context.runtime.files);
  const looking = { ...context, runtime: { ...context.runtime, files } };
  const survey = await surveyChannel(paths, looking);
  let left = options.max;
  for (const one of survey.segments) {
    if (one.segment.nextSequence <= options.from) continue;
    if (!options.all && one.segment.unacknowledged === 0) continue;
    for await (const item of dumpSegment(survey, one, options, looking)) {
      if (left-- <= 0) return;
      yield item;
    }
  }
}

/** Whether an agent has the channel open while it is dumped. */
export function dumpMoves(paths: readonly string[], context: ToolContext): Promise<boolean> {
  return isInUse(paths, context.runtime.locks);
}

async function* dumpSegment(
  { state, newest }: Survey,
  one: SurveyedSegment,
  { all, from }: DumpOptions,
  { runtime, keys }: ToolContext,
): AsyncGenerator<DumpedEvent | DumpedDamage> {
  const { header, segment, file } = one;
  const handle = await openTolerant(runtime.files, file.path);
  try {
    const options = { limit: segment.end, windowBytes: scanWindowBytes, keys };
    const reader = await openRecords(handle, header, options);
    const bounds = {
      firstSequence: header.firstSequence,
      nextSequence: one === newest ? undefined : segment.nextSequence,
      end: segment.end,
      align: header.groupAlign,
    };
    for await (const item of scanSegment(reader, bounds)) {
      if (item.kind === "damage") {
        const missing = state.acknowledged.missingIn(Math.max(item.first, state.lowest), item.end);
        const isWanted = item.end > Math.max(from, item.first) && (all || missing.length > 0);
        if (isWanted) yield { kind: "damage", path: file.path, range: item };
        continue;
      }
      const { head } = item.record;
      if (head.type !== recordType.put || head.sequence + head.count <= from) continue;
      const isOpen = (sequence: number): boolean =>
        sequence >= state.lowest && state.acknowledged.countIn(sequence, sequence + 1) === 0;
      for (const event of eventsOf(item.record, runOf(item.record, header), isOpen)) {
        if (event.sequence >= from && (all || !event.acknowledged)) yield event;
      }
    }
  } finally {
    await handle.close();
  }
}

function* eventsOf(
  record: ReadRecord,
  run: string,
  isOpen: (sequence: number) => boolean,
): Generator<DumpedEvent> {
  const { head, body, sealed } = record;
  const time = extValue(record, extType.putTime);
  const putMs = time === undefined ? undefined : readU64(time, 0);
  // The body is a view of the reader's window, and whoever is given an event may keep it.
  const batch = sealed ? undefined : EventBatch.scan(Buffer.from(body), 0, body.length, head.count);
  for (let i = 0; i < head.count; i++) {
    const sequence = head.sequence + i;
    const event = batch?.at(i);
    yield { kind: "event", sequence, run, putMs, acknowledged: !isOpen(sequence), event };
  }
}
