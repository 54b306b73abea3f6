/**
 * What a repair took out of a channel lies beside it, in `set-aside-<time>/`:
 *
 *   read-me.txt          what happened, for people
 *   set-aside.json       the same for programs: {"format":1,"ranges":[...],"lost":[...]}
 *   <segment>-<from>-<to>.bin, channel.json, <segment>.header   the bytes as they were
 */
import { type FileSystem, readWholeFile, systemErrorCode } from "@millrace/core";
import { join } from "node:path";

export const setAsidePattern = /^set-aside-/;
export const setAsideList = "set-aside.json";

/** Bytes of a segment that are given up; its events are acknowledged, or counted as lost. */
export interface SetAsideRange {
  readonly segment: number;
  readonly run: string;
  readonly from: number;
  readonly to: number;
}

/** The ranges of every repair of these directories so far. */
export async function readSetAside(
  files: FileSystem,
  directories: readonly string[],
): Promise<SetAsideRange[]> {
  const ranges: SetAsideRange[] = [];
  for (const directory of directories) {
    let names: readonly { readonly name: string }[];
    try {
      names = await files.readDirectory(directory);
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") continue;
      throw error;
    }
    for (const { name } of names) {
      if (!setAsidePattern.test(name)) continue;
      ranges.push(...(await readList(files, join(directory, name, setAsideList))));
    }
  }
  return ranges;
}

async function readList(files: FileSystem, path: string): Promise<SetAsideRange[]> {
  let parsed: unknown;
  try {
    parsed = JSON.parse((await readWholeFile(files, path)).toString("utf8"));
  } catch {
    // A repair that was killed before it wrote its list: it sets aside again when it runs again.
    return [];
  }
  if (typeof parsed !== "object" || parsed === null || !("ranges" in parsed)) return [];
  return Array.isArray(parsed.ranges) ? parsed.ranges.filter(isRange) : [];
}

function isRange(value: unknown): value is SetAsideRange {
  if (typeof value !== "object" || value === null) return false;
  const { segment, run, from, to } = value as Record<string, unknown>;
  const numbers = [segment, from, to].every((one) => Number.isSafeInteger(one));
  return numbers && typeof run === "string";
}
