import type { FileHandle } from "@millrace/core";
import type { SegmentHeader } from "../format/segment-header.ts";
import type { KeyProvider } from "../keys/key-provider.ts";
import { openSegmentKey } from "../keys/segment-key.ts";
import { RecordReader } from "./record-reader.ts";

export interface OpenRecordsOptions {
  /** Nothing at or behind this offset is read. */
  readonly limit: number;
  /** Read at once; a larger record is read whole. */
  readonly windowBytes: number;
  /**
   * Opens the bodies of an encrypted segment. Without keys records verify all the same, and the
   * bodies of its PUTs come as they are stored (`sealed`).
   */
  readonly keys?: KeyProvider | undefined;
}

/**
 * A reader of the records behind this header. Throws KEY_MISSING, KEY_INVALID or KEY_WRONG before
 * anything is read, when keys are given and the segment's own is not among them.
 */
export async function openRecords(
  handle: FileHandle,
  header: SegmentHeader,
  options: OpenRecordsOptions,
): Promise<RecordReader> {
  const { limit, windowBytes, keys } = options;
  const { salt, groupAlign: align } = header;
  const sealed = header.encryption !== undefined;
  const dataKey = keys === undefined ? undefined : await openSegmentKey(header, keys);
  return new RecordReader(handle, { salt, align, limit, windowBytes, sealed, dataKey });
}
