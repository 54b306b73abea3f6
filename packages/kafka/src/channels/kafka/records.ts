/**
 * How an event lies in a record:
 *
 *                  parseAsFlumeEvent = true                 false
 *   record value   the event's Avro binary, headers first   the body
 *   record key     the header `key`, if there is one        the same
 *   headers taken  those in the value, `key` from the key   `key` from the key
 *
 * The Avro binary is what a batch holds anyway: nothing is decoded on the way in or out. The record
 * has no headers of its own, no magic byte and no schema id, as Flume's has none.
 */
import { EventBatch, EventBatchBuilder, MillraceError, skipEvent } from "@millrace/core";
import type { FetchedRecord, ProducedRecord } from "../../client/kafka-client.ts";
import type { FetchedEvents } from "./partition-queue.ts";

const keyName = Buffer.from("key");

/** Event `index` of the batch as a record. */
export function toRecord(batch: EventBatch, index: number, asFlumeEvent: boolean): ProducedRecord {
  const key = batch.headerAt(index, keyName);
  const value = asFlumeEvent ? batch.bytesAt(index) : batch.at(index).body;
  return key === undefined ? { value } : { key, value };
}

/** A record that is no event, and why. */
export interface Malformed {
  readonly offset: number;
  readonly reason: string;
}

export interface ReadRecords extends FetchedEvents {
  readonly malformed: readonly Malformed[];
}

/** The events of the records, in one slab of their own: the network's buffers are not kept alive. */
export function toEvents(records: readonly FetchedRecord[], asFlumeEvent: boolean): ReadRecords {
  return asFlumeEvent ? parseEvents(records) : wrapBodies(records);
}

function wrapBodies(records: readonly FetchedRecord[]): ReadRecords {
  const builder = new EventBatchBuilder();
  for (const { key, value } of records) {
    builder.add(key === null ? undefined : new Map([["key", key.toString()]]), value ?? noBytes);
  }
  return {
    batch: builder.build(),
    offsets: Float64Array.from(records, ({ offset }) => offset),
    timestampMs: records[0]?.timestampMs ?? 0,
    malformed: [],
  };
}

const noBytes = Buffer.alloc(0);

function parseEvents(records: readonly FetchedRecord[]): ReadRecords {
  const malformed: Malformed[] = [];
  const good: FetchedRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const reason = problemOf(record.value);
    if (reason !== undefined) malformed.push({ offset: record.offset, reason });
    else {
      good.push(record);
      bytes += record.value?.length ?? 0;
    }
  }
  const slab = Buffer.allocUnsafeSlow(bytes);
  const ends = new Uint32Array(good.length + 1);
  good.forEach(({ value }, i) => {
    slab.set(value ?? noBytes, ends[i]);
    ends[i + 1] = (ends[i] as number) + (value?.length ?? 0);
  });
  return {
    batch: withKeys(EventBatch.fromSlab(slab, ends), good),
    offsets: Float64Array.from(good, ({ offset }) => offset),
    timestampMs: good[0]?.timestampMs ?? 0,
    malformed,
  };
}

/** Why the bytes are no event; undefined when they are one, to the last byte. */
function problemOf(value: Buffer | null): string | undefined {
  if (value === null) return "the record has no value";
  const cursor = { at: 0 };
  try {
    skipEvent(value, cursor, value.length);
  } catch (error) {
    if (error instanceof MillraceError) return error.message;
    throw error;
  }
  if (cursor.at === value.length) return undefined;
  return `${value.length - cursor.at} bytes behind the event`;
}

/** Flume's channel sets the header from the record's key; where it is so already nothing is written. */
function withKeys(batch: EventBatch, records: readonly FetchedRecord[]): EventBatch {
  const differs = (key: Buffer | null, i: number): boolean =>
    key !== null && batch.headerAt(i, keyName) !== key.toString();
  if (!records.some(({ key }, i) => differs(key, i))) return batch;
  return batch.map((event, i) => {
    const key = records[i]?.key ?? null;
    if (!differs(key, i) || key === null) return event;
    return { headers: new Map([...event.headers, ["key", key.toString()]]), body: event.body };
  });
}
