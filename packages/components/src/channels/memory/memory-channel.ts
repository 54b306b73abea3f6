import {
  type Channel,
  type ChannelContext,
  type EventBatch,
  invertRanges,
  MillraceError,
  type PutTransaction,
  type Ranges,
  type TakeTransaction,
  WaitingLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import { ByteRoom } from "./byte-room.ts";
import { EventQueue, type QueuedPiece } from "./event-queue.ts";
import type { Gathered } from "./gather-slab.ts";
import { registerChannelMetrics } from "./channel-metrics.ts";
import { assertFits, channelFull, type Limits, limitsOf } from "./limits.ts";
import { OpenTakes } from "./open-takes.ts";
import type { Options } from "./options.ts";
import { Put, type Room, Take, type TransactionKeeper } from "./transactions.ts";

/** What a memory channel tells beside what every channel does. */
export interface MemoryChannel extends Channel {
  readonly capacity: number;
  /** Bytes of slabs kept alive, each once, and the most there may be (Infinity for no limit). */
  readonly bytes: number;
  readonly byteCapacity: number;
  /** Milliseconds since the oldest event held was committed; 0 when there is none. */
  oldestEventAgeMs(): number;
  reconfigure(options: Options): void;
}

/**
 * Keeps events in memory, in order, bounded by events and by bytes. Room is held from `beginPut`
 * on, so that a commit cannot fail while the channel is open. What a stop finds in it, lent events
 * included, is lost: counted as `memory_channel_left_at_exit` and logged with the number.
 */
export function createMemoryChannel(
  options: Options,
  context: ChannelContext,
  queue = new EventQueue(),
): MemoryChannel {
  return new EventsInMemory(options, context, queue);
}

class EventsInMemory implements MemoryChannel, TransactionKeeper {
  readonly name: string;
  readonly durable = false;
  #limits: Limits;
  readonly #context: ChannelContext;
  readonly #metrics: ReturnType<typeof registerChannelMetrics>;
  readonly #queue: EventQueue;
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

  constructor(options: Options, context: ChannelContext, queue: EventQueue) {
    this.name = context.name;
    this.#queue = queue;
    this.#limits = limitsOf(options);
    this.#bytes = new ByteRoom(this.#limits.byteCapacity, this.#queue);
    this.#context = context;
    this.#putLine = new WaitingLine(context.runtime.clock);
    this.#takeLine = new WaitingLine(context.runtime.clock);
    this.#metrics = registerChannelMetrics(context.metrics, this);
  }

  get size(): number {
    return this.#size;
  }

  get capacity(): number {
    return this.#limits.capacity;
  }

  get bytes(): number {
    return this.#bytes.held;
  }

  get byteCapacity(): number {
    return this.#limits.byteCapacity;
  }

  get run(): number {
    return this.#run;
  }

  oldestEventAgeMs(): number {
    const now = this.#context.runtime.clock.monotonic();
    return now - Math.min(this.#queue.head?.putMs ?? now, this.#openTakes.oldestPutMs() ?? now);
  }

  /** Flume's counters of a channel, with the capacity it has now. */
  readCounters(): Record<string, number> {
    const { capacity } = this.#limits;
    return { ChannelCapacity: capacity, ChannelFillPercentage: (this.#size / capacity) * 100 };
  }

  /** Puts that wait keep the time they were given; all else is by the new limits at once. */
  reconfigure(options: Options): void {
    this.#limits = limitsOf(options);
    this.#bytes.capacity = this.#limits.byteCapacity;
    const { capacity, byteCapacity } = this.#limits;
    const { held } = this.#bytes;
    if (this.#size > capacity || held > byteCapacity) {
      this.#context.log.warn(
        `channel ${this.name} holds ${this.#size} events and ${held} bytes, over its new capacity ` +
          `of ${capacity} and byteCapacity of ${byteCapacity}: it loses none of them, and takes ` +
          `no more until there is room`,
      );
    }
    if (this.#running) this.#grantWaitingPuts();
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
    const room: Room = { batch, bytes: batch.byteLength };
    assertFits(this.#limits, this.name, batch, room.bytes);
    this.#context.counters.EventPutAttemptCount += batch.length;
    if (this.#putLine.isEmpty) {
      const put = this.#grant(room);
      if (put !== undefined) return put;
    }
    return this.#putLine.wait(room, this.#limits.keepAliveMs, signal, () => {
      this.#grantWaitingPuts();
      throw this.#full(room);
    });
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, `a take of ${max} events`);
    if (!this.#running || signal?.aborted === true) return this.#take(0);
    if (this.#queue.head !== undefined) return this.#take(max);
    // A sink runner asks again at once: with keep-alive 0 it would do nothing else.
    const waitMs = Math.max(1000, this.#limits.keepAliveMs);
    return this.#takeLine.wait(max, waitMs, signal, () => this.#take(0));
  }

  store({ batch, gathered }: Room): void {
    this.#promised -= batch.length;
    if (batch.length === 0) return;
    const now = this.#context.runtime.clock.monotonic();
    if (gathered === undefined) this.#queue.push(batch, now);
    else for (const part of gathered) this.#storeGathered(part, now);
    this.#size += batch.length;
    this.#context.counters.EventPutSuccessCount += batch.length;
    this.#serveWaitingTakes();
  }

  #storeGathered({ slab, batch, bytes }: Gathered, now: number): void {
    const from = slab.count;
    slab.append(batch, bytes);
    // The piece it was added to keeps the slab alive already.
    if (this.#queue.pushGathered(slab, from, now)) this.#bytes.ledger.releaseSlab(slab.slab);
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

  /** Holds room for the batch; undefined when there is none. */
  #grant(room: Room): Put | undefined {
    const { batch } = room;
    if (this.#size + this.#promised + batch.length > this.#limits.capacity) return undefined;
    if (!this.#bytes.hold(room)) return undefined;
    this.#promised += batch.length;
    return new Put(this, room);
  }

  #take(max: number): Take {
    const pieces: QueuedPiece[] = [];
    let left = Math.min(max, this.#limits.transactionCapacity);
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
    const returned: QueuedPiece[] = [];
    let count = 0;
    let base = 0;
    let next = 0;
    for (const { batch, sequence, putMs } of take.pieces) {
      const own: { from: number; to: number }[] = [];
      for (; next < rest.length; next++) {
        const { from, to } = rest[next] as Ranges[number];
        const start = Math.max(from - base, 0);
        const end = Math.min(to - base, batch.length);
        if (start < end) own.push({ from: start, to: end });
        if (to - base > batch.length) break;
      }
      const first = own[0];
      if (first !== undefined) {
        const left = this.#bytes.keepRest(batch, own);
        returned.push({ sequence: sequence + first.from, batch: left, putMs });
        count += left.length;
      } else {
        this.#bytes.ledger.release(batch);
      }
      base += batch.length;
    }
    // From the last on: each then stands before those of its take, and need not look past them.
    for (const piece of returned.toReversed()) this.#queue.insert(piece);
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
    const asked = { events: batch.length, bytes };
    const held = { events: this.#size + this.#promised, bytes: this.#bytes.held };
    return channelFull(this.#limits, this.name, asked, held);
  }
}
