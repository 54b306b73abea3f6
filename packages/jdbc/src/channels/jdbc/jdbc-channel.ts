import {
  type Channel,
  type ChannelContext,
  EventBatch,
  HeldPut,
  LentTake,
  MillraceError,
  type PutTransaction,
  type Ranges,
  settledBy,
  type TakeTransaction,
  type Timer,
  toMillraceError,
  WaitingLine,
} from "@millrace/core";
import { declareMetrics, type JdbcChannelMetrics } from "./channel-metrics.ts";
import type { EventStore } from "./event-store.ts";
import { EventQueue } from "./queue/event-queue.ts";
import { endOf, type Piece, splitPiece } from "./queue/piece.ts";
import { Room } from "./queue/room.ts";
import { StoreWriter } from "./store-writer.ts";

export interface JdbcChannelOptions {
  /** Events held at most, open puts included; Infinity for no limit. */
  readonly capacity: number;
  readonly transactionCapacity: number;
  readonly keepAliveMs: number;
  /** Stored events kept in memory beside the database; the rest is read when it is taken. */
  readonly memoryBytes: number;
  readonly ackMs: number;
  readonly openWaitMs: number;
}

/** Event bytes of one transaction at most. */
const transactionBytesMax = 64 * 1024 * 1024;
const readEventsMax = 2000;
const readBytesMax = 1024 * 1024;
const readAgainMs = 1000;
const closeGraceMs = 5000;

/** Makes a channel over the rows of a store; opens nothing before `start`. */
export function createJdbcChannel(
  options: JdbcChannelOptions,
  store: EventStore,
  context: ChannelContext,
): Channel {
  return new JdbcChannel(options, store, context);
}

/**
 *   memory    lent | may be taken, lowest sequence first |
 *   database  settled, not yet deleted | the same rows   | unread rows |
 *
 * What is put stays in memory while there is room and nothing unread lies before it. Order is the
 * order of sequences, which is the order of commits.
 */
