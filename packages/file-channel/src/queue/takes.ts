import {
  type ChannelContext,
  type FileSystem,
  LentTake,
  type MillraceError,
  type Ranges,
  SequenceSet,
  type TakeTransaction,
  toMillraceError,
  WaitingLine,
} from "@millrace/core";
import type { ChannelMetrics } from "../channel-metrics.ts";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import type { LogState } from "../log/log-state.ts";
import type { LogWriter, StoredPut } from "../log/log-writer.ts";
import type { FileChannelOptions } from "../options.ts";
import { BacklogReader, type LostEvents, readAheadBytes } from "./backlog-reader.ts";
import { EventQueue, joinPieces, rangeOf } from "./event-queue.ts";
import { type Piece, splitPiece } from "./piece.ts";
import { recoveredStretches } from "./recovered-stretches.ts";
import { type Room, roomBytesOf } from "./room.ts";

/** Acknowledged ranges above the lowest sequence: beyond this, takes of new events wait. */
const ackRangesMax = 16_384;

/** How a take is to be. */
export interface TakeLimits {
  readonly transactionCapacity: number;
  readonly keepAliveMs: number;
}

/** The log that the events lie in, once it is open. */
export interface TakesLog {
  readonly state: LogState;
  readonly writer: LogWriter;
  readonly files: FileSystem;
}

/**
 * The taking side: what is held, in memory and on disk, who waits for it, and what is lent. The
 * lowest unsettled events are always served first.
 */
export class Takes {
  readonly #options: Pick<FileChannelOptions, "keys" | "onCorruption">;
  readonly #context: ChannelContext;
  readonly #metrics: ChannelMetrics;
  readonly #room: Room;
  readonly #takers: WaitingLine<number, readonly Piece[]>;
  readonly #queue: EventQueue;
  readonly #lent = new Set<readonly Piece[]>();
  #size = 0;
  #log: TakesLog | undefined;
  #reader: BacklogReader | undefined;
  #isOpen = false;
  #refilling: Promise<void> | undefined;
  #corrupt: MillraceError | undefined;
  /** One above the highest sequence ever lent. */
  #lentBelow = 0;
  #errors = 0;

  constructor(
    options: Pick<FileChannelOptions, "keys" | "onCorruption" | "memoryBytes">,
    context: ChannelContext,
    parts: { readonly metrics: ChannelMetrics; readonly room: Room },
  ) {
    this.#options = options;
    this.#context = context;
    this.#metrics = parts.metrics;
    this.#room = parts.room;
    this.#takers = new WaitingLine(context.runtime.clock);
    this.#queue = new EventQueue(options.memoryBytes);
  }

  /** Events held, lent ones included. */
  get size(): number {
    return this.#size;
  }

  /** Takes that failed, and ranges that were set aside. */
  get errors(): number {
    return this.#errors;
  }

  /** The damage that takes have ended at. */
  get corrupt(): MillraceError | undefined {
    return this.#corrupt;
  }

  set memoryBytes(bytes: number) {
    this.#queue.memoryBytes = bytes;
  }

