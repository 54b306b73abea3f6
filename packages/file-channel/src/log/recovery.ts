import {
  type FileHandle,
  type FileSystem,
  type Log,
  MillraceError,
  systemErrorCode,
} from "@millrace/core";
import { join } from "node:path";
import { recordType } from "../format/record.ts";
import {
  decodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
} from "../format/segment-header.ts";
import { decodeSnapshot, type Snapshot } from "../format/snapshot.ts";
import { LogState } from "./log-state.ts";
import { openRecords } from "./open-records.ts";
import type { RecordReader } from "./record-reader.ts";
import { readFully } from "./read-fully.ts";
import { type Segment, segmentIdOf } from "./segment.ts";
import { corruptAt, SegmentWalk } from "./segment-walk.ts";
import { refuseUnprovenHeader } from "./unproven-header.ts";

/** A segment file as found. */
export interface FoundFile {
  readonly directory: number;
  readonly path: string;
  /** What the name hints at. */
  readonly namedId: number;
  readonly size: number;
  readonly header: SegmentHeader | undefined;
}

export interface Recovered {
  /** As of P: what is proven to be synced. Its segments are the live ones and N, by id. */
  readonly state: LogState;
  /** The newest segment, and where its records stood that are to be copied from `[P, X)`. */
  readonly newest: Segment;
  /** Whether the newest header is stored beyond doubt, and not only readable. */
  readonly provesHeader: boolean;
  readonly unproven: readonly number[];
  /** Files that nothing needs once the new segment is there. */
  readonly leftovers: readonly FoundFile[];
  /** Bytes cut off behind X. */
  readonly cutBytes: number;
  /** Whether the log ends with the mark of an orderly close. */
  readonly clean: boolean;
  /** Of the new segment; the one behind the newest's when it is not given. */
  readonly nextId?: number;
}

const windowBytes = 4 * 1024 * 1024;

/** Headers of all segment files (step 2). */
export async function findSegments(
  files: FileSystem,
  directories: readonly string[],
): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  for (const [index, directory] of directories.entries()) {
    for (const { name } of await files.readDirectory(directory)) {
      const namedId = segmentIdOf(name);
      if (namedId === undefined) continue;
      const path = join(directory, name);
      const handle = await files.open(path, "read");
      try {
        const bytes = Buffer.alloc(segmentHeaderBytes);
        const read = await readFully(handle, bytes, 0);
        const header = decodeSegmentHeader(bytes.subarray(0, read), path);
        const { size } = await handle.stat();
        found.push({ directory: index, path, namedId, size, header });
      } finally {
        await handle.close();
      }
    }
  }
  return found;
}

/**
 * Steps 2 to 5: the newest segment, one bounded walk. Throws CHANNEL_CORRUPT with file, offset and
 * sequences when something that was synced does not verify. Writes nothing.
 */
