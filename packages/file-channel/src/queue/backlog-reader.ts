import { EventBatch, type FileSystem, MillraceError, type SequenceSet } from "@millrace/core";
import { readU64 } from "../format/bytes.ts";
import { extType, recordType } from "../format/record.ts";
import type { KeyProvider } from "../keys/key-provider.ts";
import { openRecords } from "../log/open-records.ts";
import { extValue, runOf } from "../log/record-extensions.ts";
import type { ReadRecord, RecordReader } from "../log/record-reader.ts";
import { openForReading, type Segment } from "../log/segment.ts";
import { type TolerantHandle, tolerantHandle } from "../log/tolerant-handle.ts";
import type { EventQueue, Stretch } from "./event-queue.ts";
import { keepDamaged, type Kept } from "./quarantine.ts";
import { type Room, roomBytesOf } from "./room.ts";
import { smallPutBytes } from "./small-slab.ts";

/** Read at once; a larger record is read whole. */
const windowBytes = 1024 * 1024;
/** Below this much unread in memory, the next window is read. */
export const readAheadBytes = 1024 * 1024;

export interface BacklogParts {
  readonly files: FileSystem;
  readonly queue: EventQueue;
  readonly room: Room;
  /** What was settled before this start: skipped when it is read. */
  readonly settled: { readonly lowest: number; readonly above: SequenceSet };
  /** Opens encrypted segments; a start has seen to it that it can. */
  readonly keys: KeyProvider | undefined;
  readonly onCorruption: "stop" | "quarantine";
  lost(events: LostEvents): void;
}

/** Events `[first, end)` that can never be read; `unsettled` of them were not delivered yet. */
export interface LostEvents {
  readonly first: number;
  readonly end: number;
  readonly unsettled: number;
  readonly error: MillraceError;
  /** What became of their bytes. */
  readonly kept: Kept;
}

interface OpenedSegment {
  readonly segment: Segment;
  readonly handle: TolerantHandle;
  readonly records: RecordReader;
}

/** Brings events back from disk in their order, each record verified. */
export class BacklogReader {
  readonly #parts: BacklogParts;
  #reader: OpenedSegment | undefined;

  constructor(parts: BacklogParts) {
    this.#parts = parts;
  }

  /**
   * Reads on until enough is unread in memory or nothing is left on disk. Throws CHANNEL_CORRUPT
   * at a record that does not verify, and again when called again. Of a window in which the disk
   * cannot read a block, what lies around the block is read as ever.
   */
  async refill(): Promise<void> {
    const { queue, room } = this.#parts;
    while (queue.unreadBytes < readAheadBytes) {
      const stretch = queue.firstStretch;
      if (stretch === undefined) return;
      if (!isRead(stretch)) await this.#readOne(stretch);
      // Looked at in one turn: a put may have made the stretch longer while it was read.
      if (isRead(stretch)) {
        queue.dropFirstStretch();
        room.release(0, stretch.roomBytes);
      }
    }
  }

  /**
   * Looks at the beginning of the first stretch, so that its age is known before anything is taken.
   * What does not verify is left for the first take to find.
   */
  async peek(): Promise<void> {
    const stretch = this.#parts.queue.firstStretch;
    if (stretch === undefined) return;
    const until = Math.min(stretch.end, stretch.offset + windowBytes);
    try {
      const { records } = await this.#open(stretch);
      for (let offset = stretch.offset; offset < until;) {
        const record = await records.read(offset);
        if (record === undefined) return;
        const { type, sequence, count } = record.head;
        const putTime = extValue(record, extType.putTime);
        if (type === recordType.put && putTime !== undefined) {
          stretch.putTimeMs = readU64(putTime, 0);
          if (this.#unsettled(sequence, sequence + count).length > 0) return;
        }
        offset = record.end;
      }
    } catch {
      // A disk that does not answer: the take says so.
    }
  }

  async #readOne(stretch: Stretch): Promise<void> {
    const opened = await this.#open(stretch);
    const record = await opened.records.read(stretch.offset).catch((error: unknown) => {
      throw unread(stretch, error);
    });
    const sound =
      record !== undefined &&
      (record.head.type !== recordType.put || record.head.sequence === stretch.nextSequence);
    if (record === undefined || !sound || !this.#accept(stretch, record)) {
      await this.#damaged(stretch, opened);
      return;
    }
    stretch.offset = record.end;
  }

