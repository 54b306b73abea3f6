import type { EventBatch } from "@millrace/core";

/**
 * The batch in parts of at most `eventsMax` events and `bytesMax` bytes, in order, sharing its
 * slabs. An event that is larger by itself is a part of its own.
 */
export function cutBatch(batch: EventBatch, eventsMax: number, bytesMax: number): EventBatch[] {
  if (batch.length <= eventsMax && batch.byteLength <= bytesMax) return [batch];
  const parts: EventBatch[] = [];
  let from = 0;
  let at = 0;
  let bytes = 0;
  for (const run of batch.runs) {
    for (let i = run.from; i < run.to; i++) {
      const size = (run.offsets[i + 1] as number) - (run.offsets[i] as number);
      if (at > from && (at - from === eventsMax || bytes + size > bytesMax)) {
        parts.push(batch.slice(from, at));
        from = at;
        bytes = 0;
      }
      bytes += size;
      at++;
    }
  }
  parts.push(batch.slice(from));
  return parts;
}