  /** Counts what a start found; takes are served when it resolves. */
  async open(log: TakesLog): Promise<void> {
    const { state, files } = log;
    this.#log = log;
    this.#size = state.held;
    const above = new SequenceSet(state.acknowledged.ranges);
    let roomBytes = 0;
    for (const stretch of recoveredStretches(state, segmentHeaderBytes)) {
      this.#queue.addStretch(stretch);
      roomBytes += stretch.roomBytes;
    }
    this.#room.occupy(this.#size, roomBytes);
    this.#reader = new BacklogReader({
      files,
      queue: this.#queue,
      room: this.#room,
      settled: { lowest: state.lowest, above },
      keys: this.#options.keys,
      onCorruption: this.#options.onCorruption,
      lost: (events) => this.#lost(events),
    });
    await this.#reader.peek();
    this.#isOpen = true;
    this.#refill();
  }

  /** Ends every wait with nothing; resolves when nothing is read any more. What is lent stays so. */
  async close(): Promise<void> {
    this.#isOpen = false;
    this.#takers.end(() => []);
    await this.#refilling;
  }

  clear(): void {
    this.#queue.clear();
  }

  /** Throws why nothing can be taken any more. */
  async begin(
    max: number,
    { transactionCapacity, keepAliveMs }: TakeLimits,
    signal: AbortSignal | undefined,
  ): Promise<TakeTransaction> {
    const failure = this.#log?.writer.failure ?? (this.#canTake() ? undefined : this.#corrupt);
    if (failure !== undefined) {
      this.#errors++;
      throw failure;
    }
    // With no time at all it would have left the line before it is served.
    const waitMs = Math.max(1, keepAliveMs);
    const most = Math.min(max, transactionCapacity);
    const waiting = this.#takers.wait(most, waitMs, signal, () => []);
    this.serve();
    const pieces = await waiting;
    const count = pieces.reduce((sum, { batch }) => sum + batch.length, 0);
    // Flume counts each call, also the one that finds nothing.
    this.#context.counters.EventTakeAttemptCount += Math.max(1, count);
    return new LentTake(joinPieces(pieces), (settled) => this.#settle(pieces, settled));
  }

  /** A put that may be taken from now on. */
  stored({ batch, run, sequence, putTimeMs, segment, offset, groupEnd }: StoredPut): void {
    this.#size += batch.length;
    const roomBytes = roomBytesOf(batch.byteLength);
    this.#queue.append(
      { batch, run, sequence, roomBytes, putTimeMs },
      { segment, offset, end: groupEnd },
    );
    this.serve();
  }

  /** Gives those who wait what there is, and reads on. */
  serve(): void {
    this.#takers.serve((max) => {
      if (!this.#canTake()) return undefined;
      const pieces = this.#queue.take(max);
      const last = pieces.at(-1);
      if (last === undefined) return undefined;
      this.#lent.add(pieces);
      this.#lentBelow = Math.max(this.#lentBelow, rangeOf(last).end);
      return pieces;
    });
    this.#refill();
  }

  /** Ends every wait with this error. */
  fail(error: MillraceError): void {
    this.#takers.end(() => {
      throw error;
    });
  }

  oldestAgeSeconds(): number {
    const { first, firstStretch } = this.#queue;
    let oldest = first?.putTimeMs ?? firstStretch?.putTimeMs ?? Infinity;
    for (const pieces of this.#lent) oldest = Math.min(oldest, pieces[0]?.putTimeMs ?? Infinity);
    const now = this.#context.runtime.clock.now();
    return oldest === Infinity ? 0 : Math.max(0, (now - oldest) / 1000);
  }

  #canTake(): boolean {
    const first = this.#queue.first;
    if (first === undefined || !this.#isOpen) return false;
    if (first.sequence < this.#lentBelow) return true;
    const ranges = this.#log?.state.acknowledged.ranges.length ?? 0;
    return ranges + (this.#log?.writer.unwrittenAcks.length ?? 0) <= ackRangesMax;
  }

  #refill(): void {
    const { unreadBytes, firstStretch } = this.#queue;
    if (firstStretch === undefined || unreadBytes >= readAheadBytes) return;
    if (this.#refilling !== undefined || this.#corrupt !== undefined) return;
    if (!this.#isOpen || this.#reader === undefined) return;
    this.#refilling = this.#reader
      .refill()
      .catch((error: unknown) => this.#readFailed(toMillraceError(error, "CHANNEL_CORRUPT")))
      .then(() => {
        this.#refilling = undefined;
        this.serve();
      });
  }

  #readFailed(error: MillraceError): void {
    this.#corrupt = error;
    this.#metrics.errors.corrupt.value++;
    this.#context.log.error(error.message, { code: error.code, ...error.context });
    this.serve();
    if (!this.#canTake()) this.fail(error);
  }

  #lost({ first, end, unsettled, error, kept }: LostEvents): void {
    const { log } = this.#context;
    const where =
      "path" in kept
        ? `set aside in ${kept.path}`
        : `could not even be set aside (${kept.failure})`;
    log.error(`${unsettled} events are lost and ${where}: ${error.message}`, error.context);
    this.#metrics.errors.corrupt.value++;
    this.#metrics.corruptDiscarded.value += unsettled;
    this.#errors++;
    this.#size -= unsettled;
    this.#room.release(unsettled, 0);
    this.#log?.state.discard({ first, end });
    this.#log?.writer.acknowledge(first, end);
  }

  /** Settles those positions of the pieces and returns the rest to its place. Never throws. */
  #settle(pieces: readonly Piece[], settled: Ranges): void {
    this.#lent.delete(pieces);
    if (!this.#isOpen) return;
    let events = 0;
    let roomBytes = 0;
    let base = 0;
    for (const piece of pieces) {
      const end = base + piece.batch.length;
      this.#queue.forget(piece);
      for (const { part, isSettled } of splitPiece(piece, base, settled)) {
        if (!isSettled) {
          this.#queue.putBack(part);
          continue;
        }
        events += part.batch.length;
        roomBytes += part.roomBytes;
        const { first, end: endSequence } = rangeOf(part);
        this.#log?.writer.acknowledge(first, endSequence);
      }
      base = end;
    }
    this.#size -= events;
    this.#context.counters.EventTakeSuccessCount += events;
    this.#metrics.taken.value += events;
    this.#room.release(events, roomBytes);
    this.serve();
  }
}
