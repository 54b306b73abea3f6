import { MillraceError } from "@millrace/core";
import { resolve } from "node:path";
import type { Claim } from "../log/claim.ts";
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
  /** What every channel.json says alike. */
  readonly shared: Pick<Claim, "generation" | "paths">;
  /** Directories that are given up. */
  readonly lost: readonly string[];
}

/** What the channel.json files say together: after a crash between two, the newest one holds. */
export interface CurrentClaims {
  readonly newest: Claim | undefined;
  readonly count: number;
  readonly indexOfPlace: ReadonlyMap<number, number>;
  /** Numbers that no directory has. */
  readonly free: readonly number[];
}

/** Throws CHANNEL_DIRECTORY for a directory that left the channel, and for one given twice. */
export function currentClaims(directories: readonly SurveyedDirectory[]): CurrentClaims {
  const claims = directories.flatMap(({ claim }) => (claim === undefined ? [] : [claim]));
  const newest = claims.reduce<Claim | undefined>(
    (best, claim) => (best === undefined || ageOf(claim) > ageOf(best) ? claim : best),
    undefined,
  );
  const count = newest?.count ?? directories.length;
  const indexOfPlace = new Map<number, number>();
  const byIndex = new Map<number, string>();
  for (const { claim, place, path } of directories) {
    if (claim === undefined || newest === undefined) continue;
    const isCurrent = ageOf(claim) === ageOf(newest);
    const index = isCurrent ? claim.index : (newest.paths?.indexOf(resolve(path)) ?? -1);
    if (index < 0) throw refused(`${path} left this channel before; do not give it`);
    const other = byIndex.get(index);
    if (other !== undefined) throw refused(`${path} is a copy of ${other}; give only one of them`);
    byIndex.set(index, path);
    indexOfPlace.set(place, index);
  }
  const free = Array.from({ length: count }, (_, i) => i).filter((i) => !byIndex.has(i));
  return { newest, count, indexOfPlace, free };
}

function ageOf(claim: Claim): number {
  return claim.generation ?? 0;
}

/**
 * Finds the places of directories whose channel.json is gone, from those that are left; in the
 * order they were given where none is. Throws CHANNEL_DIRECTORY where one of the channel's was not
 * given, or is not there and not given up.
 */
export function repairIdentity({ directories }: Survey, lostDirectory: boolean): RepairedIdentity {
  const { newest, count, indexOfPlace: known, free } = currentClaims(directories);
  refuseTooFew(directories, count);
  const indexOfPlace = new Map(known);
  const left = [...free];
  const made: NewClaim[] = [];
  const lost: string[] = [];
  // Those that hold segments come first: an empty one may be new, and not the channel's at all.
  const unclaimed = directories.filter(({ claim }) => claim === undefined);
  for (const directory of [...unclaimed].sort(
    (a, b) => Number(b.isPresent) - Number(a.isPresent),
  )) {
    const named = newest?.paths?.indexOf(resolve(directory.path)) ?? -1;
    const [index] = left.splice(Math.max(0, left.indexOf(named)), 1);
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
  const byIndex = [...indexOfPlace].sort(([, one], [, other]) => one - other);
  const paths = byIndex.map(([place]) => resolve(directories[place]?.path ?? ""));
  const list = newest === undefined ? (count > 1 ? paths : undefined) : newest.paths;
  const generation = newest?.generation;
  const shared = {
    ...(generation === undefined ? {} : { generation }),
    ...(list === undefined ? {} : { paths: list }),
  };
  return { count, indexOfPlace, claims: made, lost, shared };
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
