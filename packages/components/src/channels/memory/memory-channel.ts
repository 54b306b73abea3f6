import {
  type Channel,
  type ChannelContext,
  type EventBatch,
  invertRanges,
  MillraceError,
  type PutTransaction,
  type Ranges,
  type TakeTransaction,
} from "@millrace/core";
import assert from "node:assert/strict";
import { getHeapStatistics } from "node:v8";
import { ByteRoom } from "./byte-room.ts";
import { EventQueue, type QueuedPiece } from "./event-queue.ts";
import { registerChannelMetrics } from "./channel-metrics.ts";
import { OpenTakes } from "./open-takes.ts";
import type { Options } from "./options.ts";
import { Put, type Room, Take, type TransactionKeeper } from "./transactions.ts";
import { WaitingLine } from "./waiting-line.ts";

/** A memory channel also says how many events it may hold: Flume's ChannelCapacity. */
export interface MemoryChannel extends Channel {
  readonly capacity: number;
  /** Bytes of slabs kept alive, each once, and the most there may be (Infinity for no limit). */
  readonly bytes: number;
  readonly byteCapacity: number;
  /** Milliseconds since the oldest event held was committed; 0 when there is none. */
  oldestEventAgeMs(): number;
}

/**
 * Keeps events in memory, in order, bounded by events and by bytes. Room is held from `beginPut`
 * on, so that a commit cannot fail while the channel is open. What a stop finds in it, lent events
 * included, is lost: counted as `memory_channel_left_at_exit` and logged with the number.
 */
export function createMemoryChannel(options: Options, context: ChannelContext): MemoryChannel {
  return new EventsInMemory(options, context);
}

class EventsInMemory implements MemoryChannel, TransactionKeeper {
  readonly name: string;
  readonly durable = false;
  readonly capacity: number;
  readonly byteCapacity: number;
  readonly #transactionCapacity: number;
  readonly #keepAliveMs: number;
  readonly #takeWaitMs: number;
  readonly #context: ChannelContext;
  readonly #metrics: ReturnType<typeof registerChannelMetrics>;
  readonly #queue = new EventQueue();
  readonly #bytes: ByteRoom;
  readonly #openTakes = new OpenTakes();
  readonly #putLine: WaitingLine<Room, Put>;
  readonly #takeLine: WaitingLine<number, Take>;
  #running = false;
  /** Grows at every stop: a transaction from before it finds nothing to change any more. */
  #run = 0;
  #size = 0;
  /** Events that open puts hold room for. */
  #promised = 0;

  constructor(options: Options, context: ChannelContext) {
    this.name = context.name;
    this.capacity = options.capacity;
    this.byteCapacity = byteCapacityOf(options.byteCapacity);
    this.#bytes = new ByteRoom(this.byteCapacity, this.#queue);
    this.#transactionCapacity = options.transactionCapacity;
    this.#keepAliveMs = options.keepAliveSeconds * 1000;
    // A sink runner asks again at once: with keep-alive 0 it would do nothing else.
    this.#takeWaitMs = Math.max(1000, this.#keepAliveMs);
    this.#context = context;
    this.#putLine = new WaitingLine(context.runtime.clock);
    this.#takeLine = new WaitingLine(context.runtime.clock);
    this.#metrics = registerChannelMetrics(context.metrics, this);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes.held;
  }

  get run(): number {
    return this.#run;
  }

