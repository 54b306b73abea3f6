import type { EventBatch, SequenceRange } from "@millrace/core";
import { writeU64 } from "../format/bytes.ts";
import { extType, type NewRecord, recordType } from "../format/record.ts";
import type { Tlv } from "../format/tlv.ts";
import { encodeRanges } from "../format/snapshot.ts";

/**
 * The records of one group: each put one record over the batch's own slabs, then one ACK for all
 * that was settled; `discarded` of it without having been delivered. A group without either is a mark, and one with `markFlags` ends with one.
 */
export function groupRecords(
  puts: readonly { readonly batch: EventBatch; readonly putTimeMs: number }[],
  acks: readonly SequenceRange[],
  nextSequence: number,
  markFlags: number,
  discarded: readonly SequenceRange[] = [],
): { records: NewRecord[]; sequences: number[] } {
  const records: NewRecord[] = [];
  const sequences: number[] = [];
  let next = nextSequence;
  for (const { batch, putTimeMs } of puts) {
    sequences.push(next);
    records.push({
      type: recordType.put,
      flags: 0,
      sequence: next,
      count: batch.length,
      ext: [{ type: extType.putTime, value: u64(putTimeMs) }],
      body: batch.gather(),
    });
    next += batch.length;
  }
  const plain = { flags: 0, sequence: next, ext: [] };
  if (acks.length > 0) {
    const body = [encodeRanges(acks)];
    const ext = discarded.length === 0 ? [] : [discardedTlv(discarded)];
    records.push({ ...plain, type: recordType.ack, count: acks.length, ext, body });
  }
  if (records.length === 0 || markFlags !== 0) {
    records.push({ ...plain, type: recordType.mark, flags: markFlags, count: 0, body: [] });
  }
  return { records, sequences };
}

/** An extension has 64 KiB; what does not fit counts as delivered after the next start. */
function discardedTlv(ranges: readonly SequenceRange[]): Tlv {
  return { type: extType.discarded, value: encodeRanges(ranges.slice(0, 4000)) };
}

function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeU64(bytes, 0, value);
  return bytes;
}
