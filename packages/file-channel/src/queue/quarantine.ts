import {
  type FileHandle,
  fileExists,
  type FileSystem,
  systemErrorCode,
  writeFully,
} from "@millrace/core";
import { dirname, join } from "node:path";
import type { Segment } from "../log/segment.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";

const chunkBytes = 1024 * 1024;

/** Where the bytes are kept, or why they could not be. */
export type Kept = { readonly path: string } | { readonly failure: string };

/**
 * Keeps damaged bytes of a segment in a file of their own beside it, for whoever wants to look; what
 * a start that was killed left of such a file is written anew. The events are lost either way, so a
 * disk that takes no copy is no reason to stop.
 */
export async function keepDamaged(
  files: FileSystem,
  segment: Segment,
  source: FileHandle,
  { from, to }: ByteRange,
): Promise<Kept> {
  const root = dirname(segment.path);
  const path = join(root, `quarantine-${segment.id.toString(16)}-${from}-${to}.bin`);
  try {
    const target = await files.open(path, (await fileExists(files, path)) ? "write" : "create");
    try {
      if ((await target.stat()).size < to - from) await copy(source, target, { from, to });
      await target.datasync();
    } finally {
      await target.close();
    }
    await files.syncDirectory(root);
    return { path };
  } catch (error) {
    if (systemErrorCode(error) === "") throw error;
    return { failure: String(error) };
  }
}

async function copy(
  source: FileHandle,
  target: FileHandle,
  { from, to }: ByteRange,
): Promise<void> {
  const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, to - from));
  for (let at = from; at < to;) {
    const read = await source.read(chunk, 0, Math.min(chunk.length, to - at), at);
    if (read === 0) break;
    await writeFully(target, [chunk.subarray(0, read)], at - from);
    at += read;
  }
}
