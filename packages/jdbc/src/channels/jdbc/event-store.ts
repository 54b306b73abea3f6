import type { EventBatch, MillraceError, SequenceRange } from "@millrace/core";

/** What the database says of a channel when it is opened. */
export interface StoreState {
  /** The lowest sequence never used: no event of the channel ever had it or a higher one. */
  readonly nextSequence: number;
  /** Rows there are, and the bytes of their events. */
  readonly events: number;
  readonly bytes: number;
}

/** One transaction: all of it, or nothing. */
export interface StoreChange {
  /** Rows that are not needed any more; one that is gone already is no error. */
  readonly removed: readonly SequenceRange[];
  readonly added: AddedEvents | undefined;
  /** As the database is to say from now on. */
  readonly after: StoreState;
}

/** Events of consecutive sequences. */
export interface AddedEvents {
  readonly firstSequence: number;
  readonly batch: EventBatch;
  readonly putTimeMs: number;
}

export interface ReadRequest {
  /** Rows of the sequences `[from, below)`. */
  readonly from: number;
  readonly below: number;
  readonly eventsMax: number;
  /** Reading ends at the event that reaches this. */
  readonly bytesMax: number;
}

/** Events that were read, of consecutive sequences. */
export interface StoredEvents {
  readonly sequence: number;
  readonly putTimeMs: number;
  readonly batch: EventBatch;
}

/**
 * The rows of one channel in a database, owned by one process. The channel writes one change at a
 * time, and may read meanwhile.
 *
 * A call that throws DATABASE_UNAVAILABLE, or a call of `lost`, means that the database is out of
 * reach, and that nobody knows whether the change under way is stored: the channel opens again, and
 * `nextSequence` tells. Any other error of `write` means that nothing of the change is stored.
 */
export interface EventStore {
  /** Where the events are, for messages; no secrets. */
  readonly place: string;
  /**
   * Connects, makes what is missing, and locks the channel's rows. From then on no change of an
   * earlier opening can be stored any more. Throws CHANNEL_LOCKED when another process has them.
   */
  open(lost: (error: MillraceError) => void): Promise<StoreState>;
  write(change: StoreChange): Promise<void>;
  /** The rows of the request in order; none only when there are none. Throws CHANNEL_CORRUPT. */
  read(request: ReadRequest): Promise<readonly StoredEvents[]>;
  /** Lets go of the rows. Never rejects. */
  close(): Promise<void>;
  /** Lets go at once, whatever is under way. */
  abandon(): void;
}
