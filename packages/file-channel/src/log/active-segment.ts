import {
  type Clock,
  type Histogram,
  type Log,
  MillraceError,
  observe,
  type Random,
  type SequenceRange,
  writeFully,
} from "@millrace/core";
import { encodeGroup, groupBytes } from "../format/group.ts";
import type { NewRecord } from "../format/record.ts";
import type { BodySealer } from "../format/sealed-body.ts";
import type { SegmentHeader } from "../format/segment-header.ts";
import { beginSegment, type SegmentSealing } from "../keys/segment-sealing.ts";
import type { LogState } from "./log-state.ts";
import type { Segment } from "./segment.ts";
import type { PreparedFile, SegmentStore } from "./segment-store.ts";
import { SyncError, syncFile } from "./sync-error.ts";
import { writeOpening } from "./write-segment.ts";

export interface ActiveSegmentParts {
  readonly state: LogState;
  readonly store: SegmentStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly syncSeconds: Histogram;
  /** Encrypts new segments. */
  readonly sealing: SegmentSealing | undefined;
}

/** What recovery, or creation, hands over: a segment whose header is synced. */
export interface OpenedSegment {
  readonly segment: Segment;
  /** Encrypts what is put into it. */
  readonly sealer: BodySealer | undefined;
  /** Where its first group behind the opening goes. */
  readonly offset: number;
  /** Segments its snapshot lists. */
  readonly listed: ReadonlySet<number>;
  /** The highest id any file hints at; new ones go above. */
  readonly lastId: number;
}

/** Where records were written. */
export interface Placed {
  readonly segment: Segment;
  readonly offsets: readonly number[];
  /** Behind the group. */
  readonly end: number;
}

/**
 * The one segment that is written: appends groups, rolls to the next, frees what no snapshot needs.
 * Its caller runs one call at a time. A SyncError from any of them is the end of the channel (F4).
 */
export class ActiveSegment {
  readonly #parts: ActiveSegmentParts;
  #segment: Segment;
  #sealer: BodySealer | undefined;
  /** Where the next group goes; everything before is written, up to `#segment.end` synced. */
  #offset: number;
  #listed: ReadonlySet<number>;
  #lastId: number;
  /** Not to be written any more: a write failed (F3), or its successor's header may exist. */
  #ended = false;
  /** No group behind the opening is synced yet, so the header is not proven by anything. */
  #fresh = true;
  /** Written but not synced; only where syncs are left out between groups. */
  #unsyncedAcks: SequenceRange[] = [];
  /** The segment before, until it is truncated to its synced end. */
  #previous: Segment | undefined;

  constructor(parts: ActiveSegmentParts, opened: OpenedSegment) {
    this.#parts = parts;
    this.#segment = opened.segment;
    this.#sealer = opened.sealer;
    this.#offset = opened.offset;
    this.#listed = opened.listed;
    this.#lastId = opened.lastId;
  }

  get run(): string {
    return this.#segment.header.run;
  }

  get isDirty(): boolean {
    return this.#offset > this.#segment.end;
  }

