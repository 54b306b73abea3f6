import { MillraceError, SequenceSet } from "@millrace/core";
import {
  type Clock,
  EventBatch,
  jitter,
  type Log,
  type Random,
  sleep,
  type Timer,
  toMillraceError,
} from "@millrace/core";
import type { EventStore, StoreChange, StoreState } from "./event-store.ts";
import type { JdbcChannelMetrics } from "./channel-metrics.ts";
import { isPassing, openPatiently } from "./open-patiently.ts";
import type { Piece } from "./queue/piece.ts";

export interface WriterOptions {
  /** The channel's, for messages. */
  readonly name: string;
  readonly store: EventStore;
  /** How long settled rows may stay when no put comes. */
  readonly ackMs: number;
  /** How long an opening waits for a lock or for a database that does not answer. */
  readonly openWaitMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: JdbcChannelMetrics;
}

export interface WriterHooks {
  /** The events are stored; called in their order, before their put resolves. */
  stored(piece: Piece): void;
  /** The database is there again. */
  reopened(): void;
  /** Told once: nothing will be stored any more. */
  failed(error: MillraceError): void;
}

interface WaitingPut {
  readonly batch: EventBatch;
  resolve(): void;
  reject(error: MillraceError): void;
}

/** Event bytes of one transaction at most, unless one put alone is larger. */
const groupBytesMax = 16 * 1024 * 1024;
const backoffMs = { first: 100, max: 5000 };

/**
 * Turns puts and settlements into changes of the database, one at a time: all puts that wait, and
 * the removal of all rows that are settled, are one transaction.
 *
 *   open ──database out of reach──> lost ──opened again──> open
 *     │                              │
 *     └──────── fatal error ─────────┴──> failed
 *
 * A put whose transaction may or may not be stored when the database is lost is told so and is tried
 * again by its sender; should its rows be there afterwards, they are removed before anything else.
 */
export class StoreWriter {
  readonly #options: WriterOptions;
  readonly #hooks: WriterHooks;
  readonly #closing = new AbortController();
  #phase: "new" | "open" | "lost" | "failed" = "new";
  #trouble: MillraceError | undefined;
  #next = 0;
  /** Stored events that are not settled. */
  #live = { events: 0, bytes: 0 };
  /** What the database says where a change was stored that we were not told of. */
  #inDoubt: StoreState[] = [];
  #puts: WaitingPut[] = [];
  #removed = new SequenceSet();
  #isDue = false;
  /** A change with puts failed: the next one only removes, which may be possible all the same. */
  #removesFirst = false;
  #removalFails = false;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #reopening: Promise<void> | undefined;

