import { EventBatch } from "@millrace/core";
import { crc32 } from "node:zlib";
import type { StoredEvents } from "./event-store.ts";

/** Events back to back in one slab of their own: event i lies in `slab[offsets[i], offsets[i + 1])`. */
export interface PackedEvents {
  readonly slab: Uint8Array<ArrayBuffer>;
  readonly offsets: Uint32Array<ArrayBuffer>;
}

/** Rows as they were read, in the order of their sequences. */
export interface PackedRows extends PackedEvents {
  readonly sequences: Float64Array<ArrayBuffer>;
  readonly putTimesMs: Float64Array<ArrayBuffer>;
}

/** A copy of the batch's events, for a worker or a wire. */
export function packEvents(batch: EventBatch): PackedEvents {
  const offsets = new Uint32Array(batch.length + 1);
  const slab = new Uint8Array(batch.byteLength);
  let at = 0;
  let index = 0;
  for (const run of batch.runs) {
    const start = run.offsets[run.from] as number;
    const end = run.offsets[run.to] as number;
    for (let i = run.from; i < run.to; i++) {
      offsets[index++] = (run.offsets[i] as number) - start + at;
    }
    slab.set(run.slab.subarray(start, end), at);
    at += end - start;
  }
  offsets[index] = at;
  return { slab, offsets };
}

/** The rows as batches, cut where a sequence is missing or the time of the put changes. */
export function unpackRows(rows: PackedRows): StoredEvents[] {
  const { sequences, putTimesMs, offsets } = rows;
  const slab = Buffer.from(rows.slab.buffer, rows.slab.byteOffset, rows.slab.byteLength);
  const found: StoredEvents[] = [];
  let from = 0;
  for (let i = 1; i <= sequences.length; i++) {
    const goesOn =
      i < sequences.length &&
      sequences[i] === (sequences[i - 1] as number) + 1 &&
      putTimesMs[i] === putTimesMs[i - 1];
    if (goesOn) continue;
    found.push({
      sequence: sequences[from] as number,
      putTimeMs: putTimesMs[from] as number,
      batch: EventBatch.fromSlab(slab, offsets.subarray(from, i + 1)),
    });
    from = i;
  }
  return found;
}

/** Over the event's bytes and its sequence: a row that moved or changed does not verify. */
export function checksumOf(bytes: Uint8Array, sequence: number): number {
  return crc32(bytes, sequence % 0x1_0000_0000);
}