  /** Segments that hold nothing any more, but that only a new snapshot lets go. */
  get freeable(): number {
    const { segments } = this.#parts.state;
    return segments.filter((one) => one !== this.#segment && one.unacknowledged === 0).length;
  }

  /** Whether the active segment itself is worth freeing: large, and nothing in it is needed. */
  get isSpent(): boolean {
    const half = this.#parts.store.options.segmentBytes / 2;
    return this.#segment.unacknowledged === 0 && this.#offset > half;
  }

  /**
   * Writes one group, to the next segment where it does not fit or the write fails (F3). `puts`
   * stay out of the part kept back for acknowledgements, and of a directory that has no room for
   * them while another has. Not yet synced.
   */
  async write(records: readonly NewRecord[], puts: boolean): Promise<Placed> {
    const { groupAlign } = this.#segment.header;
    const bytes = groupBytes(records, groupAlign, this.#parts.sealing !== undefined);
    const { segmentBytes } = this.#parts.store.options;
    const limit = segmentBytes - (puts ? this.#parts.store.reserveBytes : 0);
    const isEmpty = this.#fresh && !this.isDirty;
    const elsewhere = puts && this.#parts.store.belongsElsewhere(this.#segment.directory, bytes);
    const fits = isEmpty || (this.#offset + bytes <= limit && !elsewhere);
    if (this.#ended || !fits) await this.roll();
    try {
      return await this.#append(records);
    } catch (error) {
      this.#ended = true;
      this.#parts.log.warn(
        `a write to ${this.#segment.path} failed; the segment ends at its last synced group and the next is tried`,
        { error: String(error) },
      );
    }
    await this.roll();
    try {
      return await this.#append(records);
    } catch (error) {
      this.#ended = true;
      throw error;
    }
  }

  /** What was written is stored when it resolves. The acknowledgements among it come along. */
  async sync(acknowledged: readonly SequenceRange[]): Promise<void> {
    const { state, clock, syncSeconds } = this.#parts;
    const started = clock.monotonic();
    await syncFile(this.#handle(), this.#segment.path);
    observe(syncSeconds, (clock.monotonic() - started) / 1000);
    this.#segment.end = this.#offset;
    this.#fresh = false;
    state.acknowledge(this.#unsyncedAcks);
    this.#unsyncedAcks = [];
    state.acknowledge(acknowledged);
  }

  /** Leaves the sync to a later call: the acknowledgements count as stored only then. */
  defer(acknowledged: readonly SequenceRange[]): void {
    this.#unsyncedAcks.push(...acknowledged);
  }

  /**
   * Truncates the former segment and frees what the newest snapshot does not list. Called after a
   * sync: only once a group behind the opening is stored is the header of this segment beyond
   * doubt, and until then the former segments could still be what a start has to go by.
   */
  async tidy(): Promise<void> {
    if (this.#fresh) return;
    const previous = this.#previous;
    this.#previous = undefined;
    if (previous !== undefined) await this.#truncate(previous);
    const { state, store } = this.#parts;
    const unneeded = state.segments.filter(
      (one) => one !== this.#segment && one.unacknowledged === 0 && !this.#listed.has(one.id),
    );
    for (const segment of unneeded) {
      state.segments = state.segments.filter((one) => one !== segment);
      await store.free(segment);
    }
  }

  /**
   * Goes on in a new segment: when it resolves, the snapshot and then the header there are synced.
   * Directories are tried in turn; throws the last one's error when none takes it.
   */
  async roll(): Promise<void> {
    if (this.isDirty) await this.sync([]);
    const { store, log } = this.#parts;
    let failure: unknown;
    for (const directory of await store.directoryOrder()) {
      let file: PreparedFile | undefined;
      try {
        file = await store.prepare(directory, ++this.#lastId, false);
        await this.#open(file);
        return;
      } catch (error) {
        if (error instanceof SyncError || error instanceof MillraceError) {
          await file?.handle.close().catch(() => undefined);
          throw error;
        }
        failure = error;
        log.warn(`no new segment in ${store.options.directories[directory]}`, {
          error: String(error),
        });
        if (file !== undefined) await abandon(store, file);
      }
    }
    throw failure;
  }

  async close(): Promise<void> {
    const { segments } = this.#parts.state;
    for (const { handle } of segments) await handle?.close();
    for (const segment of segments) segment.handle = undefined;
  }

  async #open(file: PreparedFile): Promise<void> {
    const { state, random, sealing } = this.#parts;
    const snapshot = state.snapshot();
    const former = this.#segment;
    const plain: SegmentHeader = {
      ...former.header,
      id: this.#lastId,
      salt: random.bytes(8),
      firstSequence: state.nextSequence,
      previousId: former.id,
      previousEnd: former.end,
    };
    const { header, sealer } = beginSegment(plain, sealing);
    const ended = (): void => {
      this.#ended = true;
    };
    const offset = await writeOpening(file, header, snapshot, [], ended, sealer);
    this.#sealer = sealer;
    this.#segment = {
      id: header.id,
      directory: file.directory,
      path: file.path,
      header,
      nextSequence: state.nextSequence,
      end: offset,
      unacknowledged: 0,
      handle: file.handle,
    };
    this.#offset = offset;
    this.#listed = new Set(snapshot.segments.map(({ id }) => id));
    this.#previous = former;
    this.#ended = false;
    this.#fresh = true;
    state.segments.push(this.#segment);
  }

  async #append(records: readonly NewRecord[]): Promise<Placed> {
    const segment = this.#segment;
    const group = encodeGroup(records, {
      offset: this.#offset,
      groupStart: segment.end,
      align: segment.header.groupAlign,
      salt: segment.header.salt,
      sealer: this.#sealer,
    });
    await writeFully(this.#handle(), group.buffers, this.#offset);
    this.#parts.store.noteWritten(segment.directory, group.bytes);
    this.#offset += group.bytes;
    return { segment, offsets: group.offsets, end: this.#offset };
  }

  async #truncate(segment: Segment): Promise<void> {
    const { handle } = segment;
    if (handle === undefined) return;
    try {
      if ((await handle.stat()).size > segment.end) await handle.truncate(segment.end);
    } catch (error) {
      this.#parts.log.warn(`${segment.path} could not be truncated to ${segment.end}`, {
        error: String(error),
      });
    }
  }

  #handle(): NonNullable<Segment["handle"]> {
    const { handle } = this.#segment;
    if (handle === undefined) throw new Error(`${this.#segment.path} is closed`);
    return handle;
  }
}

async function abandon(store: SegmentStore, file: PreparedFile): Promise<void> {
  try {
    await file.handle.close();
    await store.files.unlink(file.path);
  } catch {
    // A leftover: the next start removes it.
  }
}
