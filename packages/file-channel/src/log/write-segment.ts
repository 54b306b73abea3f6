import { type FileHandle, MillraceError, systemErrorCode, writeFully } from "@millrace/core";
import { encodeGroup } from "../format/group.ts";
import type { NewRecord } from "../format/record.ts";
import { recordType } from "../format/record.ts";
import {
  encodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
} from "../format/segment-header.ts";
import type { BodySealer } from "../format/sealed-body.ts";
import { encodeSnapshot, type Snapshot } from "../format/snapshot.ts";
import { syncFile } from "./sync-error.ts";

const emptyHeader = Buffer.alloc(segmentHeaderBytes);

/**
 * Writes the opening of a segment in a prepared file: the snapshot and what recovery copies behind
 * it, synced; then the header, synced. Between the two, `beforeHeader` runs: from there on a crash
 * may find this segment, so the one before must not be written any more. Returns where the next
 * group begins. `sealer` goes with the header's encryption, and seals what comes behind as well.
 *
 * In a new file zeros take the header's place first, so that the disk cannot be too full for it
 * later. A used file keeps its old header until then: without one, its old groups would look like
 * those of a segment whose header rotted.
 */
export async function writeOpening(
  file: { readonly handle: FileHandle; readonly path: string },
  header: SegmentHeader,
  snapshot: Snapshot,
  copies: readonly NewRecord[],
  beforeHeader: () => void,
  sealer?: BodySealer,
): Promise<number> {
  const opening: NewRecord = {
    type: recordType.snapshot,
    flags: 0,
    sequence: header.firstSequence,
    count: snapshot.acknowledged.length,
    ext: [],
    body: [encodeSnapshot(snapshot)],
  };
  const group = encodeGroup([opening, ...copies], {
    offset: segmentHeaderBytes,
    groupStart: segmentHeaderBytes,
    align: header.groupAlign,
    salt: header.salt,
    sealer,
  });
  const isNew = (await file.handle.stat()).size < segmentHeaderBytes;
  if (isNew) await writeFully(file.handle, [emptyHeader, ...group.buffers], 0);
  else await writeFully(file.handle, group.buffers, segmentHeaderBytes);
  await syncFile(file.handle, file.path);
  beforeHeader();
  await writeFully(file.handle, [encodeSegmentHeader(header)], 0);
  await syncFile(file.handle, file.path);
  return segmentHeaderBytes + group.bytes;
}

/** What a put is told when its bytes could not be written anywhere. */
export function writeError(error: unknown, where: string): MillraceError {
  if (error instanceof MillraceError) return error;
  const full = ["ENOSPC", "EDQUOT"].includes(systemErrorCode(error));
  return new MillraceError(
    full ? "DISK_FULL" : "WRITE_FAILED",
    `${where} could not be written: ${error instanceof Error ? error.message : String(error)}; nothing of the batch was promised, it may be sent again`,
    { cause: error },
  );
}