export async function recover(
  files: FileSystem,
  channel: string,
  found: readonly FoundFile[],
  log: Log,
): Promise<Recovered | undefined> {
  const headed = found.filter((file) => file.header !== undefined);
  for (const { header, path } of headed) {
    if (header?.channel !== channel) {
      throw new MillraceError("CHANNEL_DIRECTORY", `${path} belongs to another channel`);
    }
  }
  const newestFile = headed.reduce<FoundFile | undefined>(
    (best, file) => (best === undefined || idOf(file) > idOf(best) ? file : best),
    undefined,
  );
  await refuseUnprovenHeader(files, found, newestFile);
  if (newestFile === undefined) return undefined;
  const handle = await files.open(newestFile.path, "write");
  try {
    return await walkNewest(found, newestFile, handle, log);
  } catch (error) {
    await handle.close();
    if (error instanceof MillraceError || systemErrorCode(error) === "") throw error;
    throw new MillraceError(
      "CHANNEL_CORRUPT",
      `${newestFile.path} cannot be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

async function walkNewest(
  found: readonly FoundFile[],
  file: FoundFile,
  handle: FileHandle,
  log: Log,
): Promise<Recovered> {
  const header = file.header as SegmentHeader;
  // Without keys: what is sealed verifies all the same.
  const reader = await openRecords(handle, header, { limit: file.size, windowBytes });
  const snapshot = await readSnapshot(reader, file);
  const state = new LogState(snapshot, header.firstSequence);
  const newest = toSegment(file, header.firstSequence, segmentHeaderBytes, handle);
  state.segments = [...findLive(found, snapshot, state), newest];

  const walk = new SegmentWalk(state, newest, file.path);
  const end = await walk.run(reader);
  const proof = await reader.find(
    end + 1,
    header.groupAlign,
    (head, offset) => head.groupStart > end && head.groupStart <= offset,
  );
  if (proof !== undefined || walk.inOpening) {
    throw corruptAt(file.path, end, walk.nextSequence, proof?.head.sequence);
  }
  const cutBytes = await cutLength(handle, end, file.size);
  if (cutBytes > 0) {
    log.info(
      `${file.path}: ${cutBytes} bytes behind offset ${end} were never synced, or are of an earlier use of the file; they are cut off`,
    );
  }
  const leftovers = found.filter(
    (other) => !state.segments.some((segment) => segment.path === other.path),
  );
  const { unproven, clean, provesHeader } = walk;
  return { state, newest, provesHeader, unproven, leftovers, cutBytes, clean };
}

async function readSnapshot(reader: RecordReader, file: FoundFile): Promise<Snapshot> {
  const record = await reader.read(segmentHeaderBytes);
  const header = file.header as SegmentHeader;
  const snapshot =
    record?.head.type === recordType.snapshot && record.head.sequence === header.firstSequence
      ? decodeSnapshot(record.body, record.head.count, file.path)
      : undefined;
  if (snapshot === undefined) {
    throw corruptAt(file.path, segmentHeaderBytes, header.firstSequence, undefined);
  }
  return snapshot;
}

/** The segments a snapshot lists, each of which must be there. */
function findLive(found: readonly FoundFile[], snapshot: Snapshot, state: LogState): Segment[] {
  return snapshot.segments.map((live) => {
    // Whichever directory it is in: their numbers change when one leaves.
    const file = found.find(({ header }) => header?.id === live.id && header.run === live.run);
    const range = `sequences ${live.firstSequence} to ${live.nextSequence - 1}`;
    if (file === undefined) {
      throw new MillraceError(
        "CHANNEL_CORRUPT",
        `segment ${live.id} with ${range} is missing from directory ${live.directory + 1}, or its header does not verify`,
      );
    }
    if (file.size < live.end) {
      throw new MillraceError(
        "CHANNEL_CORRUPT",
        `${file.path} with ${range} has ${file.size} bytes, not ${live.end}`,
      );
    }
    const segment = toSegment(file, live.nextSequence, live.end, undefined);
    const { firstSequence, nextSequence } = live;
    const first = Math.max(firstSequence, state.lowest);
    const open = Math.max(0, nextSequence - first);
    segment.unacknowledged = open - state.acknowledged.countIn(first, nextSequence);
    return segment;
  });
}

function toSegment(
  file: FoundFile,
  nextSequence: number,
  end: number,
  handle: FileHandle | undefined,
): Segment {
  const header = file.header as SegmentHeader;
  const { directory, path } = file;
  return { id: header.id, directory, path, header, nextSequence, end, unacknowledged: 0, handle };
}

/** Bytes behind `end` up to the last one that is not zero. */
async function cutLength(handle: FileHandle, end: number, size: number): Promise<number> {
  const chunk = Buffer.allocUnsafe(Math.min(windowBytes, Math.max(0, size - end)));
  let last = end;
  for (let at = end; at < size; at += chunk.length) {
    const read = await readFully(handle, chunk.subarray(0, size - at), at);
    if (read === 0) break;
    for (let i = read - 1; i >= 0; i--) {
      if (chunk[i] === 0) continue;
      last = at + i + 1;
      break;
    }
  }
  return last - end;
}

function idOf(file: FoundFile): number {
  return (file.header as SegmentHeader).id;
}
