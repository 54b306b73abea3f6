import type { SequenceRange } from "@millrace/core";
import { extType } from "../format/record.ts";
import { decodeRanges } from "../format/snapshot.ts";
import type { SegmentHeader } from "../format/segment-header.ts";
import type { ReadRecord } from "./record-reader.ts";

/** The run an event of this record was first written in. */
export function runOf(record: ReadRecord, header: SegmentHeader): string {
  return extValue(record, extType.run)?.toString("hex") ?? header.run;
}

/** What an ACK says was not delivered. */
export function discardedBy(record: ReadRecord): readonly SequenceRange[] {
  const value = find(record, extType.discarded);
  return value === undefined ? [] : (decodeRanges(value, value.length / 16) ?? []);
}

/** An extension of 8 bytes. */
export function extValue(record: ReadRecord, type: number): Buffer | undefined {
  const value = find(record, type);
  return value?.length === 8 ? value : undefined;
}

function find({ ext }: ReadRecord, type: number): Buffer | undefined {
  for (let at = 0; at + 4 <= ext.length; at += 4 + ext.readUInt16BE(at + 2)) {
    if (ext.readUInt16BE(at) !== type) continue;
    return ext.subarray(at + 4, at + 4 + ext.readUInt16BE(at + 2));
  }
  return undefined;
}
