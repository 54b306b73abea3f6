import { type FileSystem, MillraceError } from "@millrace/core";
import { recordType } from "../format/record.ts";
import { type SegmentHeader, segmentHeaderBytes } from "../format/segment-header.ts";
import { decodeSnapshot, type LiveSegment, type Snapshot } from "../format/snapshot.ts";
import type { LogState } from "../log/log-state.ts";
import { openRecords } from "../log/open-records.ts";
import type { Segment } from "../log/segment.ts";
import { eventsOf, type Scanned, scanSegment } from "./scan-segment.ts";
import {
  type HeaderlessSegment,
  rebuildHeader,
  type SegmentFile,
  withFile,
} from "./segment-files.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";
import type { ToolContext } from "./tool-context.ts";

/** A segment that holds something, or the newest one. */
export interface SurveyedSegment {
  readonly file: SegmentFile;
  readonly header: SegmentHeader;
  /** The header's bytes as they were, where those on disk do not verify. */
  readonly rebuilt: Buffer | undefined;
  /** In the state: its events' sequences, where its synced bytes end, what is unacknowledged. */
  readonly segment: Segment;
}

export const scanWindowBytes = 4 * 1024 * 1024;

/** Headers as they are, or as they must have been. */
export class Headers {
  readonly #channel: string;
  readonly #headerless: ReadonlyMap<string, HeaderlessSegment>;

  constructor(channel: string, headerless: ReadonlyMap<string, HeaderlessSegment>) {
    this.#channel = channel;
    this.#headerless = headerless;
  }

  /** `live` is what a snapshot says of it. Throws CHANNEL_CORRUPT where nothing can be made of it. */
  of(file: SegmentFile, live: LiveSegment | undefined): SurveyedSegment {
    const found = this.find(file, live);
    if (found !== undefined) return found;
    throw new MillraceError("CHANNEL_CORRUPT", `the header of ${file.path} cannot be rebuilt`, {
      context: { path: file.path, offset: 0 },
    });
  }

  /** Undefined where the file has no header that verifies and nothing to make one from. */
  find(file: SegmentFile, live: LiveSegment | undefined): SurveyedSegment | undefined {
    if (file.header !== undefined) return surveyed(file, file.header, undefined, live);
    const shows = this.#headerless.get(file.path);
    if (shows === undefined) return undefined;
    const rebuilt = rebuildHeader(
      file.headerBytes,
      {
        channel: this.#channel,
        id: file.namedId,
        run: live?.run,
        salt: shows.salt,
        firstSequence: live?.firstSequence ?? shows.firstSequence,
        groupAlign: shows.groupAlign,
      },
      file.path,
    );
    if (rebuilt === undefined) return undefined;
    return surveyed(file, rebuilt.header, rebuilt.bytes, live);
  }
}

function surveyed(
  file: SegmentFile,
  header: SegmentHeader,
  rebuilt: Buffer | undefined,
  live: LiveSegment | undefined,
): SurveyedSegment {
  const segment: Segment = {
    id: header.id,
    directory: file.place,
    path: file.path,
    header,
    nextSequence: live?.nextSequence ?? header.firstSequence,
    end: Math.min(live?.end ?? file.size, file.size),
    unacknowledged: 0,
    handle: undefined,
  };
  return { file, header, rebuilt, segment };
}

/** Stands in the state for a segment of which nothing can be read. */
export function absentSegment(live: LiveSegment, like: SegmentHeader): Segment {
  const { id, run, firstSequence, nextSequence, end, directory } = live;
  const header: SegmentHeader = { ...like, id, run, firstSequence };
  return {
    id,
    directory,
    path: "",
    header,
    nextSequence,
    end,
    unacknowledged: 0,
    handle: undefined,
  };
}

/** The file a snapshot means, by its header, or by its name where the header is damaged. */
export function findLive(
  live: LiveSegment,
  found: readonly SegmentFile[],
  headers: Headers,
): { one: SurveyedSegment | undefined; file: SegmentFile | undefined } {
  const whole = found.find(({ header }) => header?.id === live.id && header.run === live.run);
  if (whole !== undefined) return { one: headers.of(whole, live), file: whole };
  for (const file of found) {
    if (file.header !== undefined || file.namedId !== live.id) continue;
    return { one: headers.find(file, live), file };
  }
  return { one: undefined, file: undefined };
}

/** What an item of the log does to the state. Events of damage count as put, and as not delivered. */
export function applyTo(state: LogState, segment: Segment, item: Scanned): void {
  if (item.kind === "damage") state.put(segment, item.end - item.first);
  else {
    state.put(segment, eventsOf(item.record.head));
    for (const range of item.discarded) state.discard(range);
    state.acknowledge(item.acknowledged);
  }
}

/**
 * Scans a segment's file; `visit` sees each item before the next is read. Resolves with what the
 * disk could not read.
 */
export async function scan(
  context: ToolContext,
  { file, header }: SurveyedSegment,
  bounds: Parameters<typeof scanSegment>[1],
  visit: (item: Scanned) => void,
): Promise<readonly ByteRange[]> {
  return withFile(context.runtime.files, file.path, async (handle) => {
    const { keys } = context;
    const limit = Math.min(bounds.end, file.size);
    const options = { limit, windowBytes: scanWindowBytes, keys };
    const reader = await openRecords(handle, header, options);
    for await (const item of scanSegment(reader, { ...bounds, end: limit })) visit(item);
    return handle.unreadable;
  });
}

/** Undefined where the first record is not the snapshot that the header says. */
export async function readSnapshot(
  files: FileSystem,
  { file, header }: SurveyedSegment,
): Promise<Snapshot | undefined> {
  return withFile(files, file.path, async (handle) => {
    const options = { limit: file.size, windowBytes: 64 * 1024 };
    const reader = await openRecords(handle, header, options);
    const record = await reader.read(segmentHeaderBytes);
    if (record?.head.type !== recordType.snapshot) return undefined;
    if (record.head.sequence !== header.firstSequence) return undefined;
    return decodeSnapshot(record.body, record.head.count, file.path);
  });
}
