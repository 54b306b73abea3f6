import {
  type FileStat,
  type FileSystem,
  MillraceError,
  type Runtime,
  systemErrorCode,
  writeFully,
} from "@millrace/core";
import type { SpooldirOptions } from "./options.ts";

/**
 * Throws PATH_MISSING or PERMISSION_DENIED unless the source could do its work: a file is written,
 * read and deleted wherever it will have to. It is hidden, so that one left by a crash is not read
 * as data.
 */
export async function checkSpoolDirectories(
  { files, random }: Runtime,
  options: SpooldirOptions,
  trackerDir: string,
): Promise<void> {
  const { spoolDir } = options;
  const canary = `.flume-spooldir-perm-check-${random.bytes(8).toString("hex")}.canary`;
  let stat: FileStat;
  try {
    stat = await files.stat(spoolDir);
  } catch (cause) {
    throw refused(`spoolDir ${spoolDir}`, cause);
  }
  if (!stat.isDirectory) {
    throw new MillraceError("PATH_MISSING", `spoolDir ${spoolDir} is not a directory`);
  }
  const changesSpoolDir =
    options.trackingPolicy === "rename" || options.deletePolicy === "immediate";
  try {
    if (changesSpoolDir) await tryFile(files, `${spoolDir}/${canary}`);
    else await files.readDirectory(spoolDir);
  } catch (cause) {
    throw refused(`spoolDir ${spoolDir}`, cause);
  }
  try {
    await files.makeDirectory(trackerDir);
    await tryFile(files, `${trackerDir}/${canary}`);
  } catch (cause) {
    throw refused(`trackerDir ${trackerDir}`, cause);
  }
}

async function tryFile(files: FileSystem, path: string): Promise<void> {
  const written = Buffer.from("permission check\n");
  const handle = await files.open(path, "create");
  try {
    await writeFully(handle, [written], 0);
    const read = Buffer.alloc(written.length);
    await handle.read(read, 0, read.length, 0);
    if (!read.equals(written)) throw new Error(`${path} does not hold what was written`);
  } finally {
    await handle.close();
    await files.unlink(path);
  }
}

function refused(what: string, cause: unknown): MillraceError {
  const code = systemErrorCode(cause);
  const why = cause instanceof Error ? cause.message : String(cause);
  if (code === "ENOENT")
    return new MillraceError("PATH_MISSING", `${what} does not exist; create it`, { cause });
  return ["EACCES", "EPERM", "EROFS"].includes(code)
    ? new MillraceError("PERMISSION_DENIED", `${what} is not for this user: ${why}`, { cause })
    : new MillraceError("WRITE_FAILED", `${what}: ${why}`, { cause });
}
