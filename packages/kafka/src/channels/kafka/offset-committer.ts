import { type Clock, type Log, sleep } from "@millrace/core";
import type { KafkaConsumer } from "../../client/kafka-client.ts";
import { toKafkaError } from "../../client/kafka-error.ts";
import type { KafkaCounters } from "./kafka-channel-metrics.ts";
import type { PartitionQueue } from "./partition-queue.ts";

export interface OffsetCommitterOptions {
  readonly consumer: KafkaConsumer;
  /** The partitions that are ours now. */
  readonly queues: () => Iterable<PartitionQueue>;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: KafkaCounters;
  readonly onFailure: () => void;
}

const retryMs = 500;

/**
 * Tells the group what is settled: at once, one request at a time, with whatever was settled while
 * the last one was on its way. A commit that fails is not forgotten: what is settled stays in the
 * queues, and is told again until the group has it or the partition is another member's.
 */
export class OffsetCommitter {
  readonly #options: OffsetCommitterOptions;
  readonly #ended = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: OffsetCommitterOptions) {
    this.#options = options;
  }

  /** Begins to commit what is settled, unless it is at it. */
  wake(): void {
    if (this.#ended.signal.aborted || this.#running !== undefined) return;
    this.#running = this.#commitAll().finally(() => {
      this.#running = undefined;
      // Settled in the very moment between.
      if (this.#dirty().length > 0) this.wake();
    });
  }

  /** Resolves when everything settled is committed, or it was told to end. */
  async flush(): Promise<void> {
    this.wake();
    while (this.#running !== undefined) await this.#running;
  }

  end(): void {
    this.#ended.abort();
  }

  #dirty(): PartitionQueue[] {
    const { queues } = this.#options;
    return [...queues()].filter((queue) => queue.commitOffset > queue.committed);
  }

  async #commitAll(): Promise<void> {
    const { consumer, clock, log, counters, onFailure } = this.#options;
    const { signal } = this.#ended;
    for (let dirty = this.#dirty(); dirty.length > 0; dirty = this.#dirty()) {
      if (signal.aborted) return;
      const positions = dirty.map(({ topic, partition, commitOffset }) => ({
        topic,
        partition,
        offset: commitOffset,
      }));
      const startMs = clock.monotonic();
      try {
        await consumer.commit(positions);
        positions.forEach(({ offset }, i) => {
          const queue = dirty[i] as PartitionQueue;
          queue.committed = Math.max(queue.committed, offset);
        });
      } catch (error) {
        onFailure();
        const { message } = toKafkaError(error, "offsets were not committed");
        log.warn(`${message}; they are committed again, or the events come twice`);
        await sleep(clock, retryMs, signal);
      } finally {
        counters.KafkaCommitTimer += clock.monotonic() - startMs;
      }
    }
  }
}
