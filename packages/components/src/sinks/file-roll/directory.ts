import { type ErrorCode, type FileSystem, MillraceError, systemErrorCode } from "@millrace/core";
import { join } from "node:path";

/**
 * That the directory is there and files can be made in it, found out by making one and removing it:
 * permission bits do not tell of read-only disks and foreign users. Throws PATH_MISSING or
 * PERMISSION_DENIED.
 */
export async function assertWritableDirectory(
  files: FileSystem,
  directory: string,
  sink: string,
): Promise<void> {
  const probe = join(directory, ".millrace-write-test");
  try {
    if (!(await files.stat(directory)).isDirectory) {
      throw refused("PATH_MISSING", "is not a directory");
    }
    const handle = await files.open(probe, "append");
    await handle.close();
    await removeIfThere(files, probe);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    switch (systemErrorCode(error)) {
      case "ENOENT":
      case "ENOTDIR":
        throw refused("PATH_MISSING", "does not exist: create it, or correct the property", error);
      case "EACCES":
      case "EPERM":
      case "EROFS":
        throw refused("PERMISSION_DENIED", "cannot be written by the agent's user", error);
      default:
        throw refused("SINK_WRITE_FAILED", `cannot be used: ${String(error)}`, error);
    }
  }

  function refused(code: ErrorCode, why: string, cause?: unknown): MillraceError {
    return new MillraceError(code, `sink ${sink}: sink.directory ${directory} ${why}`, {
      cause,
      context: { key: "sink.directory", directory },
    });
  }
}

async function removeIfThere(files: FileSystem, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    // Another sink that starts on the same directory was faster.
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
}
