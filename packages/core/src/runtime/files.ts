import { MillraceError, systemErrorCode } from "../errors/millrace-error.ts";
import type { FileHandle, FileSystem } from "./file-system.ts";
import { dirname, join } from "node:path";

/** The path with a leading `~` as the home directory it stands for. */
export function expandHome(path: string, home: string): string {
  if (path === "~") return home;
  return path.startsWith("~/") ? join(home, path.slice(2)) : path;
}

/** Whether the path exists; any error but "no such file" is thrown. */
export async function fileExists(files: FileSystem, path: string): Promise<boolean> {
  try {
    await files.stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** The whole file. Meant for side files of a few KiB, not for data. */
export async function readWholeFile(files: FileSystem, path: string): Promise<Buffer> {
  const handle = await files.open(path, "read");
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(size);
    let at = 0;
    while (at < size) {
      const read = await handle.read(bytes, at, size - at, at);
      if (read === 0) break;
      at += read;
    }
    return bytes.subarray(0, at);
  } finally {
    await handle.close();
  }
}

/** Writes all of the bytes at `position`, going on after short writes. */
export async function writeFully(
  handle: FileHandle,
  buffers: readonly Buffer[],
  position: number,
): Promise<void> {
  let rest = buffers.filter((buffer) => buffer.length > 0);
  let at = position;
  while (rest.length > 0) {
    let taken = await handle.write(rest, at);
    if (taken === 0) {
      throw new MillraceError(
        "WRITE_FAILED",
        `a write at byte ${at} took nothing of what was given`,
      );
    }
    at += taken;
    const left: Buffer[] = [];
    for (const buffer of rest) {
      if (taken >= buffer.length) taken -= buffer.length;
      else {
        left.push(taken === 0 ? buffer : buffer.subarray(taken));
        taken = 0;
      }
    }
    rest = left;
  }
}

/**
 * Replaces the file so that a crash at any moment leaves the old content or the new: a temporary
 * file, synced, renamed over it, and the directory synced.
 */
export async function replaceFile(files: FileSystem, path: string, content: Buffer): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await files.unlink(temporary);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
  const handle = await files.open(temporary, "create");
  try {
    await writeFully(handle, [content], 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(dirname(path));
}
