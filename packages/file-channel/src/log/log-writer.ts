import {
  type Clock,
  type EventBatch,
  type Log,
  MillraceError,
  type SequenceRange,
  SequenceSet,
  type Timer,
  toMillraceError,
} from "@millrace/core";
import { recordFlag } from "../format/record.ts";
import type { ActiveSegment, Placed } from "./active-segment.ts";
import { groupRecords } from "./group-records.ts";
import type { LogState } from "./log-state.ts";
import type { Segment } from "./segment.ts";
import { SyncError } from "./sync-error.ts";
import { writeError } from "./write-segment.ts";

export interface WriterOptions {
  readonly groupBytesMax: number;
  readonly ackSyncMs: number;
  readonly fsyncPerTransaction: boolean;
  readonly fsyncIntervalMs: number;
}

/** A put that is stored, as safely as the options say: it may be taken now. */
export interface StoredPut {
  readonly batch: EventBatch;
  readonly run: string;
  readonly sequence: number;
  readonly putTimeMs: number;
  readonly segment: Segment;
  readonly offset: number;
  /** Behind its group. */
  readonly groupEnd: number;
}

export interface WriterEvents {
  /** In the order of the commits, before each resolves. */
  stored(put: StoredPut): void;
  /** Acknowledgements are synced: fewer ranges have to be remembered. */
  acknowledged(): void;
  /** Once: the channel is FAILED. */
  failed(error: MillraceError): void;
  /** A write failed and was answered: "put" or "ack". */
  writeFailed(kind: "put" | "ack"): void;
}

interface WaitingPut {
  readonly batch: EventBatch;
  readonly bytes: number;
  readonly putTimeMs: number;
  resolve(): void;
  reject(error: MillraceError): void;
}

const ackRetryMs = 1000;
const freeableMax = 4;

/**
 * Group commit. Everything that waits is written as one group and synced once; the next group is
 * written only after that sync has returned, so at most one is in doubt after a crash.
 *
 *   commit() ─► waiting ─┐
 *                        ├─► write ─► fdatasync ─► visible to takers ─► commits resolve
 *   settled ─► one ACK ──┘
 */
export class LogWriter {
  readonly #options: WriterOptions;
  readonly #active: ActiveSegment;
  readonly #state: LogState;
  readonly #events: WriterEvents;
  readonly #clock: Clock;
  readonly #log: Log;
  #waiting: WaitingPut[] = [];
  readonly #acks = new SequenceSet();
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #idleDue = false;
  /** The last group held a put and nothing behind it proves that it was stored. */
  #unproven = false;
  #pressed = false;
  #acksFailing = false;
  #closing = false;
  #failure: MillraceError | undefined;

  constructor(
    options: WriterOptions,
    parts: { active: ActiveSegment; state: LogState; clock: Clock; log: Log },
    events: WriterEvents,
  ) {
    this.#options = options;
    this.#active = parts.active;
    this.#state = parts.state;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#events = events;
  }

  get failure(): MillraceError | undefined {
    return this.#failure;
  }

  /** Settled events whose acknowledgement is not written: a crash now would deliver them again. */
  get unwrittenAcks(): readonly SequenceRange[] {
    return this.#acks.ranges;
  }

