import { MillraceError, type SequenceRange } from "@millrace/core";
import { join } from "node:path";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { identityFile } from "../log/claim.ts";
import { currentClaims } from "./repair-identity.ts";
import { refreshed } from "./in-use.ts";
import { readSetAside, type SetAsideRange } from "./set-aside.ts";
import type { DamagedRange } from "./scan-segment.ts";
import { type Survey, surveyChannel } from "./survey.ts";
import { scan, type SurveyedSegment } from "./surveyed-segment.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";
import { readOnlyFiles, type ToolContext } from "./tool-context.ts";

export type FindingKind =
  | "record"
  | "header"
  | "snapshot"
  | "missing segment"
  | "missing directory"
  | "channel.json"
  | "set aside"
  | "torn tail"
  | "leftover"
  | "foreign file";

/** One thing that is not as a channel leaves it. */
export interface Finding {
  readonly kind: FindingKind;
  /** Damage is what was stored and cannot be read; everything else is worth a word. */
  readonly isDamage: boolean;
  /** The file, or the directory. */
  readonly path: string;
  /** Bytes, where it is some of a file. */
  readonly offset?: number;
  readonly length?: number;
  /** Of the events that stood there. */
  readonly sequences?: SequenceRange;
  /** How many of them had not been delivered. */
  readonly unacknowledged?: number;
  /** A sentence for people. */
  readonly says: string;
}

export interface VerifyReport {
  readonly channel: string;
  readonly directories: readonly string[];
  /** Segments that hold something, the newest one, and their bytes: all of it was read. */
  readonly segments: number;
  readonly bytes: number;
  /** Events to be delivered, damaged ones among them. */
  readonly held: number;
  /** Not delivered yet and not to be read: what `repair` gives up. */
  readonly affected: number;
  readonly findings: readonly Finding[];
  readonly isSound: boolean;
  /** Another process has the channel open: the picture moves. */
  readonly inUse: boolean;
  /** Bodies of encrypted segments were checked by their checksums only. */
  readonly sealedSegments: number;
}

/** Reads everything that is still needed. Writes nothing. Throws where there is nothing to look at. */
export async function verifyChannel(
  paths: readonly string[],
  context: ToolContext,
): Promise<VerifyReport> {
  return refreshed(paths, context.runtime.locks, async (inUse) => {
    const files = readOnlyFiles(context.runtime.files);
    const report = await verifyOnce(paths, { ...context, runtime: { ...context.runtime, files } });
    return { value: { ...report, inUse }, isSteady: report.isSound };
  });
}

async function verifyOnce(
  paths: readonly string[],
  context: ToolContext,
): Promise<Omit<VerifyReport, "inUse">> {
  const survey = await surveyChannel(paths, context);
  const { damage, bytes } = await scanAll(survey, context);
  const setAside = await readSetAside(context.runtime.files, paths);
  const findings = [
    ...identityFindings(survey),
    ...headerFindings(survey),
    ...missingFindings(survey),
    ...damage.map((one) => damageFinding(survey, one, setAside)),
    ...notes(survey),
  ];
  const affected = findings.reduce((sum, { unacknowledged = 0 }) => sum + unacknowledged, 0);
  const encrypted = survey.segments.filter(({ header }) => header.encryption !== undefined);
  return {
    channel: survey.channel,
    directories: survey.directories.map(({ path }) => path),
    segments: survey.segments.length,
    bytes,
    held: survey.state.held,
    affected,
    findings,
    isSound: !findings.some(({ isDamage }) => isDamage),
    sealedSegments: context.keys === undefined ? encrypted.length : 0,
  };
}

/** Damage of a segment's records. */
export interface SegmentDamage {
  readonly one: SurveyedSegment;
  readonly range: DamagedRange;
}

/** Blocks of a segment that the disk cannot read. */
export interface Unreadable {
  readonly one: SurveyedSegment;
  readonly range: ByteRange;
}

/** Reads every segment to its end. Throws START_ABORTED when it is interrupted before. */
export async function scanAll(
  survey: Survey,
  context: ToolContext,
): Promise<{ damage: SegmentDamage[]; unreadable: Unreadable[]; bytes: number }> {
  const damage: SegmentDamage[] = [];
  const unreadable: Unreadable[] = [];
  const bytesTotal = survey.segments.reduce((sum, { segment }) => sum + segment.end, 0);
  let bytes = 0;
  for (const one of survey.segments) {
    const { segment, header } = one;
    if (one === survey.newest) {
      damage.push(...survey.walk.damage.map((range) => ({ one, range })));
      unreadable.push(...survey.walk.unreadable.map((range) => ({ one, range })));
    } else {
      const { firstSequence, groupAlign: align } = header;
      const bounds = { firstSequence, nextSequence: segment.nextSequence, end: segment.end, align };
      const ranges = await scan(context, one, bounds, (item) => {
        if (item.kind === "damage") damage.push({ one, range: item });
        const at = item.kind === "damage" ? item.to : item.record.end;
        context.progress?.({ what: "reading", bytes: bytes + at, bytesTotal });
      });
      unreadable.push(...ranges.map((range) => ({ one, range })));
    }
    bytes += segment.end;
    context.progress?.({ what: "reading", bytes, bytesTotal });
    if (context.interrupted?.aborted === true) {
      const message =
        "interrupted before everything was read: nothing is said, nothing was changed";
      throw new MillraceError("START_ABORTED", message);
    }
  }
  return { damage, unreadable, bytes };
}

