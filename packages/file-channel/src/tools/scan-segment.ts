import { EventBatch, type SequenceRange } from "@millrace/core";
import { recordFlag, type RecordHead, recordHeadBytes, recordType } from "../format/record.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { decodeRanges } from "../format/snapshot.ts";
import { discardedBy } from "../log/record-extensions.ts";
import type { ReadRecord, RecordReader } from "../log/record-reader.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";

/** A record that verified; `record` is a view, good until the scan goes on. */
export interface SoundRecord {
  readonly kind: "record";
  readonly record: ReadRecord;
  /** Of an acknowledgement; and what of it was not delivered. */
  readonly acknowledged: readonly SequenceRange[];
  readonly discarded: readonly SequenceRange[];
}

/** Bytes that hold no sound record although some were written there: sequences `[first, end)`. */
export interface DamagedRange extends ByteRange {
  readonly kind: "damage";
  readonly first: number;
  readonly end: number;
  /** The head verifies, so it is known what was there. */
  readonly head: RecordHead | undefined;
}

export type Scanned = SoundRecord | DamagedRange;

export interface ScanBounds {
  readonly firstSequence: number;
  /** Behind the segment's last event; undefined for the newest one, whose end the scan finds. */
  readonly nextSequence: number | undefined;
  /** Where its synced bytes end; for the newest one the size of the file. */
  readonly end: number;
  readonly align: number;
}

/**
 * Every record of a segment, and between them what is damaged, in order and without a gap. In the
 * newest segment it ends at the torn tail: behind it no record proves that anything was synced.
 */
export async function* scanSegment(
  reader: RecordReader,
  bounds: ScanBounds,
): AsyncGenerator<Scanned> {
  let offset = segmentHeaderBytes;
  let sequence = bounds.firstSequence;
  // The header proves the opening whole: what does not verify in it is no torn tail.
  let inOpening = true;
  while (offset < bounds.end) {
    const record = await reader.read(offset);
    const sound = record === undefined ? undefined : soundRecord(record, sequence);
    if (sound !== undefined) {
      yield sound;
      sequence += eventsOf(sound.record.head);
      offset = sound.record.end;
      const { flags, groupStart } = sound.record.head;
      inOpening &&= (flags & recordFlag.last) === 0 && groupStart === segmentHeaderBytes;
      continue;
    }
    const damage = await damageAt(reader, offset, sequence, { ...bounds, inOpening });
    if (damage === undefined) return;
    yield damage;
    offset = damage.to;
    sequence = damage.end;
  }
}

/** Events a record adds. */
export function eventsOf(head: RecordHead): number {
  return head.type === recordType.put ? head.count : 0;
}

function soundRecord(record: ReadRecord, sequence: number): SoundRecord | undefined {
  const { head, body } = record;
  if (head.sequence !== sequence) return undefined;
  if (head.type === recordType.ack) {
    const acknowledged = decodeRanges(body, head.count);
    return acknowledged === undefined
      ? undefined
      : { kind: "record", record, acknowledged, discarded: discardedBy(record) };
  }
  if (head.type === recordType.put && !record.sealed && !holdsEvents(record)) return undefined;
  return { kind: "record", record, acknowledged: [], discarded: [] };
}

function holdsEvents({ head, body }: ReadRecord): boolean {
  try {
    EventBatch.scan(body, 0, body.length, head.count);
    return true;
  } catch {
    return false;
  }
}

/** Undefined at the torn tail. */
async function damageAt(
  reader: RecordReader,
  offset: number,
  sequence: number,
  { nextSequence, end, align, inOpening }: ScanBounds & { readonly inOpening: boolean },
): Promise<DamagedRange | undefined> {
  if (nextSequence === undefined && !inOpening) {
    const proves = ({ groupStart }: RecordHead, at: number): boolean =>
      groupStart > offset && groupStart <= at;
    const proof = await reader.find(offset + 1, align, proves);
    if (proof === undefined) return undefined;
  }
  const head = await reader.head(offset);
  if (head !== undefined && head.sequence === sequence) {
    const to = Math.min(end, reader.endOf(head, offset));
    const range = { kind: "damage", from: offset, to, head } as const;
    return { ...range, first: sequence, end: sequence + eventsOf(head) };
  }
  const last = nextSequence ?? Number.MAX_SAFE_INTEGER;
  const next = await reader.find(
    offset + 8,
    8,
    (found) => found.sequence >= sequence && found.sequence <= last,
  );
  return {
    kind: "damage",
    from: offset,
    to: next?.offset ?? end,
    first: sequence,
    end: next?.head.sequence ?? nextSequence ?? sequence,
    head: undefined,
  };
}

/** The salts a segment without a sound header may have: its first record's, and its old header's. */
export function saltsIn(header: Buffer, firstHead: Buffer): Buffer[] {
  const salts: Buffer[] = [];
  if (firstHead.length >= recordHeadBytes) salts.push(Buffer.from(firstHead.subarray(8, 16)));
  if (header.length >= 54) salts.push(Buffer.from(header.subarray(46, 54)));
  return salts.filter((salt) => salt.some((byte) => byte !== 0));
}
