import {
  fileExists,
  type FileSystem,
  MillraceError,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";
import { join } from "node:path";
import { type Claim, identityFile, parseClaim } from "../log/claim.ts";
import { refuseJavaFlume } from "../log/java-flume.ts";
import { segmentIdOf, sparePattern } from "../log/segment.ts";

/** One of the channel's directories as it lies there. */
export interface SurveyedDirectory {
  readonly path: string;
  /** Position in the list that was given. */
  readonly place: number;
  /** False where nothing is, or where nothing of a channel is: an unmounted disk, a new one. */
  readonly isPresent: boolean;
  /** What its channel.json says, when it can be read. */
  readonly claim: Claim | undefined;
  /** Why there is no claim. */
  readonly claimProblem: string | undefined;
  readonly spares: readonly string[];
  /** Files that no channel makes. */
  readonly foreign: readonly string[];
}

const ours = /^(in_use.*|channel\.json\.tmp|quarantine-.*\.bin|set-aside-.*|lost\+found)$/;

/**
 * Looks at each directory. Throws CHANNEL_DIRECTORY for one of Java Flume, and where none of them
 * holds anything of a channel; PERMISSION_DENIED where this user may not look.
 */
export async function lookAtDirectories(
  files: FileSystem,
  paths: readonly string[],
): Promise<SurveyedDirectory[]> {
  const directories: SurveyedDirectory[] = [];
  for (const [place, path] of paths.entries()) {
    try {
      await refuseJavaFlume(files, path);
      directories.push(await lookAt(files, path, place));
    } catch (error) {
      throw explained(error, path);
    }
  }
  if (!directories.some(({ isPresent }) => isPresent)) {
    throw new MillraceError(
      "CHANNEL_DIRECTORY",
      `${paths.join(", ")}: nothing of a file channel is here, neither channel.json nor a segment; give the directories that dataDirs names`,
    );
  }
  return directories;
}

async function lookAt(files: FileSystem, path: string, place: number): Promise<SurveyedDirectory> {
  if (!(await fileExists(files, path))) {
    const nothing = { claim: undefined, claimProblem: "there is no such directory" };
    return { path, place, isPresent: false, ...nothing, spares: [], foreign: [] };
  }
  const names = (await files.readDirectory(path)).map(({ name }) => name).sort();
  const read = await readClaimOf(files, path);
  const segments = names.some((name) => segmentIdOf(name) !== undefined);
  return {
    path,
    place,
    isPresent: segments || names.includes(identityFile),
    ...read,
    spares: names.filter((name) => sparePattern.test(name)),
    foreign: names.filter((name) => !isOurs(name)),
  };
}

function isOurs(name: string): boolean {
  if (name === identityFile || segmentIdOf(name) !== undefined) return true;
  return sparePattern.test(name) || ours.test(name);
}

async function readClaimOf(
  files: FileSystem,
  directory: string,
): Promise<Pick<SurveyedDirectory, "claim" | "claimProblem">> {
  const path = join(directory, identityFile);
  let text: string;
  try {
    text = (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT") return { claim: undefined, claimProblem: `${path} is missing` };
    if (code !== "EIO") throw error;
    return { claim: undefined, claimProblem: `${path} cannot be read: ${String(error)}` };
  }
  const claim = parseClaim(text);
  if (claim === undefined) {
    return { claim: undefined, claimProblem: `${path} is not what Millrace writes there` };
  }
  if (claim.format !== 1) {
    throw new MillraceError("CHANNEL_FORMAT", `${path} has format ${claim.format}, not 1`);
  }
  return { claim: claim as Claim, claimProblem: undefined };
}

function explained(error: unknown, path: string): unknown {
  const code = systemErrorCode(error);
  if (code === "EACCES" || code === "EPERM") {
    return new MillraceError(
      "PERMISSION_DENIED",
      `${path}: this user may not read it; run as the agent's user`,
      { cause: error },
    );
  }
  if (code !== "ENOTDIR") return error;
  return new MillraceError("CHANNEL_DIRECTORY", `${path} is not a directory`, { cause: error });
}
