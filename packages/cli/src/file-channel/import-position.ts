/**
 * How far an import is, so that one that was broken off goes on: a file of JSON lines, of which the
 * last whole one counts, whatever a crash left behind it. A line is synced after its transaction was committed, so a crash in between
 * brings that one transaction twice, and nothing is left out.
 *
 *     {"channel":"5d0c...","position":3000,"put":2999,"done":false}
 */
import {
  type FileHandle,
  fileExists,
  type FileSystem,
  MillraceError,
  readWholeFile,
  writeFully,
} from "@millrace/core";
import { dirname } from "node:path";

export interface ImportPosition {
  /** Events of the Java channel that need not be looked at again. */
  readonly position: number;
  /** How many of them arrived; the others could not be read. */
  readonly put: number;
  readonly done: boolean;
}

export interface PositionFile {
  readonly path: string;
  /** As it was left by the run before. */
  readonly left: ImportPosition | undefined;
  write(position: ImportPosition): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the file, making it where there is none. `channel` is the Java channel's fingerprint. Throws
 * POSITION_FILE_INVALID for the file of another, or no such file.
 */
export async function openPositionFile(
  files: FileSystem,
  path: string,
  channel: string,
): Promise<PositionFile> {
  const isNew = !(await fileExists(files, path));
  const text = isNew ? "" : (await readWholeFile(files, path)).toString("utf8");
  const lines = text.split("\n").slice(0, -1);
  const last = lines.reverse().find(isWhole);
  const left = last === undefined ? undefined : parseLine(last, channel);
  if (last === undefined ? !mayBeCutOff(text) : left === undefined) {
    throw new MillraceError(
      "POSITION_FILE_INVALID",
      `${path} is not the position of an import from this Java channel as it is now; name another with --position-file`,
      { context: { path } },
    );
  }
  const handle: FileHandle = await files.open(path, "append");
  if (isNew) {
    await handle.datasync();
    await files.syncDirectory(dirname(path));
  }
  let end = Buffer.byteLength(text);
  // A line that was cut off must not run into the next one.
  let glue = text === "" || text.endsWith("\n") ? "" : "\n";
  return {
    path,
    left,
    async write({ position, put, done }) {
      const line = Buffer.from(`${glue}${JSON.stringify({ channel, position, put, done })}\n`);
      glue = "";
      await writeFully(handle, [line], end);
      end += line.length;
      await handle.datasync();
    },
    close: () => handle.close(),
  };
}

/** Whether a line is JSON: what a crash cut off, or a disk left zeros in, is not. */
function isWhole(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** Whether a file without a whole line may be one whose first line a crash cut off. */
function mayBeCutOff(text: string): boolean {
  const start = '{"channel":"';
  return /^\0*$/.test(text) || start.startsWith(text.slice(0, start.length));
}

function parseLine(line: string, channel: string): ImportPosition | undefined {
  try {
    const parsed = JSON.parse(line) as Partial<ImportPosition> & { channel?: unknown };
    const { position, put, done } = parsed;
    if (parsed.channel !== channel) return undefined;
    const isCount = (value: unknown): value is number =>
      Number.isSafeInteger(value) && (value as number) >= 0;
    if (!isCount(position) || !isCount(put) || typeof done !== "boolean") return undefined;
    return { position, put, done };
  } catch {
    return undefined;
  }
}
