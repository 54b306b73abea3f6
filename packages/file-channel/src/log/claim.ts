/**
 * `channel.json` says whose directory this is:
 *
 *   {"format":1,"channel":"<32 hex>","index":0,"count":2,"ready":true,
 *    "generation":3,"paths":["/disk1/c1","/disk2/c1"]}
 *
 * `index` is the directory's number in snapshots, `count` how many directories the channel has.
 * `ready` is false while the channel is being made: nothing was ever promised then, so a start may
 * begin again. It is written in every directory before the first segment is made, and again with
 * `ready` when that segment's header is synced.
 *
 * `generation` and `paths` are there where there are several directories, or were. Each change of
 * the list is a generation: where a crash came between two files the higher one holds, and its
 * paths say which directory is which. A version that does not know them reads the rest.
 */
import {
  type FileSystem,
  MillraceError,
  readWholeFile,
  replaceFile,
  systemErrorCode,
} from "@millrace/core";
import { dirname, join, resolve } from "node:path";

export const identityFile = "channel.json";

/** What one channel.json says. */
export interface Claim {
  readonly format: 1;
  readonly channel: string;
  readonly index: number;
  readonly count: number;
  readonly ready: boolean;
  /** 0 when it is not given. */
  readonly generation?: number;
  readonly paths?: readonly string[];
}

/** A configured directory and its channel.json, when it has one. */
export interface ClaimedDirectory {
  readonly directory: string;
  readonly claim: Claim | undefined;
}

/** Undefined where there is no channel.json. Throws CHANNEL_DIRECTORY or CHANNEL_FORMAT. */
export async function readClaim(files: FileSystem, directory: string): Promise<Claim | undefined> {
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
  const { generation = 0, paths = [] } = parsed as Record<string, unknown>;
  const numbers = [index, count, generation].every(Number.isInteger);
  const isList = Array.isArray(paths) && paths.every((path) => typeof path === "string");
  const known = typeof channel === "string" && /^[0-9a-f]{32}$/.test(channel);
  return numbers && known && isList && typeof ready === "boolean" ? (parsed as Claim) : undefined;
}

export function writeClaim(files: FileSystem, directory: string, claim: Claim): Promise<void> {
  return replaceFile(
    files,
    join(directory, identityFile),
    Buffer.from(`${JSON.stringify(claim)}\n`),
  );
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

/** Why the directories are not the channel's as configured. */
export function refused(message: string, cause?: unknown): MillraceError {
  return new MillraceError("CHANNEL_DIRECTORY", message, { cause });
}
