import { MillraceError } from "@millrace/core";
import { recordFlag, type RecordHead, recordType } from "../format/record.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { decodeRanges } from "../format/snapshot.ts";
import { discardedBy } from "./record-extensions.ts";
import type { LogState } from "./log-state.ts";
import type { ReadRecord, RecordReader } from "./record-reader.ts";
import type { Segment } from "./segment.ts";

/** Walks the records; state moves on only when the group behind proves the one before. */
export class SegmentWalk {
  readonly #state: LogState;
  readonly #segment: Segment;
  readonly #path: string;
  /** Offsets of the last group's puts and acknowledgements, and what they would do. */
  #group: { offset: number; apply: () => void }[] = [];
  #groupStart = segmentHeaderBytes;
  #lastHead: RecordHead | undefined;
  nextSequence: number;
  inOpening = true;
  /** Whether a group behind the opening was seen: it was written only once the header was synced. */
  provesHeader = false;

  constructor(state: LogState, segment: Segment, path: string) {
    this.#state = state;
    this.#segment = segment;
    this.#path = path;
    this.nextSequence = state.nextSequence;
  }

  get unproven(): readonly number[] {
    return this.#group.map(({ offset }) => offset);
  }

  get clean(): boolean {
    const head = this.#lastHead;
    return head?.type === recordType.mark && (head.flags & recordFlag.clean) !== 0;
  }

  /** Returns X, the offset of the first record that does not verify. */
  async run(reader: RecordReader): Promise<number> {
    let offset = segmentHeaderBytes;
    let boundary = false;
    for (;;) {
      const record = await reader.read(offset);
      if (record === undefined || !this.#belongs(record.head, offset, boundary)) return offset;
      if (!this.inOpening) this.provesHeader = true;
      if (record.head.groupStart !== this.#groupStart) this.#prove(record.head.groupStart);
      this.#read(record);
      this.#lastHead = record.head;
      boundary = (record.head.flags & recordFlag.last) !== 0;
      offset = record.end;
      // The opening group is proven by the header, which was written after its sync.
      if (boundary && this.inOpening) {
        this.inOpening = false;
        this.#prove(offset);
      }
    }
  }

  #belongs(head: RecordHead, offset: number, boundary: boolean): boolean {
    if (head.groupStart === offset) return boundary || offset === segmentHeaderBytes;
    return head.groupStart === this.#groupStart && offset > this.#groupStart;
  }

  #prove(end: number): void {
    for (const { apply } of this.#group) apply();
    this.#group = [];
    this.#groupStart = end;
    this.#segment.end = end;
  }

  #read(record: ReadRecord): void {
    const { head, offset } = record;
    const state = this.#state;
    if (head.type === recordType.put) {
      this.#expect(head, offset);
      this.nextSequence += head.count;
      this.#group.push({ offset, apply: () => state.put(this.#segment, head.count) });
    } else if (head.type === recordType.ack) {
      const ranges = decodeRanges(record.body, head.count);
      this.#expect(head, offset);
      if (ranges === undefined) throw corruptAt(this.#path, offset, head.sequence, undefined);
      const discarded = discardedBy(record);
      const apply = (): void => {
        for (const range of discarded) state.discard(range);
        state.acknowledge(ranges);
      };
      this.#group.push({ offset, apply });
    } else if (head.type === recordType.mark) {
      this.#expect(head, offset);
    } else if (offset !== segmentHeaderBytes && (head.flags & recordFlag.optional) === 0) {
      throw new MillraceError(
        "CHANNEL_FORMAT",
        `${this.#path} holds a record of type ${head.type} at ${offset}, which this version does not know`,
      );
    }
  }

  #expect(head: RecordHead, offset: number): void {
    if (head.sequence === this.nextSequence) return;
    throw corruptAt(this.#path, offset, this.nextSequence, head.sequence);
  }
}

/** Something that was synced does not verify: sequences from `first`, up to `next` where known. */
export function corruptAt(
  path: string,
  offset: number,
  first: number,
  next: number | undefined,
): MillraceError {
  const range =
    next === undefined ? `from ${first} on` : `${first} to ${Math.max(first, next) - 1}`;
  return new MillraceError(
    "CHANNEL_CORRUPT",
    `${path} does not verify at offset ${offset}, though it was synced there (sequences ${range}); keep the directory, check disk and memory, then \`millrace file-channel repair\` sets the range aside`,
    { context: { path, offset, first, next } },
  );
}
