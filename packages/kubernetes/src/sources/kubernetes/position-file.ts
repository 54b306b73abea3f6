/**
 * Where the next run goes on, one file for all containers:
 *
 *   {"version":1,"containers":[
 *     {"directory":"default_web-0_0b1c.../app","after":"0.log.20260102-150405","files":[
 *       {"name":"0.log","inode":2496272,"size":5120,"headBytes":1024,"head":"<SHA-256, hex>",
 *        "positions":{"stdout":{"offset":4096},"stderr":{"offset":5120},"other":{"offset":5120}}}]}]}
 *
 * `files` are those with lines that are not committed, or that may get more, oldest first; everything
 * up to `after` is done with, and what is not named is not read yet. A position is the offset, in the
 * plain form, of the stream's first line that is not wholly committed; `resume` says which part of it
 * is. `size` is what the file was last seen to have, and tells how much was lost when it is gone.
 */
import {
  fileExists,
  type FileSystem,
  type Head,
  MillraceError,
  readWholeFile,
  replaceFile,
} from "@millrace/core";
import type { StreamName } from "../../lines/container-line.ts";
import type { Resume } from "../../multiline/stream-assembly.ts";
import { formatLogName, type LogName, parseLogName } from "../../rotation/log-name.ts";

/** `other`: lines that are of no known form. */
export type Stream = StreamName | "other";
export const streams: readonly Stream[] = ["stdout", "stderr", "other"];

export interface StreamPosition {
  readonly offset: number;
  readonly resume?: Resume | undefined;
}
export type Positions = Readonly<Record<Stream, StreamPosition>>;

export interface SavedLog extends Head {
  readonly name: LogName;
  readonly inode: number;
  readonly size: number;
  readonly positions: Positions;
}
export interface SavedContainer {
  /** `<namespace>_<pod>_<uid>/<container>` */
  readonly directory: string;
  readonly after: LogName | undefined;
  readonly files: readonly SavedLog[];
}

export function positionsAt(offset: number): Positions {
  return { stdout: { offset }, stderr: { offset }, other: { offset } };
}

/** Before it every stream is done with. */
export function firstOffset({ stdout, stderr, other }: Positions): number {
  return Math.min(stdout.offset, stderr.offset, other.offset);
}

export function formatPositions(containers: readonly SavedContainer[]): string {
  return JSON.stringify({
    version: 1,
    containers: containers.map(({ directory, after, files }) => ({
      directory,
      ...(after === undefined ? {} : { after: formatLogName(after) }),
      files: files.map((file) => ({ ...file, name: formatLogName(file.name) })),
    })),
  });
}

/** Throws POSITION_FILE_INVALID with the file's name. */
export function parsePositions(text: string, path: string): SavedContainer[] {
  const refuse = (why: string, cause?: unknown): MillraceError =>
    new MillraceError(
      "POSITION_FILE_INVALID",
      `${path} ${why}; restore it, or move it away to read every log from its start`,
      { cause, context: { path } },
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw refuse(`is not JSON (${(cause as Error).message})`, cause);
  }
  const { version, containers } = asRecord(parsed);
  if (version !== 1 || !Array.isArray(containers)) throw refuse("is not of this source, version 1");
  return containers.map((entry: unknown, index) => {
    const container = parseContainer(entry);
    if (container === undefined) throw refuse(`has a damaged entry ${index}`);
    return container;
  });
}

function parseContainer(entry: unknown): SavedContainer | undefined {
  const { directory, after, files } = asRecord(entry);
  if (typeof directory !== "string" || !Array.isArray(files)) return undefined;
  const afterName = typeof after === "string" ? parseLogName(after) : undefined;
  if ((after === undefined) !== (afterName === undefined)) return undefined;
  const logs = files.flatMap((file: unknown) => parseLog(file) ?? []);
  return logs.length < files.length ? undefined : { directory, after: afterName, files: logs };
}

function parseLog(entry: unknown): SavedLog | undefined {
  const { name, inode, size, headBytes, head, positions } = asRecord(entry);
  const logName = typeof name === "string" ? parseLogName(name) : undefined;
  if (logName === undefined || typeof head !== "string") return undefined;
  if (!isCount(inode) || !isCount(size) || !isCount(headBytes)) return undefined;
  const given = asRecord(positions);
  const [stdout, stderr, other] = streams.map((stream) => parsePosition(given[stream]));
  if (stdout === undefined || stderr === undefined || other === undefined) return undefined;
  return { name: logName, inode, size, headBytes, head, positions: { stdout, stderr, other } };
}

function parsePosition(entry: unknown): StreamPosition | undefined {
  const { offset, resume } = asRecord(entry);
  if (!isCount(offset)) return undefined;
  if (resume === undefined) return { offset };
  const { part, skip, isJoint } = asRecord(resume);
  if (!isCount(part) || !isCount(skip) || typeof isJoint !== "boolean") return undefined;
  return { offset, resume: { part, skip, isJoint } };
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

/** What the last run left; nothing when there is no file. */
export async function loadPositions(files: FileSystem, path: string): Promise<SavedContainer[]> {
  if (!(await fileExists(files, path))) return [];
  return parsePositions((await readWholeFile(files, path)).toString(), path);
}

/** Replaces the file, whole or not at all. */
export async function savePositions(
  files: FileSystem,
  path: string,
  containers: readonly SavedContainer[],
): Promise<void> {
  await replaceFile(files, path, Buffer.from(formatPositions(containers)));
}
