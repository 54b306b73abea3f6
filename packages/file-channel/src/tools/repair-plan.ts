import type { SequenceRange } from "@millrace/core";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { repairIdentity, type RepairedIdentity } from "./repair-identity.ts";
import { readSetAside } from "./set-aside.ts";
import { type Survey, surveyChannel } from "./survey.ts";
import type { SurveyedSegment } from "./surveyed-segment.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";
import type { ToolContext } from "./tool-context.ts";
import { scanAll, unacknowledgedIn } from "./verify.ts";

/** Events that are given up: they were not delivered and cannot be read. */
export interface LostEvents {
  /** The segment's file, or where it should be. */
  readonly path: string;
  /** Bytes of the file; undefined where there is no file. */
  readonly range: ByteRange | undefined;
  readonly sequences: readonly SequenceRange[];
  readonly count: number;
}

/** Damaged bytes of a segment that goes on being used. */
export interface DamagedBytes {
  readonly one: SurveyedSegment;
  readonly range: ByteRange;
}

export interface RepairPlan {
  readonly survey: Survey;
  readonly identity: RepairedIdentity;
  readonly damage: readonly DamagedBytes[];
  /** Blocks the disk cannot read; they are written over once what they hold is given up. */
  readonly unreadable: readonly DamagedBytes[];
  readonly headers: readonly SurveyedSegment[];
  /** Files without anything that could be read: set aside whole. */
  readonly unusable: readonly { readonly path: string; readonly place: number }[];
  readonly lost: readonly LostEvents[];
  readonly lostCount: number;
  /** A new snapshot is needed for the channel to start, or to go on behind the damage. */
  readonly writesSnapshot: boolean;
  /** There is something to do. */
  readonly isNeeded: boolean;
  /** What is done, a sentence each, in order. */
  readonly steps: readonly string[];
  /** What could not be known. */
  readonly guesses: readonly string[];
}

export interface RepairOptions {
  /** A directory that is not there is given up. */
  readonly lostDirectory: boolean;
}

/**
 * Reads everything and says what is to be done. Writes nothing. Throws CHANNEL_DIRECTORY where the
 * operator must decide first.
 */
export async function planRepair(
  paths: readonly string[],
  options: RepairOptions,
  context: ToolContext,
): Promise<RepairPlan> {
  const survey = await surveyChannel(paths, context);
  const identity = repairIdentity(survey, options.lostDirectory);
  const scanned = await scanAll(survey, context);
  const known = await readSetAside(context.runtime.files, paths);
  const lost: LostEvents[] = [];
  for (const { one, range } of scanned.damage) {
    pushLost(lost, survey, one.file.path, range, { first: range.first, end: range.end });
  }
  for (const { firstSequence: first, nextSequence: end, file, id, directory } of survey.missing) {
    const range = file === undefined ? undefined : { from: 0, to: file.size };
    const path = file?.path ?? `segment ${id} of directory ${directory + 1}`;
    pushLost(lost, survey, path, range, { first, end });
  }
  const damage = scanned.damage.filter(
    ({ one, range }) =>
      !known.some(
        ({ segment, run, from, to }) =>
          segment === one.header.id &&
          run === one.header.run &&
          from <= range.from &&
          to >= range.to,
      ) || one === survey.newest,
  );
  const { missing, walk, segments } = survey;
  const headers = segments.filter(({ rebuilt }) => rebuilt !== undefined);
  const writesSnapshot =
    lost.length > 0 ||
    missing.length > 0 ||
    walk.snapshotDamaged ||
    walk.damage.length > 0 ||
    identity.lost.length > 0 ||
    identity.claims.length > 1;
  const parts = {
    survey,
    identity,
    damage,
    unreadable: scanned.unreadable,
    headers,
    unusable: missing.flatMap(({ file }) => (file === undefined ? [] : [file])),
    lost,
    lostCount: lost.reduce((sum, { count }) => sum + count, 0),
    writesSnapshot,
  };
  const isNeeded =
    writesSnapshot ||
    damage.length > 0 ||
    headers.length > 0 ||
    identity.claims.length > 0 ||
    scanned.unreadable.length > 0;
  return { ...parts, isNeeded, steps: stepsOf(parts), guesses: guessesOf(parts) };
}

function pushLost(
  lost: LostEvents[],
  survey: Survey,
  path: string,
  range: ByteRange | undefined,
  { first, end }: SequenceRange,
): void {
  const sequences = unacknowledgedIn(survey, first, end);
  const count = sequences.reduce((sum, one) => sum + one.end - one.first, 0);
  if (count === 0) return;
  const bytes = range === undefined ? undefined : { from: range.from, to: range.to };
  lost.push({ path, range: bytes, sequences, count });
}

type PlanParts = Omit<RepairPlan, "isNeeded" | "steps" | "guesses">;

function stepsOf(parts: PlanParts): string[] {
  const { damage, unusable, headers, identity, unreadable, survey } = parts;
  return [
    ...damage.map(
      ({ one, range: { from, to } }) =>
        `set aside a copy of ${one.file.path} bytes ${from} to ${to - 1}`,
    ),
    ...unusable.map(({ path }) => `set aside a copy of ${path}`),
    ...headers.map(
      ({ file }) =>
        `set aside a copy of the header of ${file.path} (bytes 0 to ${segmentHeaderBytes - 1}) and make it again`,
    ),
    ...unreadable.map(
      ({ one, range: { from, to } }) =>
        `write zeros over ${one.file.path} bytes ${from} to ${to - 1}, which the disk cannot read`,
    ),
    ...identity.claims.map(
      ({ directory, index }) =>
        `write channel.json of ${directory.path}: directory ${index + 1} of ${identity.count}`,
    ),
    ...(parts.writesSnapshot
      ? [
          `write a segment behind ${survey.newest.file.path} whose snapshot says what is left${parts.lostCount > 0 ? `, without the ${parts.lostCount} lost events` : ""}`,
        ]
      : []),
  ];
}

function guessesOf({ survey, identity }: PlanParts): string[] {
  const guesses = [...survey.guesses];
  if (identity.lost.length > 0) {
    guesses.push(
      "how many events were put after the newest segment that is left cannot be known: they were in the directory that is given up; what was acknowledged there is delivered again",
    );
  }
  return guesses;
}
