import type { FileHandle } from "@millrace/core";

/** Fills `into` from `position`, going on after short reads; returns how much there was. */
export async function readFully(
  handle: FileHandle,
  into: Buffer,
  position: number,
): Promise<number> {
  let at = 0;
  while (at < into.length) {
    const read = await handle.read(into, at, into.length - at, position + at);
    if (read === 0) break;
    at += read;
  }
  return at;
}
