import type { SequenceRange } from "@millrace/core";
import { readU64 } from "../format/bytes.ts";
import { extType, recordType } from "../format/record.ts";
import { openRecords } from "../log/open-records.ts";
import { extValue } from "../log/record-extensions.ts";
import { currentClaims } from "./repair-identity.ts";
import { refreshed } from "./in-use.ts";
import { scanSegment } from "./scan-segment.ts";
import { withFile } from "./segment-files.ts";
import { type Survey, surveyChannel } from "./survey.ts";
import type { SurveyedSegment } from "./surveyed-segment.ts";
import { readOnlyFiles, type ToolContext } from "./tool-context.ts";

export interface SegmentStats {
  readonly id: number;
  readonly run: string;
  readonly path: string;
  readonly fileBytes: number;
  /** Where its synced bytes end. */
  readonly end: number;
  readonly sequences: SequenceRange;
  readonly unacknowledged: number;
  /** Name of the key its events are encrypted with. */
  readonly keyAlias: string | undefined;
  readonly isNewest: boolean;
}

export interface ChannelStats {
  readonly channel: string;
  readonly directories: readonly {
    readonly path: string;
    readonly index: number | undefined;
    readonly spares: number;
    readonly freeBytes: number;
  }[];
  /** Events to be delivered. */
  readonly held: number;
  /** Of the segments that hold something, and of all files. */
  readonly bytes: number;
  readonly fileBytes: number;
  /** When the oldest event was put, ms since 1970; undefined when nothing is held. */
  readonly oldestPutMs: number | undefined;
  readonly nextSequence: number;
  readonly lowest: number;
  readonly acknowledgedAbove: readonly SequenceRange[];
  /** Since the channel was made. */
  readonly totals: { readonly put: number; readonly taken: number; readonly discarded: number };
  readonly segments: readonly SegmentStats[];
  readonly leftovers: number;
  /** Closed in order; otherwise it was killed, or is open. */
  readonly clean: boolean;
  readonly inUse: boolean;
  /** Something stands in the way of a start; `verify` says what. */
  readonly isDamaged: boolean;
}

/** Reads headers, the newest segment, and the oldest event. Writes nothing. */
export async function channelStats(
  paths: readonly string[],
  context: ToolContext,
): Promise<ChannelStats> {
  return refreshed(paths, context.runtime.locks, async (inUse) => {
    const files = readOnlyFiles(context.runtime.files);
    const looking = { ...context, keys: undefined, runtime: { ...context.runtime, files } };
    const survey = await surveyChannel(paths, looking);
    const value = await statsOf(survey, looking, inUse);
    return { value, isSteady: !value.isDamaged };
  });
}

async function statsOf(
  survey: Survey,
  context: ToolContext,
  inUse: boolean,
): Promise<ChannelStats> {
  const { state, walk, segments, newest, leftovers } = survey;
  const { files } = context.runtime;
  const directories: ChannelStats["directories"][number][] = [];
  for (const { path, claim, spares, isPresent } of survey.directories) {
    const freeBytes = isPresent ? await files.freeBytes(path) : 0;
    directories.push({ path, index: claim?.index, spares: spares.length, freeBytes });
  }
  const unclaimed =
    currentClaims(survey.directories).free.length > 0 ||
    survey.directories.some(({ claim, isPresent }) => isPresent && claim === undefined);
  return {
    channel: survey.channel,
    directories,
    held: state.held,
    bytes: segments.reduce((sum, { segment }) => sum + segment.end, 0),
    fileBytes: [...segments.map(({ file }) => file), ...leftovers].reduce(
      (sum, { size }) => sum + size,
      0,
    ),
    oldestPutMs: state.held === 0 ? undefined : await oldestPutMs(survey, context),
    nextSequence: state.nextSequence,
    lowest: state.lowest,
    acknowledgedAbove: state.acknowledged.ranges,
    totals: { put: state.putTotal, taken: state.takenTotal, discarded: state.discardedTotal },
    segments: segments.map((one) => segmentStats(one, one === newest)),
    leftovers: leftovers.length,
    clean: walk.clean,
    inUse,
    isDamaged:
      walk.damage.length > 0 ||
      walk.snapshotDamaged ||
      survey.missing.length > 0 ||
      unclaimed ||
      segments.some(({ rebuilt }) => rebuilt !== undefined),
  };
}

function segmentStats({ file, header, segment }: SurveyedSegment, isNewest: boolean): SegmentStats {
  return {
    id: header.id,
    run: header.run,
    path: file.path,
    fileBytes: file.size,
    end: segment.end,
    sequences: { first: header.firstSequence, end: segment.nextSequence },
    unacknowledged: segment.unacknowledged,
    keyAlias: header.encryption?.keyAlias,
    isNewest,
  };
}

/** When the lowest event that is not delivered was put. */
async function oldestPutMs(
  { segments, state }: Survey,
  { runtime: { files } }: ToolContext,
): Promise<number | undefined> {
  for (const { header, segment, file } of segments) {
    if (segment.unacknowledged === 0) continue;
    const { firstSequence, groupAlign: align } = header;
    const bounds = { firstSequence, nextSequence: segment.nextSequence, end: segment.end, align };
    const found = await withFile(files, file.path, async (handle) => {
      const options = { limit: segment.end, windowBytes: 1024 * 1024 };
      const reader = await openRecords(handle, header, options);
      for await (const item of scanSegment(reader, bounds)) {
        if (item.kind === "damage" || item.record.head.type !== recordType.put) continue;
        const { sequence, count } = item.record.head;
        const first = Math.max(sequence, state.lowest);
        if (state.acknowledged.missingIn(first, sequence + count).length === 0) continue;
        const time = extValue(item.record, extType.putTime);
        return time === undefined ? undefined : readU64(time, 0);
      }
      return undefined;
    });
    if (found !== undefined) return found;
  }
  return undefined;
}