class JdbcChannel implements Channel {
  readonly durable = true;
  readonly #options: JdbcChannelOptions;
  readonly #store: EventStore;
  readonly #context: ChannelContext;
  readonly #metrics: JdbcChannelMetrics;
  readonly #queue = new EventQueue();
  readonly #lent = new Set<readonly Piece[]>();
  readonly #takers: WaitingLine<number, readonly Piece[]>;
  #room: Room;
  #writer: StoreWriter;
  #size = 0;
  /** Stored rows that are not in memory: so many, of this sequence and above. */
  #unread = { from: 0, count: 0 };
  #reading: Promise<void> | undefined;
  #corrupt: MillraceError | undefined;
  #phase: "closed" | "starting" | "open" | "stopping" = "closed";
  #startAborted = new AbortController();
  #starting: Promise<void> | undefined;
  #readAgain: Timer | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: JdbcChannelOptions, store: EventStore, context: ChannelContext) {
    this.#options = options;
    this.#store = store;
    this.#context = context;
    this.#metrics = declareMetrics(context.metrics, {
      events: () => this.#size,
      bytes: () => this.#writer.liveBytes,
      capacityBytes: () => undefined,
      oldestAgeSeconds: () => this.#oldestAgeSeconds(),
      settledRows: () => this.#writer.settledCount,
    });
    this.#takers = new WaitingLine(context.runtime.clock);
    this.#room = this.#makeRoom();
    this.#writer = this.#makeWriter();
  }

  get name(): string {
    return this.#context.name;
  }

  get size(): number {
    return this.#size;
  }

  get trouble(): MillraceError | undefined {
    return this.#phase === "open" ? (this.#writer.trouble ?? this.#corrupt) : undefined;
  }

  readCounters(): Record<string, number | boolean> {
    const { capacity } = this.#options;
    if (capacity === Infinity) return {};
    return {
      ChannelCapacity: capacity,
      ChannelFillPercentage: (this.#size / capacity) * 100,
    };
  }

  async start(aborted: AbortSignal): Promise<void> {
    const given = (this.#startAborted = new AbortController());
    const abort = (): void => given.abort();
    aborted.addEventListener("abort", abort);
    if (aborted.aborted) abort();
    this.#starting = this.#start(given.signal);
    await this.#starting.finally(() => aborted.removeEventListener("abort", abort));
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop();
    const { clock } = this.#context.runtime;
    if (await settledBy(this.#stopping, deadline, clock, closeGraceMs)) return;
    this.#store.abandon();
    await this.#stopping;
  }

  async beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    this.#assertUsable();
    this.#context.counters.EventPutAttemptCount += batch.length;
    this.#assertFits(batch);
    const room = this.#room;
    await room.reserve(batch.length, signal);
    const release = (): void => room.release(batch.length);
    try {
      this.#assertUsable();
    } catch (error) {
      release();
      throw error;
    }
    return new HeldPut(async () => {
      try {
        this.#assertUsable();
        if (batch.length > 0) await this.#writer.put(batch);
      } catch (error) {
        release();
        throw error;
      }
    }, release);
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    if (this.#phase !== "open") return new LentTake(EventBatch.empty, () => undefined);
    const failure = this.#takeFailure();
    if (failure !== undefined) throw failure;
    const pieces = await this.#lend(Math.min(max, this.#options.transactionCapacity), signal);
    const count = pieces.reduce((sum, { batch }) => sum + batch.length, 0);
    // Flume counts each call, also the one that finds nothing.
    this.#context.counters.EventTakeAttemptCount += Math.max(1, count);
    const batch = EventBatch.join(pieces.map((piece) => piece.batch));
    return new LentTake(batch, (settled) => this.#settle(pieces, settled));
  }

  #makeRoom(): Room {
    const { capacity, keepAliveMs } = this.#options;
    return new Room(this.name, capacity, keepAliveMs, this.#context.runtime.clock);
  }

  #makeWriter(): StoreWriter {
    const { ackMs, openWaitMs } = this.#options;
    const { clock, random } = this.#context.runtime;
    return new StoreWriter(
      {
        ...{ name: this.name, store: this.#store, ackMs, openWaitMs, clock, random },
        log: this.#context.log,
        metrics: this.#metrics,
      },
      {
        stored: (piece) => this.#stored(piece),
        reopened: () => this.#refill(),
        failed: (error) => this.#failed(error),
      },
    );
  }

  async #start(aborted: AbortSignal): Promise<void> {
    this.#stopping = undefined;
    this.#corrupt = undefined;
    this.#phase = "starting";
    this.#room = this.#makeRoom();
    this.#writer = this.#makeWriter();
    const state = await this.#writer.open(aborted);
    if (this.#phase !== "starting") {
      throw new MillraceError("START_ABORTED", `${this.name} was stopped while it started`);
    }
    this.#size = state.events;
    this.#room.occupy(state.events);
    this.#unread = { from: 0, count: state.events };
    this.#phase = "open";
    if (state.events > 0) {
      this.#context.log.info(`${state.events} events are waiting in ${this.#store.place}`);
    }
    this.#refill();
  }

  async #stop(): Promise<void> {
    this.#phase = "stopping";
    this.#room.refuseAll(this.#closed());
    this.#takers.end(() => []);
    this.#startAborted.abort();
    this.#readAgain?.cancel();
    await this.#starting?.catch(() => undefined);
    await this.#writer.close();
    await this.#reading;
    this.#queue.clear();
    this.#lent.clear();
    this.#size = 0;
    this.#phase = "closed";
  }

  #stored(piece: Piece): void {
    const { length } = piece.batch;
    this.#size += length;
    this.#context.counters.EventPutSuccessCount += length;
    const fits = this.#queue.heldBytes + piece.batch.heldBytes <= this.#options.memoryBytes;
    if (this.#unread.count === 0 && fits) this.#queue.append(piece);
    else {
      if (this.#unread.count === 0) this.#unread.from = piece.sequence;
      this.#unread.count += length;
    }
    this.#serve();
  }

  #lend(max: number, signal: AbortSignal | undefined): Promise<readonly Piece[]> {
    const isFree = this.#takers.isEmpty && signal?.aborted !== true;
    const pieces = isFree ? this.#take(max) : undefined;
    this.#refill();
    return pieces === undefined
      ? this.#takers.wait(max, this.#options.keepAliveMs, signal, () => [])
      : Promise.resolve(pieces);
  }

  #take(max: number): readonly Piece[] | undefined {
    const pieces = this.#queue.take(max);
    if (pieces.length === 0) return undefined;
    this.#lent.add(pieces);
    return pieces;
  }

  #serve(): void {
    this.#takers.serve((max) => this.#take(max));
    this.#refill();
  }

  /** Reads ahead of the takers, one read at a time. */
  #refill(): void {
    if (this.#unread.count === 0 || this.#queue.unreadBytes >= readBytesMax) return;
    if (this.#reading !== undefined || this.#corrupt !== undefined) return;
    if (this.#phase !== "open" || this.#writer.trouble !== undefined) return;
    this.#reading = this.#read()
      .then(() => true)
      .catch((thrown: unknown) => this.#readFailed(toMillraceError(thrown, "DATABASE_FAILED")))
      .then((goesOn) => {
        this.#reading = undefined;
        if (goesOn) this.#serve();
      });
  }

  async #read(): Promise<void> {
    const { from, count } = this.#unread;
    const below = this.#writer.nextSequence;
    const limits = { eventsMax: readEventsMax, bytesMax: readBytesMax };
    const found = await this.#store.read({ from, below, ...limits });
    const last = found.at(-1);
    if (last === undefined) return this.#rowsMissing(count, below);
    for (const piece of found) {
      this.#queue.append(piece);
      this.#unread.count -= piece.batch.length;
    }
    this.#unread.from = endOf(last);
  }

  /** Rows that were stored are gone, and not by this channel. */
  #rowsMissing(count: number, below: number): void {
    this.#context.log.error(
      `${count} events of ${this.name} are not in ${this.#store.place} any more: someone else has deleted them`,
    );
    this.#metrics.missing.value += count;
    this.#size -= count;
    this.#unread.count -= count;
    this.#unread.from = below;
    this.#writer.rowsMissing(count);
    this.#room.release(count);
  }

  /** Whether to try again at once. */
  #readFailed(error: MillraceError): boolean {
    if (error.code === "DATABASE_UNAVAILABLE") {
      this.#writer.lost(error);
      return false;
    }
    if (error.code !== "CHANNEL_CORRUPT") {
      this.#context.log.warn(`${this.name} cannot read what it holds: ${error.message}`);
      const again = (): void => this.#refill();
      this.#readAgain = this.#context.runtime.clock.setTimer(readAgainMs, again);
      return false;
    }
    this.#metrics.errors.corrupt.value++;
    this.#context.log.error(error.message, { code: error.code, ...error.context });
    this.#corrupt = error;
    const failure = this.#takeFailure();
    if (failure !== undefined) this.#takers.end(() => { throw failure; }); // prettier-ignore
    return false;
  }

  /** Why nothing can be taken, also not what is in memory. */
  #takeFailure(): MillraceError | undefined {
    if (this.#writer.trouble?.answer === "fatal") return this.#writer.trouble;
    return this.#queue.first === undefined ? this.#corrupt : undefined;
  }

  /** Settles those positions and returns the rest to its places. Never throws. */
  #settle(pieces: readonly Piece[], settled: Ranges): void {
    // After a stop the rows are as they were.
    if (!this.#lent.delete(pieces)) return;
    let count = 0;
    let base = 0;
    for (const piece of pieces) {
      this.#queue.forget(piece);
      for (const { part, isSettled } of splitPiece(piece, base, settled)) {
        if (!isSettled) {
          this.#queue.putBack(part);
          continue;
        }
        count += part.batch.length;
        this.#writer.forget(part);
      }
      base += piece.batch.length;
    }
    this.#size -= count;
    this.#context.counters.EventTakeSuccessCount += count;
    this.#metrics.taken.value += count;
    this.#room.release(count);
    this.#serve();
  }

  #failed(error: MillraceError): void {
    this.#context.log.error(error.message, { code: error.code });
    this.#room.refuseAll(error);
    this.#takers.end(() => { throw error; }); // prettier-ignore
  }

  #assertUsable(): void {
    if (this.#phase !== "open") throw this.#closed();
    if (this.#writer.trouble !== undefined) throw this.#writer.trouble;
  }

  #assertFits(batch: EventBatch): void {
    const eventsMax = Math.min(this.#options.transactionCapacity, this.#options.capacity);
    const bytes = batch.byteLength;
    if (batch.length <= eventsMax && bytes <= transactionBytesMax) return;
    throw new MillraceError(
      "TRANSACTION_TOO_LARGE",
      `a batch of ${batch.length} events and ${bytes} bytes is over the ${eventsMax} events and ${transactionBytesMax} bytes one transaction of ${this.name} may hold`,
      { context: { events: batch.length, eventsMax, bytes, bytesMax: transactionBytesMax } },
    );
  }

  #closed(): MillraceError {
    return new MillraceError("CHANNEL_CLOSED", `the channel ${this.name} is not open`);
  }

  #oldestAgeSeconds(): number {
    let oldest = this.#queue.first?.putTimeMs ?? Infinity;
    for (const pieces of this.#lent) oldest = Math.min(oldest, pieces[0]?.putTimeMs ?? Infinity);
    const now = this.#context.runtime.clock.now();
    return oldest === Infinity ? 0 : Math.max(0, (now - oldest) / 1000);
  }
}
