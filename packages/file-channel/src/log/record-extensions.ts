import { extType } from "../format/record.ts";
import type { SegmentHeader } from "../format/segment-header.ts";
import type { ReadRecord } from "./record-reader.ts";

/** The run an event of this record was first written in. */
export function runOf(record: ReadRecord, header: SegmentHeader): string {
  return extValue(record, extType.run)?.toString("hex") ?? header.run;
}

/** An extension of 8 bytes. */
export function extValue(record: ReadRecord, type: number): Buffer | undefined {
  const { ext } = record;
  for (let at = 0; at + 4 <= ext.length; at += 4 + ext.readUInt16BE(at + 2)) {
    if (ext.readUInt16BE(at) === type && ext.readUInt16BE(at + 2) === 8) {
      return ext.subarray(at + 4, at + 12);
    }
  }
  return undefined;
}
