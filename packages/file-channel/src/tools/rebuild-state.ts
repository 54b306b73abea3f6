import type { LiveSegment, Snapshot } from "../format/snapshot.ts";
import { LogState } from "../log/log-state.ts";
import { type SegmentFile } from "./segment-files.ts";
import type { MissingSegment, SurveyParts } from "./survey.ts";
import {
  absentSegment,
  applyTo,
  findLive,
  type Headers,
  readSnapshot,
  scan,
  type SurveyedSegment,
} from "./surveyed-segment.ts";
import type { ToolContext } from "./tool-context.ts";

/**
 * The state as of the newest segment's beginning, whose own snapshot does not verify: from the last
 * snapshot before that does, and every put and acknowledgement found since. What was freed in
 * between held nothing that was still to be delivered; a file that is there and shows nothing was
 * not freed, and what stood in it is missing.
 */
export async function rebuildState(
  context: ToolContext,
  found: readonly SegmentFile[],
  newest: SurveyedSegment,
  headers: Headers,
): Promise<SurveyParts> {
  const older = found
    .flatMap((file) => headers.find(file, undefined) ?? [])
    .filter(({ header }) => header.id < newest.header.id)
    .sort((a, b) => a.header.firstSequence - b.header.firstSequence || a.header.id - b.header.id);
  const base = await newestSnapshot(context, older);
  const guesses: string[] = [];
  const { state, segments, missing } = begin(base, found, older, headers);
  const unreadable = found.filter((file) => headers.find(file, undefined) === undefined);
  const follow = older.filter(({ header }) => header.id >= (base?.from.header.id ?? 0));
  let whole = base !== undefined;
  let before: SurveyedSegment | undefined;
  for (const one of [...follow, newest]) {
    if (before !== undefined && one.header.previousId !== before.header.id) whole = false;
    const after = before?.header.id ?? base?.from.header.id ?? 0;
    const between = unreadable.filter(({ namedId }) => namedId > after && namedId < one.header.id);
    missing.push(...missingIn(between, state, one));
    skipTo(state, one.header.firstSequence);
    before = one;
    segments.push(one);
    state.segments.push(one.segment);
    if (one !== newest) await readInto(state, one, context, nextOf(one, follow, newest));
  }
  guesses.push(
    base === undefined
      ? "no older snapshot is there: everything the segments hold counts as not delivered, and what they do not hold as delivered"
      : `the snapshot of ${newest.file.path} was rebuilt from that of ${base.from.file.path} and what was written since`,
  );
  if (!whole) {
    guesses.push(
      "a segment in between was freed, with acknowledgements in it: some events may be delivered a second time",
    );
  }
  return { state, segments, missing, guesses };
}

async function newestSnapshot(
  context: ToolContext,
  older: readonly SurveyedSegment[],
): Promise<{ snapshot: Snapshot; from: SurveyedSegment } | undefined> {
  for (const from of [...older].sort((a, b) => b.header.id - a.header.id)) {
    const snapshot = await readSnapshot(context.runtime.files, from);
    if (snapshot !== undefined) return { snapshot, from };
  }
  return undefined;
}

function begin(
  base: { snapshot: Snapshot; from: SurveyedSegment } | undefined,
  found: readonly SegmentFile[],
  older: readonly SurveyedSegment[],
  headers: Headers,
): { state: LogState; segments: SurveyedSegment[]; missing: MissingSegment[] } {
  if (base === undefined) {
    const first = older[0]?.header.firstSequence ?? 1;
    const nothing = { acknowledged: [], discardedTotal: 0, segments: [] };
    const totals = { lowest: first, putTotal: first - 1, takenTotal: first - 1 };
    return { state: new LogState({ ...totals, ...nothing }, first), segments: [], missing: [] };
  }
  const { snapshot, from } = base;
  const state = new LogState(snapshot, from.header.firstSequence);
  const segments: SurveyedSegment[] = [];
  const missing: MissingSegment[] = [];
  for (const live of snapshot.segments) {
    const { one, file } = findLive(live, found, headers);
    // Not there: it was freed since, so all of it had been delivered.
    if (file === undefined) {
      settle(state, live);
      continue;
    }
    if (one === undefined) missing.push({ ...live, file });
    else segments.push(one);
    const segment = one?.segment ?? absentSegment(live, from.header);
    const low = Math.max(live.firstSequence, state.lowest);
    const open = Math.max(0, live.nextSequence - low);
    segment.unacknowledged = open - state.acknowledged.countIn(low, live.nextSequence);
    state.segments.push(segment);
  }
  return { state, segments, missing };
}

function settle(state: LogState, { firstSequence, nextSequence }: LiveSegment): void {
  if (firstSequence < nextSequence) {
    state.acknowledge([{ first: firstSequence, end: nextSequence }]);
  }
}

/**
 * Sequences that no segment holds, between two where a file lies that shows nothing, stood in that
 * file: they are not known to be delivered. The first of several files stands for all.
 */
function missingIn(
  files: readonly SegmentFile[],
  state: LogState,
  next: SurveyedSegment,
): MissingSegment[] {
  const { nextSequence: firstSequence } = state;
  const { firstSequence: nextSequence } = next.header;
  if (nextSequence <= firstSequence) return [];
  return files.map((file, index) => {
    const first = index === 0 ? firstSequence : nextSequence;
    const { namedId: id, place: directory, size: end } = file;
    const live = { id, run: next.header.run, directory, end, nextSequence, firstSequence: first };
    const segment = absentSegment({ ...live, nextSequence: first }, next.header);
    state.segments.push(segment);
    if (index === 0) state.put(segment, nextSequence - first);
    return { ...live, file };
  });
}

/** Sequences that no segment holds any more were delivered, or their segment would be there. */
function skipTo(state: LogState, sequence: number): void {
  const first = state.nextSequence;
  if (sequence <= first) return;
  state.putTotal += sequence - first;
  state.nextSequence = sequence;
  state.acknowledge([{ first, end: sequence }]);
}

/** Reads a former newest segment: up to where its successor says it ends, or its records do. */
async function readInto(
  state: LogState,
  one: SurveyedSegment,
  context: ToolContext,
  next: SurveyedSegment,
): Promise<void> {
  const { header, segment, file } = one;
  const isNext = next.header.previousId === header.id;
  const end = isNext ? Math.min(next.header.previousEnd, file.size) : file.size;
  const nextSequence = isNext ? next.header.firstSequence : undefined;
  segment.end = end;
  const bounds = { firstSequence: header.firstSequence, nextSequence, end };
  await scan(context, one, { ...bounds, align: header.groupAlign }, (item) => {
    const first = item.kind === "damage" ? item.first : item.record.head.sequence;
    // Behind it stands what recovery copied into the next one.
    if (first >= next.header.firstSequence && item.kind === "record") {
      for (const range of item.discarded) state.discard(range);
      state.acknowledge(item.acknowledged);
      return;
    }
    applyTo(state, segment, item);
    if (!isNext) segment.end = item.kind === "damage" ? item.to : item.record.end;
  });
}

function nextOf(
  one: SurveyedSegment,
  follow: readonly SurveyedSegment[],
  newest: SurveyedSegment,
): SurveyedSegment {
  return follow[follow.indexOf(one) + 1] ?? newest;
}