  /** Resolves when the batch is stored and can be taken. */
  put(batch: EventBatch, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.push({
        batch,
        bytes,
        putTimeMs: Math.max(0, this.#clock.now()),
        resolve,
        reject,
      });
      this.#run();
    });
  }

  /** Notes `[first, end)` as settled; written with the next group, or soon on its own. */
  acknowledge(first: number, end: number): void {
    this.#acks.add(first, end);
    if (this.#running === undefined) this.#schedule(this.#options.ackSyncMs);
  }

  /** Disk is short: free what can be freed even where that costs a new segment. */
  press(): void {
    this.#pressed = true;
    if (this.#running === undefined) this.#schedule(this.#options.ackSyncMs);
  }

  /** Writes at once what would wait for the idle timer. */
  flush(): Promise<void> {
    this.#idleDue = true;
    this.#run();
    return this.#running ?? Promise.resolve();
  }

  /**
   * Writes the last acknowledgements and a mark that says so (F6), and closes the files. Puts that
   * wait are written before. Never rejects.
   */
  async close(): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    await this.#running;
    try {
      while (this.#waiting.length > 0) await this.#commitNext();
      if (this.#failure === undefined) {
        if (!this.#acks.isEmpty) await this.#writeGroup([], 0);
        await this.#writeGroup([], recordFlag.clean);
      }
    } catch (error) {
      if (isFatal(error)) this.#fail(error);
      this.#log.warn("the channel closed without its last mark; the next start reads more", {
        error: String(error),
      });
    }
    await this.#active.close().catch((error: unknown) => {
      this.#log.warn("a segment could not be closed", { error: String(error) });
    });
  }

  #run(): void {
    if (this.#running !== undefined || this.#closing || this.#failure !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    // One turn later: what is committed in this turn goes into the same group.
    this.#running = Promise.resolve().then(() => this.#drain());
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#commitNext();
      if (this.#idleDue) await this.#idle();
      await this.#freeByRolling();
    } catch (error) {
      this.#fail(error);
    }
    this.#idleDue = false;
    this.#running = undefined;
    if (this.#waiting.length > 0) this.#run();
    else if (!this.#acks.isEmpty || this.#unproven || this.#active.isDirty) {
      this.#schedule(this.#acksFailing ? ackRetryMs : this.#idleMs());
    }
  }

  #idleMs(): number {
    const { fsyncPerTransaction, fsyncIntervalMs, ackSyncMs } = this.#options;
    return fsyncPerTransaction ? ackSyncMs : fsyncIntervalMs;
  }

  #schedule(ms: number): void {
    if (this.#timer !== undefined || this.#closing || this.#failure !== undefined) return;
    this.#timer = this.#clock.setTimer(ms, () => {
      this.#timer = undefined;
      void this.flush();
    });
  }

  async #commitNext(): Promise<void> {
    const puts = this.#nextPuts();
    try {
      await this.#writeGroup(puts, 0);
      for (const put of puts) put.resolve();
    } catch (error) {
      if (isFatal(error)) {
        this.#waiting = [...puts, ...this.#waiting];
        throw error;
      }
      this.#pressed = true;
      this.#events.writeFailed("put");
      for (const put of puts) put.reject(writeError(error, "the batch"));
    }
  }

  /** What is settled is acknowledged; a put with nothing behind it gets a mark. Once. */
  async #idle(): Promise<void> {
    if (this.#acks.isEmpty && !this.#unproven) {
      if (this.#active.isDirty) await this.#sync([]);
      return;
    }
    try {
      await this.#writeGroup([], 0);
      this.#acksFailing = false;
    } catch (error) {
      if (isFatal(error)) throw error;
      this.#events.writeFailed("ack");
      if (!this.#acksFailing) {
        const count = this.#acks.ranges.reduce((sum, { first, end }) => sum + end - first, 0);
        this.#log.warn(
          `acknowledgements cannot be written; ${count} events that were delivered would be delivered again after a crash`,
          { error: String(error) },
        );
      }
      this.#acksFailing = true;
      this.#pressed = true;
    }
  }

  /** A new snapshot lets drained segments go. It costs a segment, so not for one, unless pressed. */
  async #freeByRolling(): Promise<void> {
    const { freeable, isSpent } = this.#active;
    const worth = freeable >= freeableMax || (this.#idleDue && freeable > 0);
    if (!worth && !(this.#pressed && (freeable > 0 || isSpent))) return;
    this.#pressed = false;
    try {
      await this.#active.roll();
      await this.#writeGroup([], 0);
    } catch (error) {
      if (isFatal(error)) throw error;
      this.#log.warn("drained segments could not be freed yet", { error: String(error) });
    }
  }

  /** One group of puts, acknowledgements, or a mark. What could not be written stays as it was. */
  async #writeGroup(puts: readonly WaitingPut[], markFlags: number): Promise<void> {
    const acks = this.#acks.takeAll();
    const discarded = this.#state.discardedIn(acks);
    const next = this.#state.nextSequence;
    const { records, sequences } = groupRecords(puts, acks, next, markFlags, discarded);
    let placed: Placed;
    try {
      // Where syncs were left out: what is written behind this one proves all before it.
      if (puts.length === 0 && this.#active.isDirty) await this.#active.sync([]);
      placed = await this.#active.write(records, puts.length > 0);
      if (this.#options.fsyncPerTransaction || puts.length === 0) await this.#active.sync(acks);
      else this.#active.defer(acks);
    } catch (error) {
      this.#acks.addAll(acks);
      throw error;
    }
    puts.forEach((put, index) => {
      this.#state.put(placed.segment, put.batch.length);
      this.#events.stored({
        batch: put.batch,
        run: placed.segment.header.run,
        sequence: sequences[index] as number,
        putTimeMs: put.putTimeMs,
        segment: placed.segment,
        offset: placed.offsets[index] as number,
        groupEnd: placed.end,
      });
    });
    this.#unproven = puts.length > 0;
    if (!this.#active.isDirty) await this.#active.tidy();
    if (acks.length > 0) this.#events.acknowledged();
  }

  async #sync(acks: readonly SequenceRange[]): Promise<void> {
    await this.#active.sync(acks);
    await this.#active.tidy();
  }

  #nextPuts(): WaitingPut[] {
    let bytes = 0;
    let count = 0;
    for (const put of this.#waiting) {
      if (count > 0 && bytes + put.bytes > this.#options.groupBytesMax) break;
      bytes += put.bytes;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  #fail(error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error);
    this.#failure =
      error instanceof MillraceError
        ? error
        : new MillraceError(
            "CHANNEL_FAILED",
            `${detail}; whether the last batches are stored is unknown, so nothing more is written until a restart has read the disk`,
            { cause: error },
          );
    this.#timer?.cancel();
    for (const put of this.#waiting) put.reject(this.#failure);
    this.#waiting = [];
    this.#events.failed(toMillraceError(this.#failure));
  }
}

function isFatal(error: unknown): boolean {
  if (error instanceof MillraceError) return error.answer === "fatal";
  return error instanceof SyncError;
}
