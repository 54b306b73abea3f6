import type { FileHandle, FileSystem } from "@millrace/core";
import { join } from "node:path";
import type { SegmentHeader } from "../format/segment-header.ts";

/** A segment that holds events, or is being written. */
export interface Segment {
  readonly id: number;
  readonly directory: number;
  readonly path: string;
  readonly header: SegmentHeader;
  /** Sequences of its events: `[header.firstSequence, nextSequence)`. */
  nextSequence: number;
  /** Where its synced groups end. */
  end: number;
  /** Events of it whose acknowledgement is not synced yet. */
  unacknowledged: number;
  handle: FileHandle | undefined;
}

/** The name is a hint for people and for the next open; the header decides. */
export function segmentPath(directory: string, id: number): string {
  return join(directory, `${id.toString(16).padStart(16, "0")}.seg`);
}

/** The id a file name hints at, or undefined for files that are no segments. */
export function segmentIdOf(name: string): number | undefined {
  const match = /^([0-9a-f]{16})\.seg$/.exec(name);
  return match === null ? undefined : Number.parseInt(match[1] as string, 16);
}

export const sparePattern = /^spare-.*\.seg$/;

/** A handle to read the segment by; it stays open until the segment is freed. */
export async function openForReading(files: FileSystem, segment: Segment): Promise<FileHandle> {
  segment.handle ??= await files.open(segment.path, "write");
  return segment.handle;
}

export async function closeSegment(segment: Segment): Promise<void> {
  const { handle } = segment;
  segment.handle = undefined;
  await handle?.close();
}
