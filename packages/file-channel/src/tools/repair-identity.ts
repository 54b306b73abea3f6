import { MillraceError } from "@millrace/core";
import type { SurveyedDirectory } from "./directories.ts";
import type { Survey } from "./survey.ts";

/** A channel.json that is to be written. */
export interface NewClaim {
  readonly directory: SurveyedDirectory;
  readonly index: number;
}

/** Which directory is which, once `claims` are written. */
export interface RepairedIdentity {
  readonly count: number;
  /** Of the directories that are the channel's, by place in the given list. */
  readonly indexOfPlace: ReadonlyMap<number, number>;
  readonly claims: readonly NewClaim[];
  /** Directories that are given up. */
  readonly lost: readonly string[];
}

/** The numbers from 0 to below the channel's count that no directory's channel.json has. */
export function unclaimedIndexes(directories: readonly SurveyedDirectory[]): number[] {
  const claims = directories.flatMap(({ claim }) => (claim === undefined ? [] : [claim]));
  const count = Math.max(0, ...claims.map((claim) => claim.count));
  const taken = new Set(claims.map(({ index }) => index));
  return Array.from({ length: count }, (_, index) => index).filter((index) => !taken.has(index));
}

/**
 * Finds the places of directories whose channel.json is gone, from those that are left; in the
 * order they were given where none is. Throws CHANNEL_DIRECTORY where one of the channel's was not
 * given, or is not there and not given up.
 */
export function repairIdentity({ directories }: Survey, lostDirectory: boolean): RepairedIdentity {
  const claims = directories.flatMap(({ claim }) => (claim === undefined ? [] : [claim]));
  const count = claims.length === 0 ? directories.length : Math.max(...claims.map((c) => c.count));
  refuseTooFew(directories, count);
  const indexOfPlace = new Map<number, number>();
  const byIndex = new Map<number, string>();
  for (const { claim, place, path } of directories) {
    if (claim === undefined) continue;
    const other = byIndex.get(claim.index);
    if (other !== undefined) throw refused(`${path} is a copy of ${other}; give only one of them`);
    byIndex.set(claim.index, path);
    indexOfPlace.set(place, claim.index);
  }
  const free = Array.from({ length: count }, (_, index) => index).filter((i) => !byIndex.has(i));
  const made: NewClaim[] = [];
  const lost: string[] = [];
  // Those that hold segments come first: an empty one may be new, and not the channel's at all.
  const unclaimed = directories.filter(({ claim }) => claim === undefined);
  for (const directory of [...unclaimed].sort(
    (a, b) => Number(b.isPresent) - Number(a.isPresent),
  )) {
    const index = free.shift();
    if (index === undefined) break;
    if (!directory.isPresent) lost.push(directory.path);
    indexOfPlace.set(directory.place, index);
    made.push({ directory, index });
  }
  if (lost.length > 0 && !lostDirectory) {
    throw refused(
      `${lost.join(", ")} holds nothing of the channel, and directory ${made.map(({ index }) => index + 1).join(", ")} of its ${count} is not there; mount its disk, or give it up with --lost-directory: what was in it is lost then`,
    );
  }
  return { count, indexOfPlace, claims: made, lost };
}

function refuseTooFew(directories: readonly SurveyedDirectory[], count: number): void {
  if (directories.length >= count) return;
  const given = directories.map(({ path }) => path).join(", ");
  throw refused(
    `the channel has ${count} directories and ${given} ${directories.length === 1 ? "is only one" : `are only ${directories.length}`} of them; give all, as dataDirs does (an empty directory in the place of one that is lost, with --lost-directory)`,
  );
}

function refused(message: string): MillraceError {
  return new MillraceError("CHANNEL_DIRECTORY", message);
}
