import { type FileSystem, MillraceError } from "@millrace/core";
import { recordHeadBytes, recordType } from "../format/record.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { readFully } from "./read-fully.ts";
import type { FoundFile } from "./recovery.ts";
import { RecordReader } from "./record-reader.ts";

const alignMin = 512;

/**
 * A segment is valid by its header alone, so a header that rots would silently take a start back
 * to the segment before. A group behind the opening is only ever written once the header is
 * synced: a file that holds one under the salt of its own snapshot, but no header of that salt,
 * had a header, and the start is refused.
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
    if (read < head.length) return undefined;
    const salt = Buffer.from(head.subarray(8, 16));
    if (file.header?.salt.equals(salt) === true) return undefined;
    const windowBytes = 1024 * 1024;
    const reader = new RecordReader(handle, {
      salt,
      align: alignMin,
      limit: file.size,
      windowBytes,
    });
    const opening = await reader.read(segmentHeaderBytes);
    if (opening?.head.type !== recordType.snapshot) return undefined;
    const later = await reader.find(
      opening.offset + 1,
      alignMin,
      ({ groupStart }, offset) => groupStart > segmentHeaderBytes && groupStart <= offset,
    );
    return later?.offset;
  } finally {
    await handle.close();
  }
}
