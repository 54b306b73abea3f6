import {
  type ChannelContext,
  EventBatch,
  HeldPut,
  LentTake,
  MillraceError,
  type PutTransaction,
  settledBy,
  type TakeTransaction,
} from "@millrace/core";
import assert from "node:assert/strict";
import { type ChannelMetrics, declareMetrics } from "./channel-metrics.ts";
import type { FileChannel } from "./contract.ts";
import { rememberedKeys } from "./keys/remembered-keys.ts";
import { LogWriter, type StoredPut } from "./log/log-writer.ts";
import { type OpenedChannel, openChannel } from "./open-channel.ts";
import { type FileChannelLimits, type FileChannelOptions, fileChannelDefaults } from "./options.ts";
import { assertTransactionFits, diskFull } from "./put-limits.ts";
import { Room, roomBytesOf } from "./queue/room.ts";
import { Takes } from "./queue/takes.ts";

export type { FileChannel } from "./contract.ts";

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
  readonly #takes: Takes;
  #phase: "new" | "open" | "closed" = "new";
  #opened: OpenedChannel | undefined;
  #writer: LogWriter | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  /** What the start waits for. */
  #locked: MillraceError | undefined;
  #startFailed = false;
  #putErrors = 0;

  constructor(options: FileChannelOptions, context: ChannelContext) {
    this.#options = options;
    this.#context = context;
    this.#room = new Room(options, context.runtime.clock);
    const store = (): OpenedChannel["store"] | undefined => this.#opened?.store;
    this.#metrics = declareMetrics(context.metrics, {
      events: () => this.size,
      bytes: () => this.#room.bytes,
      capacityBytes: () => this.#capacityBytes(),
      oldestAgeSeconds: () => this.#takes.oldestAgeSeconds(),
      availableBytes: () => store()?.availableBytes,
      reservedBytes: () => store()?.reservedBytes(0),
    });
    this.#takes = new Takes(options, context, { metrics: this.#metrics, room: this.#room });
  }

  get name(): string {
    return this.#context.name;
  }

  get size(): number {
    return this.#takes.size;
  }

  get bytes(): number {
    return this.#room.bytes;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  get unnoted(): number {
    const ranges = this.#writer?.unwrittenAcks ?? [];
    return ranges.reduce((sum, { first, end }) => sum + end - first, 0);
  }

  setLimits(limits: FileChannelLimits): void {
    this.#options = { ...this.#options, ...limits };
    this.#takes.memoryBytes = limits.memoryBytes;
    this.#room.setLimits(limits);
    if (!this.#room.isOver) return;
    this.#context.log.warn(
      `${this.name} holds ${this.size} events, more than its new limits allow: it loses none, and ` +
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
        this.#putErrors++;
        throw error;
      }
    }, release);
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, "a take asks for events");
    if (this.#phase !== "open") return new LentTake(EventBatch.empty, () => undefined);
    return this.#takes.begin(max, this.#options, signal);
  }

  get trouble(): MillraceError | undefined {
    return this.#failure ?? this.#locked;
  }

  get #failure(): MillraceError | undefined {
    return this.#writer?.failure ?? this.#takes.corrupt;
  }

  readCounters(): Record<string, number | boolean> {
    const failed = this.#failure !== undefined;
    const open = this.#phase === "open" && !failed;
    return {
      ChannelSize: this.size,
      ChannelCapacity: this.capacity,
      ChannelFillPercentage: (this.size / this.capacity) * 100,
      Open: open,
      Closed: open ? 0 : 1,
      Unhealthy: failed || this.#startFailed ? 1 : 0,
      EventPutErrorCount: this.#putErrors,
      EventTakeErrorCount: this.#takes.errors,
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
        acknowledged: () => this.#takes.serve(),
        failed: (error) => this.#failed(error),
        writeFailed: (kind) => {
          this.#metrics.errors[kind === "put" ? "write" : "ack"].value++;
        },
      },
    );
    this.#metrics.put.value = state.putTotal;
    this.#metrics.taken.value = state.takenTotal;
    this.#metrics.corruptDiscarded.value = state.discardedTotal;
    await this.#takes.open({ state, writer: this.#writer, files: store.files });
    this.#phase = "open";
    if (this.size > 0) log.info(`${this.size} events are waiting in ${this.name}`);
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#phase = "closed";
    this.#room.refuseAll(this.#closed());
    await this.#takes.close();
    await this.#writer?.close();
    this.#takes.clear();
    for (const lock of this.#opened?.locks ?? []) {
      await lock.release().catch((error: unknown) => {
        this.#context.log.warn("a lock could not be given back", { error: String(error) });
      });
    }
  }

  #stored(put: StoredPut): void {
    this.#context.counters.EventPutSuccessCount += put.batch.length;
    this.#metrics.put.value += put.batch.length;
    this.#takes.stored(put);
  }

  #failed(error: MillraceError): void {
    this.#metrics.errors.sync.value++;
    this.#context.log.error(error.message, { code: error.code });
    this.#room.refuseAll(error);
    this.#takes.fail(error);
    this.#options.onFatal(error);
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
}