  constructor(options: WriterOptions, hooks: WriterHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** All stored events have lower sequences. */
  get nextSequence(): number {
    return this.#next;
  }

  /** Bytes of the stored events that are not settled. */
  get liveBytes(): number {
    return this.#live.bytes;
  }

  /** Settled events whose rows are still there: after a crash they are delivered again. */
  get settledCount(): number {
    return this.#removed.count;
  }

  /** Why nothing can be stored now. */
  get trouble(): MillraceError | undefined {
    return this.#trouble;
  }

  async open(aborted: AbortSignal): Promise<StoreState> {
    const { store, clock, random, openWaitMs, log } = this.#options;
    const lost = (error: MillraceError): void => this.lost(error);
    const state = await openPatiently(store, lost, { clock, random, openWaitMs, log, aborted });
    this.#next = state.nextSequence;
    this.#live = { events: state.events, bytes: state.bytes };
    this.#phase = "open";
    return state;
  }

  /** Resolves when the batch is stored; any error is one to retry, or the end of the channel. */
  put(batch: EventBatch): Promise<void> {
    if (this.#trouble !== undefined) return Promise.reject(this.#trouble);
    return new Promise((resolve, reject) => {
      this.#puts.push({ batch, resolve, reject });
      this.#kick();
    });
  }

  /** The events are settled: their rows go with the next change, soon. */
  forget({ sequence, batch }: Piece): void {
    this.#live.events -= batch.length;
    this.#live.bytes -= batch.byteLength;
    this.#noBytesWithoutEvents();
    this.#removed.add(sequence, sequence + batch.length);
    this.#armTimer(this.#options.ackMs);
  }

  /** So many rows are not there although nobody here removed them. */
  rowsMissing(count: number): void {
    this.#live.events -= count;
    this.#noBytesWithoutEvents();
  }

  /** How large missing rows were is known once nothing else is left. */
  #noBytesWithoutEvents(): void {
    if (this.#live.events === 0) this.#live.bytes = 0;
  }

  /** The database is out of reach, as a reader or the connection itself has noticed. */
  lost(error: MillraceError): void {
    if (this.#phase !== "open") return;
    const { log, store, metrics } = this.#options;
    this.#phase = "lost";
    this.#trouble = error;
    metrics.errors.lost.value++;
    this.#rejectPuts(error);
    if (this.#closing.signal.aborted) return;
    log.warn(`${store.place} is out of reach, puts are refused meanwhile: ${error.message}`);
    this.#reopening = this.#reopen();
  }

  /** Stores what waits and lets go of the rows. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#timer?.cancel();
    await this.#reopening;
    this.#isDue = true;
    this.#kick();
    await this.#running;
    const left = this.settledCount;
    if (left > 0) {
      this.#options.log.warn(
        `${left} delivered events could not be deleted from ${this.#options.store.place}: they are delivered again at the next start`,
      );
    }
    await this.#options.store.close();
  }

  #kick(): void {
    if (this.#running !== undefined || this.#phase !== "open") return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#puts.length > 0) this.#kick();
    });
  }

  async #run(): Promise<void> {
    while (this.#phase === "open") {
      const puts = this.#removesFirst ? [] : this.#takePuts();
      const hasWork = puts.length > 0 || (!this.#removed.isEmpty && this.#isDue);
      this.#removesFirst = false;
      if (!hasWork) {
        if (this.#puts.length > 0) continue;
        return;
      }
      await this.#write(puts);
    }
  }

  async #write(puts: readonly WaitingPut[]): Promise<void> {
    const { clock } = this.#options;
    const batch = EventBatch.join(puts.map((put) => put.batch));
    const removed = this.#removed.takeAll();
    const putTimeMs = clock.now();
    const firstSequence = this.#next;
    const change: StoreChange = {
      removed,
      added: puts.length === 0 ? undefined : { firstSequence, batch, putTimeMs },
      after: {
        nextSequence: firstSequence + batch.length,
        events: this.#live.events + batch.length,
        bytes: this.#live.bytes + batch.byteLength,
      },
    };
    this.#isDue = this.#closing.signal.aborted;
    this.#timer?.cancel();
    this.#timer = undefined;
    try {
      await this.#store(change);
    } catch (thrown) {
      this.#removed.addAll(removed);
      this.#notWritten(toMillraceError(thrown, "DATABASE_FAILED"), puts, removed.length > 0);
      return;
    }
    this.#removalWorks();
    this.#next += batch.length;
    this.#live.events += batch.length;
    this.#live.bytes += batch.byteLength;
    let sequence = firstSequence;
    for (const put of puts) {
      this.#hooks.stored({ sequence, batch: put.batch, putTimeMs });
      sequence += put.batch.length;
      put.resolve();
    }
    if (!this.#removed.isEmpty) this.#armTimer(this.#options.ackMs);
  }

  async #store(change: StoreChange): Promise<void> {
    this.#inDoubt.push(change.after);
    try {
      await this.#options.store.write(change);
      this.#inDoubt = [];
    } catch (thrown) {
      const error = toMillraceError(thrown, "DATABASE_FAILED");
      if (error.code !== "DATABASE_UNAVAILABLE") this.#inDoubt.pop();
      throw error;
    }
  }

  #notWritten(error: MillraceError, puts: readonly WaitingPut[], removes: boolean): void {
    const { log, metrics, store } = this.#options;
    for (const put of puts) put.reject(error);
    if (puts.length > 0) metrics.errors.write.value++;
    if (error.code === "DATABASE_UNAVAILABLE") return this.lost(error);
    if (error.answer === "fatal") return this.#fail(error);
    if (puts.length > 0 && removes) {
      this.#removesFirst = true;
      this.#isDue = true;
    } else if (puts.length === 0) {
      metrics.errors.forget.value++;
      if (!this.#removalFails) {
        log.warn(
          `${this.settledCount} delivered events cannot be deleted from ${store.place} now; if the agent dies before they are, they are delivered again: ${error.message}`,
        );
      }
      this.#removalFails = true;
      this.#isDue = false;
      this.#armTimer(backoffMs.max);
    }
  }

  #removalWorks(): void {
    if (!this.#removalFails) return;
    this.#removalFails = false;
    this.#options.log.info(`delivered events are deleted from ${this.#options.store.place} again`);
  }

  #takePuts(): WaitingPut[] {
    let bytes = 0;
    let count = 0;
    for (const { batch } of this.#puts) {
      bytes += batch.byteLength;
      if (count > 0 && bytes > groupBytesMax) break;
      count++;
    }
    return this.#puts.splice(0, count);
  }

  #rejectPuts(error: MillraceError): void {
    for (const put of this.#puts.splice(0)) put.reject(error);
  }

  #armTimer(ms: number): void {
    if (this.#timer !== undefined || this.#closing.signal.aborted) return;
    this.#timer = this.#options.clock.setTimer(ms, () => {
      this.#timer = undefined;
      this.#isDue = true;
      this.#kick();
    });
  }

  #fail(error: MillraceError): void {
    this.#phase = "failed";
    this.#trouble = error;
    this.#rejectPuts(error);
    this.#hooks.failed(error);
  }

  async #reopen(): Promise<void> {
    const { clock, random, log, store, openWaitMs } = this.#options;
    const began = clock.monotonic();
    let waitMs = backoffMs.first;
    for (;;) {
      await sleep(clock, jitter(random, waitMs), this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      waitMs = Math.min(waitMs * 2, backoffMs.max);
      try {
        const state = await store.open((error) => this.lost(error));
        await this.#undo(state);
      } catch (thrown) {
        const error = toMillraceError(thrown, "DATABASE_FAILED");
        this.#trouble = error;
        const isOver = clock.monotonic() - began >= openWaitMs;
        if (error.answer === "fatal" && (isOver || !isPassing(error))) return this.#fail(error);
        continue;
      }
      this.#phase = "open";
      this.#trouble = undefined;
      log.info(`${store.place} is there again`);
      this.#hooks.reopened();
      this.#kick();
      return;
    }
  }

  /** Removes what was stored of puts that were told they failed, and all that is settled. */
  async #undo(state: StoreState): Promise<void> {
    const { store, log } = this.#options;
    if (state.nextSequence < this.#next) {
      log.error(
        `${store.place} has forgotten stored events: it knows sequences below ${state.nextSequence}, ${this.#next} were used. Was it restored from a copy?`,
      );
    }
    this.#assertOurs(state);
    this.#inDoubt = [state];
    const nextSequence = Math.max(state.nextSequence, this.#next);
    const settled = this.#removed.takeAll();
    const removed = new SequenceSet();
    removed.addAll(settled);
    removed.add(this.#next, nextSequence);
    try {
      const after = { nextSequence, ...this.#live };
      await this.#store({ removed: removed.takeAll(), added: undefined, after });
    } catch (error) {
      this.#removed.addAll(settled);
      throw error;
    }
    this.#next = nextSequence;
  }

  /**
   * Throws CHANNEL_FAILED where sequences were used that none of our puts can have: a store that
   * does not keep an owner may have had another while it was out of reach.
   */
  #assertOurs(state: StoreState): void {
    const { nextSequence, events, bytes } = state;
    const isOurs = this.#inDoubt.some(
      (after) =>
        after.nextSequence === nextSequence && after.events === events && after.bytes === bytes,
    );
    if (nextSequence <= this.#next || isOurs) return;
    throw new MillraceError(
      "CHANNEL_FAILED",
      `another agent has put events into ${this.#options.store.place} while it was out of reach: what this one knows of it is out of date; see that only one runs, and restart it`,
    );
  }
}
