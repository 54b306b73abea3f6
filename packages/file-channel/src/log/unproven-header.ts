import { type FileHandle, type FileSystem, MillraceError } from "@millrace/core";
import { decodeRecordHead, type RecordHead, recordHeadBytes } from "../format/record.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { readFully } from "./read-fully.ts";
import type { FoundFile } from "./recovery.ts";
import { RecordReader } from "./record-reader.ts";

const alignMin = 512;
const windowBytes = 1024 * 1024;

/**
 * A segment is valid by its header alone, so a header that rots would silently take a start back
 * to the segment before. A group behind the opening is only ever written once the header is
 * synced: a file that holds one under the salt of its own snapshot, but no header of that salt,
 * had a header, and the start is refused. Where the snapshot's head is damaged too, the first group
 * behind it shows the salt. Whatever a crash leaves in a file, new or used before, it begins with
 * a head: so a group of an earlier life is never taken for such a one.
 */
export async function refuseUnprovenHeader(
  files: FileSystem,
  found: readonly FoundFile[],
  newest: FoundFile | undefined,
): Promise<void> {
  const newestId = newest?.header?.id ?? 0;
  for (const file of found) {
    if (file.namedId <= newestId || file.header?.id === file.namedId) continue;
    const later = await findGroupBehindOpening(files, file);
    if (later === undefined) continue;
    throw new MillraceError(
      "CHANNEL_CORRUPT",
      `the header of ${file.path} does not verify at offset 0, though the group at ${later} proves that it was synced; keep the directory, check disk and memory, then \`millrace file-channel repair\``,
      { context: { path: file.path, offset: 0 } },
    );
  }
}

async function findGroupBehindOpening(
  files: FileSystem,
  file: FoundFile,
): Promise<number | undefined> {
  const handle = await files.open(file.path, "read");
  try {
    const head = Buffer.alloc(recordHeadBytes);
    const read = await readFully(handle, head, segmentHeaderBytes);
    const opening = read < head.length ? undefined : saltAt(head, 0);
    const salt = opening ?? (await firstSaltBehind(handle, file.size));
    if (salt === undefined || file.header?.salt.equals(salt) === true) return undefined;
    const options = { salt, align: alignMin, limit: file.size, windowBytes };
    const reader = new RecordReader(handle, options);
    const later = await reader.find(segmentHeaderBytes + 1, alignMin, isBehindOpening);
    return later?.offset;
  } finally {
    await handle.close();
  }
}

function isBehindOpening({ groupStart }: RecordHead, offset: number): boolean {
  return groupStart > segmentHeaderBytes && groupStart <= offset;
}

/** The salt of a head that verifies with the one it carries: one stands there. */
function saltAt(bytes: Buffer, at: number): Buffer | undefined {
  const salt = Buffer.from(bytes.subarray(at + 8, at + 16));
  return decodeRecordHead(bytes, at, salt) === undefined ? undefined : salt;
}

async function firstSaltBehind(handle: FileHandle, size: number): Promise<Buffer | undefined> {
  const window = Buffer.alloc(Math.min(windowBytes, Math.max(0, size - segmentHeaderBytes)));
  for (let from = segmentHeaderBytes; from < size; from += window.length) {
    const read = await readFully(handle, window, from);
    for (let at = 0; at + recordHeadBytes <= read; at += alignMin) {
      const salt = saltAt(window, at);
      const head = salt === undefined ? undefined : decodeRecordHead(window, at, salt);
      if (head !== undefined && isBehindOpening(head, from + at)) return salt;
    }
    if (read < window.length) break;
  }
  return undefined;
}