  oldestEventAgeMs(): number {
    const now = this.#context.runtime.clock.monotonic();
    return now - Math.min(this.#queue.head?.putMs ?? now, this.#openTakes.oldestPutMs() ?? now);
  }

  start(): Promise<void> {
    this.#running = true;
    return Promise.resolve();
  }

  stop(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    this.#running = false;
    this.#run++;
    this.#putLine.end(() => {
      throw this.closedError();
    });
    this.#takeLine.end(() => this.#take(0));
    this.#loseWhatIsLeft();
    this.#queue.clear();
    this.#bytes.clear();
    this.#openTakes.clear();
    this.#size = 0;
    this.#promised = 0;
    return Promise.resolve();
  }

  async beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    if (!this.#running) throw this.closedError();
    const room = this.#asRoom(batch);
    this.#context.counters.EventPutAttemptCount += batch.length;
    if (this.#putLine.isEmpty) {
      const put = this.#grant(room);
      if (put !== undefined) return put;
    }
    return this.#putLine.wait(room, this.#keepAliveMs, signal, () => {
      this.#grantWaitingPuts();
      throw this.#full(room);
    });
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, `a take of ${max} events`);
    if (!this.#running || signal?.aborted === true) return this.#take(0);
    if (this.#queue.head !== undefined) return this.#take(max);
    return this.#takeLine.wait(max, this.#takeWaitMs, signal, () => this.#take(0));
  }

  store({ batch, bytes, slab }: Room): void {
    this.#promised -= batch.length;
    if (batch.length === 0) return;
    const now = this.#context.runtime.clock.monotonic();
    if (slab === undefined) {
      this.#queue.push(batch, now);
    } else {
      const from = slab.count;
      slab.append(batch, bytes);
      // The piece it was added to keeps the slab alive already.
      if (this.#queue.pushGathered(slab, from, now)) this.#bytes.ledger.releaseSlab(slab.slab);
    }
    this.#size += batch.length;
    this.#context.counters.EventPutSuccessCount += batch.length;
    this.#serveWaitingTakes();
  }

  giveBackRoom(room: Room): void {
    this.#promised -= room.batch.length;
    this.#bytes.giveBack(room);
    this.#grantWaitingPuts();
  }

  settle(take: Take, settled: Ranges | undefined): void {
    if (take.pieces.length > 0) this.#openTakes.remove(take);
    let count = take.batch.length;
    if (settled === undefined) {
      for (const piece of take.pieces) this.#bytes.ledger.release(piece.batch);
    } else {
      count -= this.#returnRest(take, invertRanges(settled, take.batch.length));
    }
    this.#size -= count;
    this.#context.counters.EventTakeSuccessCount += count;
    this.#metrics.taken.value += count;
    if (settled !== undefined) this.#serveWaitingTakes();
    this.#grantWaitingPuts();
  }

  giveBackEvents(take: Take): void {
    if (take.pieces.length > 0) this.#openTakes.remove(take);
    for (const piece of take.pieces.toReversed()) this.#queue.insert(piece);
    this.#serveWaitingTakes();
  }

  /** What the put asks for. Throws TRANSACTION_TOO_LARGE for what could never be granted. */
  #asRoom(batch: EventBatch): Room {
    if (batch.length > this.#transactionCapacity) {
      throw new MillraceError(
        "TRANSACTION_TOO_LARGE",
        `a batch of ${batch.length} events is over transactionCapacity ${this.#transactionCapacity} of channel ${this.name}`,
      );
    }
    const bytes = batch.byteLength;
    if (bytes > this.byteCapacity) {
      throw new MillraceError(
        "TRANSACTION_TOO_LARGE",
        `a batch of ${bytes} bytes is over byteCapacity ${this.byteCapacity} of channel ${this.name}`,
      );
    }
    return { batch, bytes };
  }

  /** Holds room for the batch; undefined when there is none. */
  #grant(room: Room): Put | undefined {
    const { batch } = room;
    if (this.#size + this.#promised + batch.length > this.capacity) return undefined;
    if (!this.#bytes.hold(room)) return undefined;
    this.#promised += batch.length;
    return new Put(this, room);
  }

  #take(max: number): Take {
    const pieces: QueuedPiece[] = [];
    let left = Math.min(max, this.#transactionCapacity);
    for (let head = this.#queue.head; head !== undefined && left > 0; head = this.#queue.head) {
      if (head.batch.length <= left) {
        this.#queue.shift();
        pieces.push(head);
        left -= head.batch.length;
      } else {
        const whole = head.batch;
        const piece = this.#queue.cut(head, left);
        this.#bytes.ledger.retain(piece.batch);
        this.#bytes.ledger.retain(head.batch);
        this.#bytes.ledger.release(whole);
        pieces.push(piece);
        left = 0;
      }
    }
    const take = new Take(this, pieces);
    if (pieces.length > 0) this.#openTakes.add(take);
    this.#context.counters.EventTakeAttemptCount += Math.max(1, take.batch.length);
    return take;
  }

  /** Returns what the ranges of the take name, each piece to its place; says how many events. */
  #returnRest(take: Take, rest: Ranges): number {
    let count = 0;
    let base = 0;
    for (const { batch, sequence, putMs } of take.pieces) {
      const own: { from: number; to: number }[] = [];
      for (const { from, to } of rest) {
        const start = Math.max(from - base, 0);
        const end = Math.min(to - base, batch.length);
        if (start < end) own.push({ from: start, to: end });
      }
      const first = own[0];
      if (first !== undefined) {
        const left = this.#bytes.keepRest(batch, own);
        this.#queue.insert({ sequence: sequence + first.from, batch: left, putMs });
        count += left.length;
      } else {
        this.#bytes.ledger.release(batch);
      }
      base += batch.length;
    }
    return count;
  }

  #grantWaitingPuts(): void {
    if (!this.#putLine.isEmpty) this.#putLine.serve((room) => this.#grant(room));
  }

  #serveWaitingTakes(): void {
    if (this.#takeLine.isEmpty) return;
    this.#takeLine.serve((max) => (this.#queue.head === undefined ? undefined : this.#take(max)));
  }

  #loseWhatIsLeft(): void {
    if (this.#size === 0) return;
    this.#metrics.leftAtExit.value += this.#size;
    this.#context.log.error(
      `memory channel ${this.name} stopped with ${this.#size} events in it: they are lost; ` +
        `use a file or direct channel where that must not be`,
      { events: this.#size, bytes: this.#bytes.held },
    );
  }

  closedError(): MillraceError {
    return new MillraceError("CHANNEL_CLOSED", `channel ${this.name} is not running`);
  }

  #full({ batch, bytes }: Room): MillraceError {
    const seconds = this.#keepAliveMs / 1000;
    return new MillraceError(
      "CHANNEL_FULL",
      `channel ${this.name} had no room for ${batch.length} events of ${bytes} bytes within ` +
        `keep-alive of ${seconds} s: it holds ${this.#size + this.#promised} of ${this.capacity} ` +
        `events and ${this.#bytes.held} of ${this.byteCapacity} bytes`,
    );
  }
}

/** Flume's default is 80 % of the largest heap; 0 lifts the limit, as it does in Flume. */
function byteCapacityOf(given: number | undefined): number {
  if (given === undefined) return Math.floor(getHeapStatistics().heap_size_limit * 0.8);
  return given === 0 ? Infinity : given;
}
