import {
  type ChannelContext,
  EventBatch,
  HeldPut,
  LentTake,
  MillraceError,
  type PutTransaction,
  type Ranges,
  SequenceSet,
  settledBy,
  type TakeTransaction,
  toMillraceError,
  WaitingLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import { type ChannelMetrics, declareMetrics } from "./channel-metrics.ts";
import type { FileChannel } from "./contract.ts";
import { rememberedKeys } from "./keys/remembered-keys.ts";
import { LogWriter, type StoredPut } from "./log/log-writer.ts";
import { type OpenedChannel, openChannel } from "./open-channel.ts";
import { type FileChannelLimits, type FileChannelOptions, fileChannelDefaults } from "./options.ts";
import { BacklogReader, readAheadBytes } from "./queue/backlog-reader.ts";
import { EventQueue, joinPieces, rangeOf } from "./queue/event-queue.ts";
import { type Piece, splitPiece } from "./queue/piece.ts";
import { Room, roomBytesOf } from "./queue/room.ts";
import { recoveredStretches } from "./queue/recovered-stretches.ts";
import { segmentHeaderBytes } from "./format/segment-header.ts";
import { assertTransactionFits, diskFull } from "./put-limits.ts";

export type { FileChannel } from "./contract.ts";

/** Acknowledged ranges above the lowest sequence: beyond this, takes of new events wait. */
const ackRangesMax = 16_384;
const closeGraceMs = 5000;

/** Makes a channel over its directories; opens nothing before `start`. */
export function createFileChannel(
  options: Partial<FileChannelOptions> & Pick<FileChannelOptions, "dataDirs">,
  context: ChannelContext,
): FileChannel {
  const { keys } = options;
  const remembered = keys === undefined ? undefined : rememberedKeys(keys);
  return new DurableChannel({ ...fileChannelDefaults, ...options, keys: remembered }, context);
}

class DurableChannel implements FileChannel {
  readonly durable = true;
  #options: FileChannelOptions;
  readonly #context: ChannelContext;
  readonly #metrics: ChannelMetrics;
  readonly #room: Room;
  readonly #takers: WaitingLine<number, readonly Piece[]>;
  #queue: EventQueue;
  #lent = new Set<readonly Piece[]>();
  #size = 0;
  #phase: "new" | "open" | "closed" = "new";
  #opened: OpenedChannel | undefined;
  #writer: LogWriter | undefined;
  #reader: BacklogReader | undefined;
  #refilling: Promise<void> | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #corrupt: MillraceError | undefined;
  /** What the start waits for. */
  #locked: MillraceError | undefined;
  /** One above the highest sequence ever lent. */
  #lentBelow = 0;
  #startFailed = false;
  readonly #errorCounts = { put: 0, take: 0 };

  constructor(options: FileChannelOptions, context: ChannelContext) {
    this.#options = options;
    this.#context = context;
    const { clock } = context.runtime;
    this.#room = new Room(options, clock);
    this.#takers = new WaitingLine(clock);
    this.#queue = new EventQueue(options.memoryBytes);
    const store = (): OpenedChannel["store"] | undefined => this.#opened?.store;
    this.#metrics = declareMetrics(context.metrics, {
      events: () => this.#size,
      bytes: () => this.#room.bytes,
      capacityBytes: () => this.#capacityBytes(),
      oldestAgeSeconds: () => this.#oldestAgeSeconds(),
      availableBytes: () => store()?.availableBytes,
      reservedBytes: () => store()?.reservedBytes(0),
    });
  }

  get name(): string {
    return this.#context.name;
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#room.bytes;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  setLimits(limits: FileChannelLimits): void {
    this.#options = { ...this.#options, ...limits };
    this.#queue.memoryBytes = limits.memoryBytes;
    this.#room.setLimits(limits);
    if (!this.#room.isOver) return;
    this.#context.log.warn(
      `${this.name} holds ${this.#size} events, more than its new limits allow: it loses none, and ` +
        "takes no more until there is room",
    );
  }

  start(aborted: AbortSignal): Promise<void> {
    assert(this.#phase === "new", "a channel starts once");
    this.#starting = this.#start(aborted);
    return this.#starting;
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop();
    await settledBy(this.#stopping, deadline, this.#context.runtime.clock, closeGraceMs);
  }

  async beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    const writer = this.#requireOpen();
    this.#context.counters.EventPutAttemptCount += batch.length;
    if (batch.length === 0)
      return new HeldPut(
        () => Promise.resolve(),
        () => undefined,
      );
    const bytes = batch.byteLength;
    const roomBytes = roomBytesOf(bytes);
    assertTransactionFits(this.#options, this.name, { events: batch.length, bytes, roomBytes });
    await this.#awaitDiskRoom(roomBytes, writer);
    await this.#room.reserve(batch.length, roomBytes, signal);
    const release = (): void => this.#room.release(batch.length, roomBytes);
    if (this.#phase !== "open") {
      release();
      throw this.#closed();
    }
    return new HeldPut(async () => {
      try {
        this.#requireOpen();
        await writer.put(batch, bytes);
      } catch (error) {
        release();
        this.#errorCounts.put++;
        throw error;
      }
    }, release);
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, "a take asks for events");
    if (this.#phase !== "open") return new LentTake(EventBatch.empty, () => undefined);
    const failure = this.#writer?.failure ?? (this.#canTake() ? undefined : this.#corrupt);
    if (failure !== undefined) {
      this.#errorCounts.take++;
      throw failure;
    }
    const { transactionCapacity, keepAliveMs } = this.#options;
    // With no time at all it would have left the line before it is served.
    const waitMs = Math.max(1, keepAliveMs);
    const most = Math.min(max, transactionCapacity);
    const waiting = this.#takers.wait(most, waitMs, signal, () => []);
    this.#serve();
    const pieces = await waiting;
    const count = pieces.reduce((sum, { batch }) => sum + batch.length, 0);
    // Flume counts each call, also the one that finds nothing.
    this.#context.counters.EventTakeAttemptCount += Math.max(1, count);
    return new LentTake(joinPieces(pieces), (settled) => this.#settle(pieces, settled));
  }

  get trouble(): MillraceError | undefined {
    return this.#failure ?? this.#locked;
  }

  get #failure(): MillraceError | undefined {
    return this.#writer?.failure ?? this.#corrupt;
  }

  readCounters(): Record<string, number | boolean> {
    const failed = this.#failure !== undefined;
    const open = this.#phase === "open" && !failed;
    return {
      ChannelSize: this.#size,
      ChannelCapacity: this.capacity,
      ChannelFillPercentage: (this.#size / this.capacity) * 100,
      Open: open,
      Closed: open ? 0 : 1,
      Unhealthy: failed || this.#startFailed ? 1 : 0,
      EventPutErrorCount: this.#errorCounts.put,
      EventTakeErrorCount: this.#errorCounts.take,
      CheckpointWriteErrorCount: 0,
      CheckpointBackupWriteErrorCount: 0,
    };
  }

  async #start(aborted: AbortSignal): Promise<void> {
    const { runtime, log } = this.#context;
    try {
      const { syncSeconds } = this.#metrics;
      const opened = await openChannel(
        this.#options,
        this.#context,
        syncSeconds,
        aborted,
        (why) => (this.#locked = why),
      );
      this.#opened = opened;
    } catch (error) {
      this.#startFailed = true;
      throw error;
    }
    const { state, active, store } = this.#opened;
    this.#writer = new LogWriter(
      this.#options,
      { active, state, clock: runtime.clock, log },
      {
        stored: (put) => this.#stored(put),
        acknowledged: () => this.#serve(),
        failed: (error) => this.#failed(error),
        writeFailed: (kind) => {
          this.#metrics.errors[kind === "put" ? "write" : "ack"].value++;
        },
      },
    );
    this.#metrics.put.value = state.putTotal;
    this.#metrics.taken.value = state.takenTotal;
    this.#metrics.corruptDiscarded.value = state.discardedTotal;
    this.#size = state.held;
    const above = new SequenceSet(state.acknowledged.ranges);
    let roomBytes = 0;
    for (const stretch of recoveredStretches(state, segmentHeaderBytes)) {
      this.#queue.addStretch(stretch);
      roomBytes += stretch.roomBytes;
    }
    this.#room.occupy(this.#size, roomBytes);
    this.#reader = new BacklogReader({
      files: store.files,
      queue: this.#queue,
      room: this.#room,
      settled: { lowest: state.lowest, above },
      keys: this.#options.keys,
      onCorruption: this.#options.onCorruption,
      lost: (first, end, unsettled, error) => this.#lost(first, end, unsettled, error),
    });
    await this.#reader.peek();
    this.#phase = "open";
    if (this.#size > 0) log.info(`${this.#size} events are waiting in ${this.name}`);
    this.#refill();
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#phase = "closed";
    this.#room.refuseAll(this.#closed());
    this.#takers.end(() => []);
    await this.#refilling;
    await this.#writer?.close();
    this.#queue.clear();
    for (const lock of this.#opened?.locks ?? []) {
      await lock.release().catch((error: unknown) => {
        this.#context.log.warn("a lock could not be given back", { error: String(error) });
      });
    }
  }

  #stored(put: StoredPut): void {
    const { batch, run, sequence, putTimeMs, segment, offset, groupEnd } = put;
    this.#size += batch.length;
    this.#context.counters.EventPutSuccessCount += batch.length;
    this.#metrics.put.value += batch.length;
    const roomBytes = roomBytesOf(batch.byteLength);
    this.#queue.append(
      { batch, run, sequence, roomBytes, putTimeMs },
      { segment, offset, end: groupEnd },
    );
    this.#serve();
  }

  #canTake(): boolean {
    const first = this.#queue.first;
    if (first === undefined || this.#phase !== "open") return false;
    if (first.sequence < this.#lentBelow) return true;
    const ranges = this.#opened?.state.acknowledged.ranges.length ?? 0;
    return ranges + (this.#writer?.unwrittenAcks.length ?? 0) <= ackRangesMax;
  }

  #serve(): void {
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

  #refill(): void {
    const { unreadBytes, firstStretch } = this.#queue;
    if (firstStretch === undefined || unreadBytes >= readAheadBytes) return;
    if (this.#refilling !== undefined || this.#corrupt !== undefined) return;
    if (this.#phase !== "open" || this.#reader === undefined) return;
    this.#refilling = this.#reader
      .refill()
      .catch((error: unknown) => this.#readFailed(toMillraceError(error, "CHANNEL_CORRUPT")))
      .then(() => {
        this.#refilling = undefined;
        this.#serve();
      });
  }

  #readFailed(error: MillraceError): void {
    this.#corrupt = error;
    this.#metrics.errors.corrupt.value++;
    this.#context.log.error(error.message, { code: error.code, ...error.context });
    this.#serve();
    if (!this.#canTake()) this.#endTakes(error);
  }

  #lost(first: number, end: number, unsettled: number, error: MillraceError): void {
    const { log } = this.#context;
    log.error(`${unsettled} events are lost and set aside: ${error.message}`, error.context);
    this.#metrics.errors.corrupt.value++;
    this.#metrics.corruptDiscarded.value += unsettled;
    this.#errorCounts.take++;
    this.#size -= unsettled;
    this.#room.release(unsettled, 0);
    this.#opened?.state.discard({ first, end });
    this.#writer?.acknowledge(first, end);
  }

  /** Settles those positions of the pieces and returns the rest to its place. Never throws. */
  #settle(pieces: readonly Piece[], settled: Ranges): void {
    this.#lent.delete(pieces);
    if (this.#phase !== "open") return;
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
        this.#writer?.acknowledge(first, endSequence);
      }
      base = end;
    }
    this.#size -= events;
    this.#context.counters.EventTakeSuccessCount += events;
    this.#metrics.taken.value += events;
    this.#room.release(events, roomBytes);
    this.#serve();
  }

  #failed(error: MillraceError): void {
    this.#metrics.errors.sync.value++;
    this.#context.log.error(error.message, { code: error.code });
    this.#room.refuseAll(error);
    this.#endTakes(error);
    this.#options.onFatal(error);
  }

  #endTakes(error: MillraceError): void {
    this.#takers.end(() => {
      throw error;
    });
  }

  #requireOpen(): LogWriter {
    const writer = this.#writer;
    if (this.#phase !== "open" || writer === undefined) throw this.#closed();
    if (writer.failure !== undefined) throw writer.failure;
    return writer;
  }

  #closed(): MillraceError {
    return new MillraceError("CHANNEL_CLOSED", `the channel ${this.name} is not open`);
  }

  async #awaitDiskRoom(bytes: number, writer: LogWriter): Promise<void> {
    const store = this.#opened?.store;
    if (store === undefined || (await store.hasRoom(bytes))) return;
    this.#metrics.errors.disk_full.value++;
    writer.press();
    throw diskFull(this.name, store, bytes);
  }

  #capacityBytes(): number | undefined {
    const { byteCapacity } = this.#options;
    if (byteCapacity < Number.MAX_SAFE_INTEGER) return byteCapacity;
    const store = this.#opened?.store;
    if (store === undefined) return undefined;
    return this.#room.bytes + Math.max(0, store.availableBytes - store.reservedBytes(0));
  }

  #oldestAgeSeconds(): number {
    const { first, firstStretch } = this.#queue;
    let oldest = first?.putTimeMs ?? firstStretch?.putTimeMs ?? Infinity;
    for (const pieces of this.#lent) oldest = Math.min(oldest, pieces[0]?.putTimeMs ?? Infinity);
    const now = this.#context.runtime.clock.now();
    return oldest === Infinity ? 0 : Math.max(0, (now - oldest) / 1000);
  }
}
