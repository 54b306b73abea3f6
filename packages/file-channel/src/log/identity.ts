import { fileExists, type FileSystem, type Log, type Random } from "@millrace/core";
import { join, resolve } from "node:path";
import {
  type Claim,
  type ClaimedDirectory,
  identityFile,
  makeDurableDirectory,
  readClaim,
  refused,
  writeClaim,
} from "./claim.ts";
import { segmentIdOf, sparePattern } from "./segment.ts";

/** Whose directories these are, and which is which. */
export interface Identity {
  /** 32 hexadecimal digits. */
  readonly channel: string;
  /** Directories by their index. */
  readonly directories: readonly string[];
  /** The channel's, but not configured any more: to be left when they hold nothing. */
  readonly leaving: readonly string[];
  /** Whether a segment must be there. */
  readonly ready: boolean;
  /** Of the newest channel.json. */
  readonly generation: number;
}

/**
 * Finds whose directories these are, making them where none is. A directory that is missing or
 * empty beside others that are not throws CHANNEL_DIRECTORY: an unmounted disk must not look like
 * an empty channel. One that is not configured any more is looked for where it was: only what is
 * seen to hold nothing may be left.
 */
export async function readIdentity(
  files: FileSystem,
  random: Random,
  directories: readonly string[],
): Promise<Identity> {
  const claims: ClaimedDirectory[] = [];
  for (const directory of directories) {
    claims.push({ directory, claim: await readClaim(files, directory) });
  }
  const known = claims.flatMap(({ claim }) => (claim === undefined ? [] : [claim]));
  const [first] = known;
  if (first === undefined) {
    for (const directory of directories) await refuseSegments(files, directory);
    const made = { channel: random.bytes(16).toString("hex"), directories, leaving: [], generation: 0 }; // prettier-ignore
    return claimAll(files, { ...made, ready: false });
  }
  const ready = known.every((claim) => claim.ready);
  const newest = newestClaim(known);
  const current = ready ? claims.map((one) => bringUpToDate(one, newest)) : claims;
  const sameGeneration = known.filter((claim) => generationOf(claim) === generationOf(newest));
  const counts = sameGeneration.map(({ count }) => count);
  const count = ready ? Math.min(...counts) : directories.length;
  const placed = placeByIndex(current, first.channel);
  const unclaimed = claims.filter(({ claim }) => claim === undefined).map((one) => one.directory);
  const leaving = ready ? await findLeaving(files, placed, { count, newest, unclaimed, directories }) : []; // prettier-ignore
  const generation = generationOf(newest);
  const identity = { channel: first.channel, leaving, ready, generation };
  const inOrder = [...placed].sort(([a], [b]) => a - b).map(([, directory]) => directory);
  if (leaving.length > 0) {
    if (unclaimed.length === 0) return { ...identity, directories: inOrder };
    throw refused(
      `${leaving.join(", ")} cannot leave dataDirs in the same start in which ${unclaimed.join(", ")} comes; do one after the other`,
    );
  }
  const all = ready ? [...inOrder, ...unclaimed] : fillGaps(claims, placed, unclaimed);
  const whole = { ...identity, directories: all };
  if (
    ready &&
    known.every((claim) => saysTheSame(claim, newest, whole)) &&
    unclaimed.length === 0
  ) {
    return whole;
  }
  for (const directory of unclaimed) await refuseSegments(files, directory);
  return claimAll(files, { ...whole, generation: ready ? generation + 1 : generation });
}

/** Says in every directory that the channel exists from now on. */
export async function confirmIdentity(files: FileSystem, identity: Identity): Promise<void> {
  for (const [index, directory] of identity.directories.entries()) {
    await writeClaim(files, directory, claimOf({ ...identity, ready: true }, index));
  }
}

/**
 * Takes the leaving directories out, once a segment that needs nothing of them is proven: first
 * the others say so, then what is left in these goes.
 */
export async function leaveDirectories(
  files: FileSystem,
  identity: Identity,
  log: Log,
): Promise<void> {
  if (identity.leaving.length === 0) return;
  const generation = identity.generation + 1;
  await confirmIdentity(files, { ...identity, leaving: [], generation });
  for (const directory of identity.leaving) {
    try {
      for (const { name } of await files.readDirectory(directory)) {
        const isOurs = segmentIdOf(name) !== undefined || sparePattern.test(name);
        if (isOurs) await files.unlink(join(directory, name));
      }
      await files.unlink(join(directory, identityFile));
      await files.syncDirectory(directory);
      log.info(`${directory} held nothing any more and has left the channel`);
    } catch (error) {
      log.warn(`${directory} has left the channel; what is left in it could not be removed`, {
        error: String(error),
      });
    }
  }
}

function generationOf(claim: Claim): number {
  return claim.generation ?? 0;
}

