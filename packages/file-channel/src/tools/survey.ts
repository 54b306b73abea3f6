import { type FileSystem, MillraceError } from "@millrace/core";
import { recordFlag, recordType } from "../format/record.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import type { LiveSegment, Snapshot } from "../format/snapshot.ts";
import { LogState } from "../log/log-state.ts";
import { lookAtDirectories, type SurveyedDirectory } from "./directories.ts";
import { firstSequenceOf } from "./first-sequence.ts";
import { rebuildState } from "./rebuild-state.ts";
import type { DamagedRange } from "./scan-segment.ts";
import {
  type HeaderlessSegment,
  readHeaderless,
  readSegmentFiles,
  type SegmentFile,
} from "./segment-files.ts";
import {
  absentSegment,
  applyTo,
  findLive,
  Headers,
  readSnapshot,
  scan,
  type SurveyedSegment,
} from "./surveyed-segment.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";
import type { ToolContext } from "./tool-context.ts";

/** What the newest segment shows when all of it is read. */
export interface NewestWalk {
  readonly damage: readonly DamagedRange[];
  /** Behind the last record that verifies. */
  readonly end: number;
  /** Everything before it is known to be synced. */
  readonly provenEnd: number;
  /** The segment ends with the mark of an orderly close. */
  readonly clean: boolean;
  /** Its snapshot does not verify: the state comes from the segments before. */
  readonly snapshotDamaged: boolean;
  /** What the disk could not read of it. */
  readonly unreadable: readonly ByteRange[];
}

/** What a snapshot says of a segment, and the file of its name, which shows nothing of it. */
export type MissingSegment = LiveSegment & { readonly file: SegmentFile | undefined };

/** What lies in a channel's directories, as far as it can be read. Nothing is written to get it. */
export interface Survey {
  readonly directories: readonly SurveyedDirectory[];
  /** 32 hexadecimal digits. */
  readonly channel: string;
  /** Everything the newest segment says is in it, proven or not; nothing of the damage is settled. */
  readonly state: LogState;
  /** By sequence; the newest is the last. */
  readonly segments: readonly SurveyedSegment[];
  readonly newest: SurveyedSegment;
  readonly walk: NewestWalk;
  /** Listed by the snapshot and not there, or without anything that could be read. */
  readonly missing: readonly MissingSegment[];
  /** Segment files that nothing needs: the next start frees them. */
  readonly leftovers: readonly SegmentFile[];
  /** Sentences about what could not be known, where a snapshot had to be rebuilt. */
  readonly guesses: readonly string[];
}

/**
 * Reads the directories' channel.json, every segment's header and all of the newest segment. Throws
 * CHANNEL_DIRECTORY, CHANNEL_FORMAT, PERMISSION_DENIED, and CHANNEL_CORRUPT where no segment is
 * left to go by.
 */
export async function surveyChannel(
  paths: readonly string[],
  context: ToolContext,
): Promise<Survey> {
  const { files } = context.runtime;
  const directories = await lookAtDirectories(files, paths);
  const found: SegmentFile[] = [];
  for (const { path, place, isPresent } of directories) {
    if (isPresent) found.push(...(await readSegmentFiles(files, path, place)));
  }
  const channel = channelOf(directories, found);
  const headerless = await readAllHeaderless(files, found);
  const newestFile = newestOf(found, headerless);
  if (newestFile === undefined) {
    throw new MillraceError(
      "CHANNEL_CORRUPT",
      `no segment in ${paths.join(", ")} can be read; check that the disks are mounted and whole`,
    );
  }
  const headers = new Headers(channel, headerless);
  const shows = headerless.get(newestFile.path);
  if (shows !== undefined && shows.firstSequence === undefined) {
    const before = newestWhole(found, newestFile, headers);
    const firstSequence = await firstSequenceOf(context, newestFile, shows, before);
    headerless.set(newestFile.path, { ...shows, firstSequence });
  }
  const newest = headers.of(newestFile, undefined);
  const snapshot = await readSnapshot(files, newest);
  const parts =
    snapshot === undefined
      ? await rebuildState(context, found, newest, headers)
      : listedBy(snapshot, found, newest, headers);
  const walk = await walkNewest(context, newest, parts.state, snapshot === undefined);
  const used = new Set(parts.segments.map(({ file }) => file.path));
  for (const { file } of parts.missing) if (file !== undefined) used.add(file.path);
  return {
    directories,
    channel,
    ...parts,
    newest,
    walk,
    leftovers: found.filter(({ path }) => !used.has(path)),
  };
}

