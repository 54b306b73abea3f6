import { createHash } from "node:crypto";
import type { FileHandle, FileStat } from "../runtime/file-system.ts";

/** As many first bytes as tell one log from another. */
export const headBytesMax = 1024;

/** The first bytes of a file, as they are kept to know it again under another name or after a restart. */
export interface Head {
  readonly headBytes: number;
  /** What `hashHead` gave for its first `headBytes` bytes. */
  readonly head: string;
}

/** What stays the same when a file is renamed. */
export function fileKey({ device, inode }: Pick<FileStat, "device" | "inode">): string {
  return `${device}:${inode}`;
}

export function hashHead(head: Buffer): string {
  return createHash("sha256").update(head).digest("hex");
}

/** Whether a file with these first bytes is the one whose head was kept; false if that tells nothing. */
export function hasHead(kept: Head | undefined, head: Buffer): boolean {
  if (kept === undefined || kept.headBytes === 0 || head.length < kept.headBytes) return false;
  return hashHead(head.subarray(0, kept.headBytes)) === kept.head;
}

/** The first bytes of an open file. */
export function readHead(handle: Pick<FileHandle, "read">): Promise<Buffer> {
  return readFully(handle, Buffer.alloc(headBytesMax), 0, headBytesMax);
}

/** Reads from `at` to `upTo`, as much as the buffer takes and the file has. */
export async function readFully(
  handle: Pick<FileHandle, "read">,
  into: Buffer,
  at: number,
  upTo: number,
): Promise<Buffer> {
  const wanted = Math.min(into.length, upTo - at);
  let length = 0;
  while (length < wanted) {
    const read = await handle.read(into, length, wanted - length, at + length);
    if (read === 0) break;
    length += read;
  }
  return into.subarray(0, length);
}