function newestClaim(known: readonly Claim[]): Claim {
  const newest = known.reduce((best, claim) =>
    generationOf(claim) > generationOf(best) ? claim : best,
  );
  const contradicting = known.find(
    (claim) =>
      generationOf(claim) === generationOf(newest) &&
      String(claim.paths ?? newest.paths) !== String(newest.paths ?? claim.paths),
  );
  if (contradicting === undefined) return newest;
  throw refused(
    `the directories of dataDirs belong together no more: one says ${newest.paths?.join(", ")}, another ${contradicting.paths?.join(", ")}; name those of one list`,
  );
}

/** A channel.json that a crash kept from being brought up to date says what the newest says of it. */
function bringUpToDate(one: ClaimedDirectory, newest: Claim): ClaimedDirectory {
  const { directory, claim } = one;
  if (claim === undefined || claim.channel !== newest.channel) return one;
  if (generationOf(claim) === generationOf(newest)) return one;
  const index = newest.paths?.indexOf(resolve(directory)) ?? -1;
  if (index >= 0) return { directory, claim: { ...claim, index, count: newest.count } };
  throw refused(
    `${directory} left this channel before; empty it to add it again, or take it out of dataDirs`,
  );
}

function placeByIndex(claims: readonly ClaimedDirectory[], channel: string): Map<number, string> {
  const placed = new Map<number, string>();
  for (const { directory, claim } of claims) {
    if (claim === undefined) continue;
    if (claim.channel !== channel) {
      throw refused(`${directory} belongs to another channel than ${claims[0]?.directory}`);
    }
    const taken = placed.get(claim.index);
    if (taken !== undefined) throw refused(`${directory} is a copy of ${taken}`);
    placed.set(claim.index, directory);
  }
  return placed;
}

/** Where the directories are that the channel has and dataDirs does not name. */
async function findLeaving(
  files: FileSystem,
  placed: ReadonlyMap<number, string>,
  known: {
    readonly count: number;
    readonly newest: Claim;
    readonly unclaimed: readonly string[];
    readonly directories: readonly string[];
  },
): Promise<string[]> {
  const { count, newest, unclaimed } = known;
  const configured = known.directories.map((directory) => resolve(directory));
  const leaving: string[] = [];
  for (let index = 0; index < count; index++) {
    if (placed.has(index)) continue;
    const path = newest.paths?.[index];
    const isElsewhere = path !== undefined && !configured.includes(path);
    const claim = isElsewhere ? await readClaim(files, path) : undefined;
    if (path !== undefined && claim?.channel === newest.channel && claim.index === index) {
      leaving.push(path);
      continue;
    }
    const which =
      unclaimed.length > 0
        ? `${unclaimed.join(", ")} is empty or not there`
        : isElsewhere
          ? `${path} is not in dataDirs, and only what can be looked at may leave`
          : "one that dataDirs does not name is empty or not there";
    throw refused(
      `directory ${index + 1} of the ${count} this channel has is missing (${which}); is its disk mounted?`,
    );
  }
  return leaving;
}

/**
 * While the channel is being made: those that have a number have it, the others take what is free;
 * so does one whose number is too high, as dataDirs may have lost a directory since.
 */
function fillGaps(
  claims: readonly ClaimedDirectory[],
  placed: ReadonlyMap<number, string>,
  unclaimed: readonly string[],
): string[] {
  const tooHigh = [...placed].filter(([index]) => index >= claims.length);
  const rest = [...unclaimed, ...tooHigh.map(([, directory]) => directory)];
  return claims.map((_, index) => placed.get(index) ?? (rest.shift() as string));
}

function saysTheSame(claim: Claim, newest: Claim, identity: Identity): boolean {
  return (
    generationOf(claim) === generationOf(newest) &&
    claim.count === identity.directories.length &&
    String(claim.paths) === String(pathsOf(identity))
  );
}

/** One directory needs no list, and its channel.json moves with it. */
function pathsOf({ directories }: Identity): string[] | undefined {
  return directories.length > 1 ? directories.map((directory) => resolve(directory)) : undefined;
}

function claimOf(identity: Identity, index: number): Claim {
  const { channel, directories, ready, generation } = identity;
  const paths = pathsOf(identity);
  return {
    format: 1,
    channel,
    index,
    count: directories.length,
    ready,
    ...(generation === 0 ? {} : { generation }),
    ...(paths === undefined ? {} : { paths }),
  };
}

async function claimAll(files: FileSystem, identity: Identity): Promise<Identity> {
  // From the last to the first: the known ones say the new count only when the new ones are there.
  for (const [index, directory] of [...identity.directories.entries()].reverse()) {
    await makeDurableDirectory(files, directory);
    await writeClaim(files, directory, claimOf(identity, index));
  }
  return identity;
}

/** Segments without a channel.json are somebody's events, not an unfinished beginning. */
async function refuseSegments(files: FileSystem, directory: string): Promise<void> {
  if (!(await fileExists(files, directory))) return;
  for (const { name } of await files.readDirectory(directory)) {
    if (segmentIdOf(name) === undefined) continue;
    throw refused(
      `${directory} holds segments (${name}) but no ${identityFile}; restore that file`,
    );
  }
}