/** Events of the range that were not delivered yet. */
export function unacknowledgedIn({ state }: Survey, first: number, end: number): SequenceRange[] {
  return state.acknowledged.missingIn(Math.max(first, state.lowest), end);
}

function countIn(survey: Survey, first: number, end: number): number {
  const missing = unacknowledgedIn(survey, first, end);
  return missing.reduce((sum, range) => sum + range.end - range.first, 0);
}

function damageFinding(
  survey: Survey,
  { one, range }: SegmentDamage,
  setAside: readonly SetAsideRange[],
): Finding {
  const { from, to, first, end } = range;
  const { path } = one.file;
  const unacknowledged = countIn(survey, first, end);
  const isNewest = one === survey.newest;
  const known = setAside.some(
    (other) =>
      other.segment === one.header.id &&
      other.run === one.header.run &&
      other.from <= from &&
      other.to >= to,
  );
  const rest = { path, offset: from, length: to - from, sequences: { first, end } };
  if (known && unacknowledged === 0 && !isNewest) {
    const says = `${place(path, from, to)} were set aside by a repair; nothing in them is needed`;
    return { kind: "set aside", isDamage: false, ...rest, unacknowledged, says };
  }
  const isSnapshot = isNewest && from === segmentHeaderBytes && survey.walk.snapshotDamaged;
  const what = isSnapshot ? "the snapshot at" : "";
  const says = `${what}${what === "" ? "" : " "}${place(path, from, to)} cannot be read: ${eventsText(first, end, unacknowledged)}${isNewest ? "; the channel does not start" : ""}`;
  return {
    kind: isSnapshot ? "snapshot" : "record",
    isDamage: true,
    ...rest,
    unacknowledged,
    says,
  };
}

function place(path: string, from: number, to: number): string {
  return `${path} bytes ${from} to ${to - 1} (${to - from})`;
}

function eventsText(first: number, end: number, unacknowledged: number): string {
  if (end <= first) return "no event stood there";
  const which = end - first === 1 ? `sequence ${first}` : `sequences ${first} to ${end - 1}`;
  if (unacknowledged === 0) return `${which}, all of them delivered`;
  return `${which}, ${unacknowledged} of them not delivered yet`;
}

function headerFindings({ segments, newest }: Survey): Finding[] {
  return segments
    .filter(({ rebuilt }) => rebuilt !== undefined)
    .map((one) => ({
      kind: "header" as const,
      isDamage: true,
      path: one.file.path,
      offset: 0,
      length: segmentHeaderBytes,
      says: `the header of ${one.file.path} does not verify, and can be made again from its records${one === newest ? "; the channel does not start" : ""}`,
    }));
}

function missingFindings(survey: Survey): Finding[] {
  return survey.missing.map(({ id, directory, firstSequence: first, nextSequence: end, file }) => {
    const unacknowledged = countIn(survey, first, end);
    const path = file?.path ?? placeOf(survey, directory);
    const what =
      file === undefined
        ? `segment ${id} is missing from ${path}`
        : `neither the header nor any record of ${path} verifies`;
    return {
      kind: "missing segment" as const,
      isDamage: true,
      path,
      ...(file === undefined ? {} : { offset: 0, length: file.size }),
      sequences: { first, end },
      unacknowledged,
      says: `${what}: ${eventsText(first, end, unacknowledged)}; the channel does not start`,
    };
  });
}

function placeOf({ directories }: Survey, index: number): string {
  const claimed = directories.find(({ claim }) => claim?.index === index);
  return claimed?.path ?? `directory ${index + 1}`;
}

function identityFindings({ directories }: Survey): Finding[] {
  const findings: Finding[] = [];
  const { count, free } = currentClaims(directories);
  for (const { path, isPresent, claimProblem } of directories) {
    // Beside all the channel has, one that is empty is new: the next start adds it.
    if (claimProblem === undefined || (!isPresent && free.length === 0)) continue;
    const why = isPresent
      ? claimProblem
      : `${path} holds nothing of the channel (${claimProblem}); is its disk mounted?`;
    const kind = isPresent ? "channel.json" : "missing directory";
    const where = isPresent ? join(path, identityFile) : path;
    findings.push({ kind, isDamage: true, path: where, says: why });
  }
  if (count > directories.length) {
    const path = directories[0]?.path ?? "";
    const says = `the channel has ${count} directories and only ${directories.length} were given; name all of them`;
    findings.push({ kind: "missing directory", isDamage: true, path, says });
  }
  return findings;
}

function notes({ directories, leftovers, newest, walk }: Survey): Finding[] {
  const found: Finding[] = [];
  const { path, size } = newest.file;
  if (size > walk.end && !walk.clean) {
    const range = { offset: walk.end, length: size - walk.end };
    const says = `${place(path, walk.end, size)} were never synced, or are of an earlier use of the file: no damage, the next start cuts them off`;
    found.push({ kind: "torn tail", isDamage: false, path, ...range, says });
  }
  for (const file of leftovers) {
    const says = `${file.path} holds nothing that is needed; the next start frees it`;
    found.push({ kind: "leftover", isDamage: false, path: file.path, says });
  }
  for (const { path: directory, foreign } of directories) {
    for (const name of foreign) {
      const says = `${join(directory, name)} is not the channel's; it is left alone`;
      found.push({ kind: "foreign file", isDamage: false, path: join(directory, name), says });
    }
  }
  return found;
}
