import {
  type Channel,
  type ChannelContext,
  countRanges,
  type EventBatch,
  invertRanges,
  type MillraceError,
  type PutTransaction,
  type Ranges,
  type TakeTransaction,
  WaitingLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import { Alarm } from "./alarm.ts";
import { declareDirectMetrics } from "./direct-metrics.ts";
import { Offers, type Piece } from "./offers.ts";
import type { Options } from "./options.ts";
import { createRefusals } from "./refusals.ts";
import { Room } from "./room.ts";
import { DirectPut, DirectTake, type TransactionKeeper } from "./transactions.ts";

export interface DirectChannel extends Channel {
  /** Bytes of the events that senders wait for or sinks hold, and the most there may be. */
  readonly bytes: number;
  readonly byteCapacity: number;
  /** Milliseconds that the sender that waits longest has waited; 0 when none does. */
  oldestEventAgeMs(): number;
}

/**
 * Hands events over and holds none: a put's commit resolves when takes have settled every event of
 * it, and rejects when no sink takes it within keep-alive (CHANNEL_FULL), when sinks have not
 * delivered it within answerTimeout (CHANNEL_TIMEOUT), or when the channel stops (CHANNEL_CLOSED).
 * Whoever put it still has it then, and puts it again. `size` counts events whose senders wait.
 */
export function createDirectChannel(options: Options, context: ChannelContext): DirectChannel {
  return new HandOver(options, context);
}

class HandOver implements DirectChannel, TransactionKeeper {
  readonly name: string;
  /** What is committed is delivered, so nothing that happens here can undo it. */
  readonly durable = true;
  readonly #transactionCapacity: number;
  readonly #keepAliveMs: number;
  readonly #answerTimeoutMs: number;
  readonly #context: ChannelContext;
  readonly #metrics: ReturnType<typeof declareDirectMetrics>;
  readonly #room: Room;
  readonly #refusals: ReturnType<typeof createRefusals>;
  readonly #offers = new Offers();
  /** Puts that hold room and are not answered, in the order they asked. */
  readonly #open = new Set<DirectPut>();
  readonly #putLine: WaitingLine<DirectPut, DirectPut>;
  readonly #takeLine: WaitingLine<number, DirectTake>;
  readonly #keepAliveAlarm: Alarm;
  readonly #answerAlarm: Alarm;
  #running = false;
  /** Grows at every stop: a take from before it gives no room back any more. */
  #run = 0;
  #size = 0;

  constructor(options: Options, context: ChannelContext) {
    const { clock } = context.runtime;
    this.name = context.name;
    this.#transactionCapacity = options.transactionCapacity;
    this.#keepAliveMs = options.keepAliveSeconds * 1000;
    this.#answerTimeoutMs = options.answerTimeoutSeconds * 1000;
    this.#context = context;
    this.#room = new Room(options.capacity, options.byteCapacity);
    this.#refusals = createRefusals(context.name, options, this.#room);
    this.#putLine = new WaitingLine(clock);
    this.#takeLine = new WaitingLine(clock);
    this.#keepAliveAlarm = new Alarm(clock, (nowMs) => this.#withdrawUntaken(nowMs));
    this.#answerAlarm = new Alarm(clock, (nowMs) => this.#refuseLate(nowMs));
    this.#metrics = declareDirectMetrics(context.metrics, this);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#room.bytes;
  }

  get byteCapacity(): number {
    return this.#room.byteCapacity;
  }

  oldestEventAgeMs(): number {
    for (const put of this.#open) {
      if (put.offeredMs !== undefined) return this.#context.runtime.clock.monotonic() - put.beganMs;
    }
    return 0;
  }

  start(): Promise<void> {
    this.#running = true;
    return Promise.resolve();
  }

  stop(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    this.#running = false;
    this.#run++;
    this.#keepAliveAlarm.cancel();
    this.#answerAlarm.cancel();
    this.#putLine.end(() => {
      throw this.#refusals.closed();
    });
    for (const put of this.#open) this.#refuse(put, this.#refusals.closed());
    this.#takeLine.end(() => this.#lend([]));
    this.#offers.clear();
    this.#room.clear();
    return Promise.resolve();
  }

  async beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    if (!this.#running) throw this.#refusals.closed();
    const put = this.#asPut(batch);
    this.#context.counters.EventPutAttemptCount += batch.length;
    if (this.#putLine.isEmpty && this.#hold(put)) return put;
    return this.#putLine.wait(put, this.#keepAliveMs, signal, () => {
      this.#grantWaitingPuts();
      throw this.#refusals.full(put);
    });
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, `a take of ${max} events`);
    if (!this.#running || signal?.aborted === true) return this.#lend([]);
    if (this.#offers.head !== undefined) return this.#take(max);
    // A sink runner asks again at once: with keep-alive 0 it would do nothing else.
    const waitMs = Math.max(1000, this.#keepAliveMs);
    return this.#takeLine.wait(max, waitMs, signal, () => this.#lend([]));
  }

  offer(put: DirectPut): void {
    const { batch } = put;
    if (batch.length === 0) return this.#accept(put);
    put.offeredMs = this.#context.runtime.clock.monotonic();
    this.#size += batch.length;
    this.#offers.push(put);
    this.#serveWaitingTakes();
    if (put.taken) return;
    if (this.#keepAliveMs === 0) this.#withdraw(put);
    else this.#keepAliveAlarm.set(put.offeredMs + this.#keepAliveMs);
  }

  giveBackRoom(put: DirectPut): void {
    if (!this.#open.delete(put)) return;
    this.#room.free(put.batch.length, put.bytes);
    this.#grantWaitingPuts();
  }

  endTake(take: DirectTake, settled: Ranges | undefined): void {
    const all = [{ from: 0, to: take.batch.length }];
    const returned: Piece[] = [];
    for (const { piece, ranges } of take.settledOf(settled ?? all)) {
      const { put, batch, bytes } = piece;
      const count = countRanges(ranges);
      const goesBack = count < batch.length && this.#open.has(put);
      if (goesBack) {
        if (count > 0) keepRest(piece, ranges);
        returned.push(piece);
      }
      if (take.run === this.#run) {
        this.#room.free(goesBack ? count : batch.length, goesBack ? bytes - piece.bytes : bytes);
      }
      this.#noteDelivered(put, count);
    }
    // From the last on: each then stands before those of its take, and need not look past them.
    for (const piece of returned.toReversed()) this.#offers.insert(piece);
    if (returned.length > 0) this.#serveWaitingTakes();
    this.#grantWaitingPuts();
  }

  /** Sinks have delivered so many events of the put. */
  #noteDelivered(put: DirectPut, count: number): void {
    this.#context.counters.EventTakeSuccessCount += count;
    this.#metrics.taken.value += count;
    if (!this.#open.has(put)) {
      this.#metrics.duplicates.value += count;
      return;
    }
    this.#size -= count;
    put.unsettled -= count;
    if (put.unsettled === 0) this.#accept(put);
  }

  #accept(put: DirectPut): void {
    this.#open.delete(put);
    this.#context.counters.EventPutSuccessCount += put.batch.length;
    put.accept();
  }

  /** The sender is told no. What sinks hold of the batch stays with them; nobody gets the rest. */
  #refuse(put: DirectPut, error: MillraceError): void {
    this.#open.delete(put);
    if (put.offeredMs === undefined) {
      this.#room.free(put.batch.length, put.bytes);
    } else {
      this.#size -= put.unsettled;
      this.#metrics.duplicates.value += put.batch.length - put.unsettled;
      for (const { batch, bytes } of this.#offers.remove(put)) this.#room.free(batch.length, bytes);
    }
    put.refuse(error);
  }

  #withdraw(put: DirectPut): void {
    this.#metrics.withdrawn.value += put.batch.length;
    this.#refuse(put, this.#refusals.untaken(put));
    this.#grantWaitingPuts();
  }

  /** Withdraws what nobody took in time; says when the next batch is due. */
  #withdrawUntaken(nowMs: number): number | undefined {
    for (let piece = this.#offers.head; piece !== undefined;) {
      const { put, next } = piece;
      piece = next;
      if (put.taken || put.offeredMs === undefined) continue;
      const dueMs = put.offeredMs + this.#keepAliveMs;
      if (dueMs > nowMs) return dueMs;
      this.#withdraw(put);
    }
    return undefined;
  }

  /** Refuses what sinks did not deliver in time; says when the next batch is due. */
  #refuseLate(nowMs: number): number | undefined {
    for (const put of this.#open) {
      if (this.#dueMs(put) > nowMs) break;
      this.#metrics.late.value += put.batch.length;
      this.#refuse(put, this.#refusals.late(put));
    }
    this.#grantWaitingPuts();
    for (const put of this.#open) return this.#dueMs(put);
    return undefined;
  }

  /** The put as it asks for room. Throws TRANSACTION_TOO_LARGE for what could never be granted. */
  #asPut(batch: EventBatch): DirectPut {
    if (batch.length > this.#transactionCapacity) {
      throw this.#refusals.tooLarge(`${batch.length} events`, "transactionCapacity");
    }
    const bytes = batch.byteLength;
    if (bytes > this.#room.byteCapacity) {
      throw this.#refusals.tooLarge(`${bytes} bytes`, "byteCapacity");
    }
    return new DirectPut(this, batch, bytes, this.#context.runtime.clock.monotonic());
  }

  /** Holds room for the put, where there is enough; says whether there was. */
  #hold(put: DirectPut): boolean {
    if (!this.#room.hold(put.batch.length, put.bytes)) return false;
    this.#open.add(put);
    this.#answerAlarm.set(this.#dueMs(put));
    return true;
  }

  #dueMs(put: DirectPut): number {
    return put.beganMs + this.#answerTimeoutMs;
  }

  /**
   * Joins what waits, up to `max` events. A batch that fits into a take is not cut: its sender is
   * answered after one delivery, not after two.
   */
  #take(max: number): DirectTake {
    const pieces: Piece[] = [];
    let left = Math.min(max, this.#transactionCapacity);
    for (let head = this.#offers.head; head !== undefined && left > 0; head = this.#offers.head) {
      const whole = head.batch.length <= left;
      if (!whole && pieces.length > 0) break;
      if (whole) this.#offers.shift();
      const piece = whole ? head : this.#offers.cut(head, left);
      piece.put.taken = true;
      pieces.push(piece);
      left -= piece.batch.length;
    }
    return this.#lend(pieces);
  }

  #lend(pieces: readonly Piece[]): DirectTake {
    const take = new DirectTake(this, pieces, this.#run);
    this.#context.counters.EventTakeAttemptCount += Math.max(1, take.batch.length);
    return take;
  }

  #grantWaitingPuts(): void {
    if (!this.#putLine.isEmpty) this.#putLine.serve((put) => (this.#hold(put) ? put : undefined));
  }

  #serveWaitingTakes(): void {
    if (this.#takeLine.isEmpty) return;
    this.#takeLine.serve((max) => (this.#offers.head === undefined ? undefined : this.#take(max)));
  }
}

/** Leaves in the piece what the ranges do not cover, from the place of its first event on. */
function keepRest(piece: Piece, settled: Ranges): void {
  const rest = invertRanges(settled, piece.batch.length);
  piece.sequence += rest[0]?.from ?? 0;
  piece.batch = piece.batch.select(rest);
  piece.bytes = piece.batch.byteLength;
}
