import type { FileHandle } from "@millrace/core";

/** A sync that failed: what was written since the last one may be stored or not (F4). */
export class SyncError extends Error {}

/** fdatasync, its error told apart from a write's. */
export async function syncFile(handle: FileHandle, path: string): Promise<void> {
  try {
    await handle.datasync();
  } catch (error) {
    throw new SyncError(`fdatasync of ${path} failed: ${String(error)}`, { cause: error });
  }
}