  /** Adds the record's unsettled events to the queue; false when its body is not events. */
  #accept(stretch: Stretch, record: ReadRecord): boolean {
    const { head, body } = record;
    if (head.type !== recordType.put) return true;
    const first = head.sequence;
    const end = first + head.count;
    const missing = this.#unsettled(first, end);
    if (missing.length > 0) {
      const batch = scan(body, head.count);
      if (batch === undefined) return false;
      const putTime = extValue(record, extType.putTime);
      const whole = roomBytesOf(body.length);
      for (const range of missing) {
        const part = batch.slice(range.first - first, range.end - first);
        this.#append(stretch, part, {
          run: runOf(record, stretch.segment.header),
          sequence: range.first,
          roomBytes: Math.floor((whole * part.length) / head.count),
          putTimeMs: putTime === undefined ? 0 : readU64(putTime, 0),
        });
      }
    }
    stretch.nextSequence = end;
    return true;
  }

  #append(
    stretch: Stretch,
    part: EventBatch,
    rest: { run: string; sequence: number; roomBytes: number; putTimeMs: number },
  ): void {
    const { queue, room } = this.#parts;
    // The bytes stand in the reader's window, which is used again: small ones are copied anyway.
    const batch = part.byteLength < smallPutBytes ? part : part.copy();
    const known = Math.min(stretch.roomBytes, rest.roomBytes);
    stretch.roomBytes -= known;
    stretch.events -= part.length;
    stretch.putTimeMs = rest.putTimeMs;
    room.occupy(0, rest.roomBytes - known);
    queue.appendRead({ batch, ...rest });
  }

  #unsettled(first: number, end: number): readonly { first: number; end: number }[] {
    const { lowest, above } = this.#parts.settled;
    return above.missingIn(Math.max(first, lowest), end);
  }

  async #damaged(stretch: Stretch, { records, handle }: OpenedSegment): Promise<void> {
    const { segment, offset, nextSequence } = stretch;
    const next = await records.find(
      offset + 8,
      8,
      (head) => head.type === recordType.put && head.sequence >= nextSequence,
    );
    const end = next?.head.sequence ?? stretch.endSequence;
    const behind = next?.offset ?? stretch.end;
    const missing = this.#unsettled(nextSequence, end);
    if (missing.length === 0) {
      // An acknowledgement, a mark, or events that were delivered or set aside: nothing is lost.
      stretch.offset = behind;
      stretch.nextSequence = end;
      return;
    }
    const isUnreadable = handle.unreadable.some(({ from, to }) => from < behind && to > offset);
    const why = isUnreadable ? " (EIO: the disk cannot read it)" : "";
    const error = new MillraceError(
      "CHANNEL_CORRUPT",
      `${segment.path} does not verify at offset ${offset}${why}: sequences ${nextSequence} to ${end - 1} cannot be read; \`millrace file-channel repair\` sets them aside, as onCorruption = quarantine does at once`,
      { context: { path: segment.path, offset, first: nextSequence, end } },
    );
    if (this.#parts.onCorruption === "stop") throw error;
    const range = { from: offset, to: behind };
    const kept = await keepDamaged(this.#parts.files, segment, handle, range);
    const unsettled = missing.reduce((sum, range) => sum + range.end - range.first, 0);
    stretch.offset = behind;
    stretch.nextSequence = end;
    stretch.events -= unsettled;
    this.#parts.lost({ first: nextSequence, end, unsettled, error, kept });
  }

  async #open(stretch: Stretch): Promise<OpenedSegment> {
    const { segment } = stretch;
    if (this.#reader?.segment !== segment) {
      const handle = tolerantHandle(await openForReading(this.#parts.files, segment), isBadBlock);
      const { keys } = this.#parts;
      const limit = stretch.end;
      const records = await openRecords(handle, segment.header, { limit, windowBytes, keys });
      this.#reader = { segment, handle, records };
    }
    this.#reader.records.extend(stretch.end);
    return this.#reader;
  }
}

function unread({ segment, offset }: Stretch, error: unknown): MillraceError {
  return new MillraceError(
    "CHANNEL_CORRUPT",
    `${segment.path} cannot be read at offset ${offset}: ${String(error)}; nothing is set aside for that, the next start reads it again`,
    { cause: error, context: { path: segment.path, offset } },
  );
}

/** Only this says that bytes are gone; after any other error they may be read by the next start. */
function isBadBlock(code: string): boolean {
  return code === "EIO";
}

/**
 * Behind the last unsettled event nothing is read: once that event is settled the segment may be
 * freed at any moment.
 */
function isRead(stretch: Stretch): boolean {
  return stretch.events === 0 || stretch.offset >= stretch.end;
}

function scan(body: Buffer, count: number): EventBatch | undefined {
  try {
    return EventBatch.scan(body, 0, body.length, count);
  } catch {
    return undefined;
  }
}