/** What the survey knows before the newest segment is walked. */
export type SurveyParts = Pick<Survey, "state" | "segments" | "missing" | "guesses">;

function listedBy(
  snapshot: Snapshot,
  found: readonly SegmentFile[],
  newest: SurveyedSegment,
  headers: Headers,
): SurveyParts {
  const state = new LogState(snapshot, newest.header.firstSequence);
  const segments: SurveyedSegment[] = [];
  const missing: MissingSegment[] = [];
  for (const live of snapshot.segments) {
    const { one, file } = findLive(live, found, headers);
    if (one === undefined) missing.push({ ...live, file });
    else segments.push(one);
    const segment = one?.segment ?? absentSegment(live, newest.header);
    const first = Math.max(live.firstSequence, state.lowest);
    const open = Math.max(0, live.nextSequence - first);
    segment.unacknowledged = open - state.acknowledged.countIn(first, live.nextSequence);
    state.segments.push(segment);
  }
  segments.push(newest);
  state.segments.push(newest.segment);
  return { state, segments, missing, guesses: [] };
}

async function walkNewest(
  context: ToolContext,
  newest: SurveyedSegment,
  state: LogState,
  snapshotDamaged: boolean,
): Promise<NewestWalk> {
  const damage: DamagedRange[] = [];
  let end = segmentHeaderBytes;
  let provenEnd = segmentHeaderBytes;
  let inOpening = true;
  let clean = false;
  const { segment, file, header } = newest;
  const bounds = { firstSequence: header.firstSequence, nextSequence: undefined, end: file.size };
  const unreadable = await scan(
    context,
    newest,
    { ...bounds, align: header.groupAlign },
    (item) => {
      clean = false;
      applyTo(state, segment, item);
      if (item.kind === "damage") {
        damage.push(item);
        end = item.to;
        return;
      }
      const { head } = item.record;
      ({ end } = item.record);
      provenEnd = Math.max(provenEnd, head.groupStart);
      if (inOpening && (head.flags & recordFlag.last) !== 0) {
        // The header proves the opening.
        inOpening = false;
        provenEnd = Math.max(provenEnd, end);
      }
      clean = head.type === recordType.mark && (head.flags & recordFlag.clean) !== 0;
    },
  );
  segment.end = end;
  return { damage, end, provenEnd: Math.min(provenEnd, end), clean, snapshotDamaged, unreadable };
}

function channelOf(
  directories: readonly SurveyedDirectory[],
  found: readonly SegmentFile[],
): string {
  const claimed = directories.find(({ claim }) => claim !== undefined);
  const headed = found.find(({ header }) => header !== undefined);
  const channel = claimed?.claim?.channel ?? headed?.header?.channel ?? "";
  for (const { path, claim } of directories) {
    if (claim === undefined || claim.channel === channel) continue;
    throw new MillraceError(
      "CHANNEL_DIRECTORY",
      `${path} belongs to another channel than ${claimed?.path}; give the directories of one channel`,
    );
  }
  for (const { path, header } of found) {
    if (header === undefined || header.channel === channel) continue;
    throw new MillraceError(
      "CHANNEL_DIRECTORY",
      `${path} is a segment of another channel; move it to where it belongs`,
    );
  }
  return channel;
}

async function readAllHeaderless(
  files: FileSystem,
  found: readonly SegmentFile[],
): Promise<Map<string, HeaderlessSegment>> {
  const shown = new Map<string, HeaderlessSegment>();
  for (const file of found) {
    if (file.header !== undefined) continue;
    const shows = await readHeaderless(files, file);
    if (shows !== undefined) shown.set(file.path, shows);
  }
  return shown;
}

/** The segment with the highest id whose header verifies, or is known to have been there. */
function newestOf(
  found: readonly SegmentFile[],
  headerless: ReadonlyMap<string, HeaderlessSegment>,
): SegmentFile | undefined {
  const idOf = (file: SegmentFile): number => {
    if (file.header !== undefined) return file.header.id;
    return headerless.get(file.path)?.hadHeader === true ? file.namedId : -1;
  };
  return found.reduce<SegmentFile | undefined>(
    (best, file) => (idOf(file) > (best === undefined ? 0 : idOf(best)) ? file : best),
    undefined,
  );
}

/** The segment before the newest one, by those headers that verify. */
function newestWhole(
  found: readonly SegmentFile[],
  newest: SegmentFile,
  headers: Headers,
): SurveyedSegment | undefined {
  const whole = found.filter(({ header }) => header !== undefined && header.id < newest.namedId);
  const last = newestOf(whole, new Map());
  return last === undefined ? undefined : headers.of(last, undefined);
}
