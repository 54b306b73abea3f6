import {
  type ChannelContext,
  type EventBatch,
  HeldPut,
  MillraceError,
  type PutTransaction,
  type Timer,
  toMillraceError,
  WaitingLine,
} from "@millrace/core";
import type { KafkaProducer, ProducedRecord } from "../../client/kafka-client.ts";
import type { KafkaCounters } from "./kafka-channel-metrics.ts";
import type { Partitioning } from "./partitioning.ts";

export interface PutsOptions {
  readonly topic: string;
  readonly bufferBytes: number;
  readonly maxBlockMs: number;
  readonly deliveryTimeoutMs: number;
}

/**
 * The putting side: holds back batches while more than `bufferBytes` are on their way, and sends each
 * when it is committed.
 */
export class Puts {
  readonly #options: PutsOptions;
  readonly #context: ChannelContext;
  readonly #producer: KafkaProducer;
  readonly #partitioning: Partitioning;
  readonly #counters: KafkaCounters;
  readonly #line: WaitingLine<EventBatch, HeldPut>;
  readonly #sending = new Set<Promise<void>>();
  #bytes = 0;
  #running = true;
  /** Why the last thing asked of a broker failed. */
  trouble: MillraceError | undefined;

  constructor(
    options: PutsOptions,
    context: ChannelContext,
    parts: { producer: KafkaProducer; partitioning: Partitioning; counters: KafkaCounters },
  ) {
    this.#options = options;
    this.#context = context;
    this.#producer = parts.producer;
    this.#partitioning = parts.partitioning;
    this.#counters = parts.counters;
    this.#line = new WaitingLine(context.runtime.clock);
  }

  /** Bytes of events whose put has begun and not ended. */
  get bytes(): number {
    return this.#bytes;
  }

  async begin(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    const { bufferBytes, maxBlockMs } = this.#options;
    if (!this.#running) throw this.#closed();
    if (batch.byteLength > bufferBytes) {
      throw new MillraceError(
        "TRANSACTION_TOO_LARGE",
        `a batch of ${batch.byteLength} bytes is over kafka.producer.buffer.memory ${bufferBytes} of channel ${this.#context.name}`,
      );
    }
    this.#context.counters.EventPutAttemptCount += batch.length;
    this.#partitioning.check(batch);
    const put = this.#line.isEmpty ? this.#grant(batch) : undefined;
    if (put !== undefined) return put;
    return this.#line.wait(batch, maxBlockMs, signal, () => {
      throw this.#full(batch);
    });
  }

  /** Refuses new puts, waits for those that are being sent until the deadline. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#running = false;
    this.#line.end(() => {
      throw this.#closed();
    });
    const late = new Promise<void>((resolve) => {
      if (deadline.aborted) resolve();
      else deadline.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([Promise.allSettled(this.#sending), late]);
  }

  #grant(batch: EventBatch): HeldPut | undefined {
    const bytes = batch.byteLength;
    if (this.#bytes > 0 && this.#bytes + bytes > this.#options.bufferBytes) return undefined;
    this.#bytes += bytes;
    return new HeldPut(
      () => this.#commit(batch),
      () => this.#release(bytes),
    );
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#line.serve((batch) => this.#grant(batch));
  }

  /** Resolves when every partition has its records; what is still on its way keeps its room. */
  async #commit(batch: EventBatch): Promise<void> {
    if (!this.#running) {
      this.#release(batch.byteLength);
      throw this.#closed();
    }
    const { clock } = this.#context.runtime;
    const startMs = clock.monotonic();
    const sending = this.#send(batch);
    this.#sending.add(sending);
    const done = (): void => {
      this.#sending.delete(sending);
      this.#release(batch.byteLength);
    };
    sending.then(done, done);
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = clock.setTimer(this.#options.deliveryTimeoutMs, () => reject(this.#late(batch)));
    });
    try {
      await Promise.race([sending, late]);
      this.trouble = undefined;
      this.#context.counters.EventPutSuccessCount += batch.length;
    } catch (error) {
      const failure = toMillraceError(error, "KAFKA_UNAVAILABLE");
      if (failure.answer !== "reject") this.trouble = failure;
      throw failure;
    } finally {
      timer?.cancel();
      this.#counters.KafkaEventSendTimer += clock.monotonic() - startMs;
    }
  }

  async #send(batch: EventBatch): Promise<void> {
    if (batch.length === 0) return;
    const divided = await this.#partitioning.divide(batch, this.#producer);
    const sends = [...divided].map(([partition, records]) => this.#produce(partition, records));
    // All of them, whatever one says: a retry of the batch must not meet its own first try.
    const failed = (await Promise.allSettled(sends)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  #produce(partition: number, records: readonly ProducedRecord[]): Promise<void> {
    return this.#producer.produce({ topic: this.#options.topic, partition }, records);
  }

  #closed(): MillraceError {
    return new MillraceError("CHANNEL_CLOSED", `channel ${this.#context.name} is not running`);
  }

  #full(batch: EventBatch): MillraceError {
    const { bufferBytes, maxBlockMs } = this.#options;
    return new MillraceError(
      "CHANNEL_FULL",
      `channel ${this.#context.name} had no room for ${batch.length} events of ${batch.byteLength} bytes within ` +
        `max.block.ms of ${maxBlockMs}: ${this.#bytes} of buffer.memory ${bufferBytes} bytes are on their way to Kafka`,
    );
  }

  #late(batch: EventBatch): MillraceError {
    return new MillraceError(
      "KAFKA_UNAVAILABLE",
      `${batch.length} events were not stored in topic ${this.#options.topic} within ` +
        `delivery.timeout.ms of ${this.#options.deliveryTimeoutMs}; some of them may be`,
    );
  }
}
