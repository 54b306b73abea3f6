/**
 * `channel.json` says whose directory this is:
 *
 *   {"format":1,"channel":"<32 hex>","index":0,"count":2,"ready":true}
 *
 * `index` is the directory's number in snapshots, `count` how many directories the channel has.
 * `ready` is false while the channel is being made: nothing was ever promised then, so a start may
 * begin again. It is written in every directory before the first segment is made, and again with
 * `ready` when that segment's header is synced.
 */
import {
  fileExists,
  type FileSystem,
  MillraceError,
  type Random,
  readWholeFile,
  replaceFile,
  systemErrorCode,
} from "@millrace/core";
import { dirname, join, resolve } from "node:path";
import { segmentIdOf } from "./segment.ts";

export const identityFile = "channel.json";

export interface Identity {
  /** 32 hexadecimal digits. */
  readonly channel: string;
  /** Directories by their index. */
  readonly directories: readonly string[];
  /** Whether a segment must be there. */
  readonly ready: boolean;
}

/** What one channel.json says. */
export interface Claim {
  readonly format: 1;
  readonly channel: string;
  readonly index: number;
  readonly count: number;
  readonly ready: boolean;
}

/**
 * Finds whose directories these are, making them where none is. A directory that is missing or
 * empty beside others that are not throws CHANNEL_DIRECTORY: an unmounted disk must not look like
 * an empty channel.
 */
export async function readIdentity(
  files: FileSystem,
  random: Random,
  directories: readonly string[],
): Promise<Identity> {
  const claims: { directory: string; claim: Claim | undefined }[] = [];
  for (const directory of directories) {
    claims.push({ directory, claim: await readClaim(files, directory) });
  }
  const known = claims.flatMap(({ claim }) => (claim === undefined ? [] : [claim]));
  const first = known[0];
  if (first === undefined) {
    for (const directory of directories) await refuseSegments(files, directory);
    return claimAll(files, random.bytes(16).toString("hex"), directories, directories.length, 0);
  }
  const ready = known.every((claim) => claim.ready);
  const count = ready ? Math.min(...known.map((claim) => claim.count)) : directories.length;
  const placed = placeDirectories(claims, first.channel, count, ready);
  if (ready && known.length === directories.length && count === directories.length) {
    return { channel: first.channel, directories: placed, ready };
  }
  for (const { directory, claim } of claims) {
    if (claim === undefined) await refuseSegments(files, directory);
  }
  return claimAll(files, first.channel, placed, directories.length, ready ? count : 0);
}

/** Says in every directory that the channel exists from now on. */
export async function confirmIdentity(files: FileSystem, identity: Identity): Promise<void> {
  const { channel, directories } = identity;
  for (const [index, directory] of directories.entries()) {
    const claim = { channel, index, count: directories.length, ready: true };
    await writeClaim(files, directory, { format: 1, ...claim });
  }
}

/**
 * Makes a directory and makes its name durable, and its parents'. A directory that is there may
 * be there in the cache only, made by a start that was killed: so names are synced all the way up,
 * where this user may.
 */
export async function makeDurableDirectory(files: FileSystem, directory: string): Promise<void> {
  await files.makeDirectory(directory);
  for (let at = resolve(directory); dirname(at) !== at; at = dirname(at)) {
    try {
      await files.syncDirectory(dirname(at));
    } catch (error) {
      if (["EACCES", "EPERM", "EINVAL", "EROFS"].includes(systemErrorCode(error))) return;
      throw error;
    }
  }
}

/**
 * The directories in the order of their indices; unclaimed ones take the free indices behind the
 * first `count`, which must all be there.
 */
function placeDirectories(
  claims: readonly { directory: string; claim: Claim | undefined }[],
  channel: string,
  count: number,
  ready: boolean,
): string[] {
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
  const unclaimed = claims.filter(({ claim }) => claim === undefined).map((one) => one.directory);
  for (let index = 0; ready && index < count; index++) {
    if (placed.has(index)) continue;
    const which = unclaimed.length > 0 ? unclaimed.join(", ") : "one that dataDirs does not name";
    throw refused(
      `directory ${index + 1} of the ${count} this channel has is missing (${which} is empty or not there); is its disk mounted?`,
    );
  }
  return claims.map((_, index) => placed.get(index) ?? (unclaimed.shift() as string));
}

async function claimAll(
  files: FileSystem,
  channel: string,
  directories: readonly string[],
  count: number,
  readyBelow: number,
): Promise<Identity> {
  // From the last to the first: the known ones say the new count only when the new ones are there.
  for (const [index, directory] of [...directories.entries()].reverse()) {
    await makeDurableDirectory(files, directory);
    const ready = readyBelow > 0;
    await writeClaim(files, directory, { format: 1, channel, index, count, ready });
  }
  return { channel, directories, ready: readyBelow > 0 };
}

async function readClaim(files: FileSystem, directory: string): Promise<Claim | undefined> {
  const path = join(directory, identityFile);
  let text: string;
  try {
    text = (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error))) return undefined;
    throw refused(`${path} cannot be read: ${String(error)}`, error);
  }
  const claim = parseClaim(text);
  if (claim === undefined) throw refused(`${path} is not what Millrace writes there`);
  if (claim.format !== 1) {
    throw new MillraceError("CHANNEL_FORMAT", `${path} has format ${claim.format}, not 1`);
  }
  return claim as Claim;
}

/** Undefined for what no Millrace wrote; only `format` is known to be there in a later one. */
export function parseClaim(text: string): { format: number } | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { format, channel, index, count, ready } = parsed as Record<string, unknown>;
  if (typeof format !== "number") return undefined;
  if (format !== 1) return { format };
  const numbers = Number.isInteger(index) && Number.isInteger(count);
  const known = typeof channel === "string" && /^[0-9a-f]{32}$/.test(channel);
  return numbers && known && typeof ready === "boolean" ? (parsed as Claim) : undefined;
}

export function writeClaim(files: FileSystem, directory: string, claim: Claim): Promise<void> {
  return replaceFile(
    files,
    join(directory, identityFile),
    Buffer.from(`${JSON.stringify(claim)}\n`),
  );
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

function refused(message: string, cause?: unknown): MillraceError {
  return new MillraceError("CHANNEL_DIRECTORY", message, { cause });
}
