import { type Clock, type EventBatch, MillraceError } from "@millrace/core";
import { type KafkaProducer, type ProducedRecord } from "../../client/kafka-client.ts";
import { partitionOfKey } from "../../client/murmur2.ts";
import { toRecord } from "./records.ts";

export interface PartitioningOptions {
  readonly topic: string;
  readonly asFlumeEvent: boolean;
  readonly defaultPartition: number | undefined;
  readonly partitionHeader: string | undefined;
}

/** How long the number of partitions is believed. */
const countAgeMaxMs = 300_000;

/**
 * Says which partition each event goes to: the one its header names, else the configured one, else
 * the one of its key as Kafka's producers choose it, else the one whose turn it is. A turn is a
 * whole put, so that events put together stay together in order.
 */
export class Partitioning {
  readonly #options: PartitioningOptions;
  readonly #clock: Clock;
  readonly #header: Buffer | undefined;
  #count = 0;
  #countedAtMs = -Infinity;
  #turn = 0;

  constructor(options: PartitioningOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    const { partitionHeader } = options;
    this.#header = partitionHeader === undefined ? undefined : Buffer.from(partitionHeader);
  }

  /**
   * The batch's records by partition. Throws KAFKA_PARTITION_INVALID, KAFKA_RECORD_TOO_LARGE, and what
   * the producer throws: what can never be stored is refused before another partition has its part.
   */
  async divide(batch: EventBatch, producer: KafkaProducer): Promise<Map<number, ProducedRecord[]>> {
    const named = this.#namedPartitions(batch);
    const highest = named.reduce<number>((most, one) => Math.max(most, one ?? 0), 0);
    const count = await this.#partitionCount(producer, highest);
    const turn = this.#turn++ % count;
    const divided = new Map<number, ProducedRecord[]>();
    for (let i = 0; i < batch.length; i++) {
      const record = toRecord(batch, i, this.#options.asFlumeEvent);
      producer.assertFits(this.#options.topic, record, i, batch.length);
      const partition = named[i] ?? (record.key === undefined ? turn : ofKey(record.key, count));
      if (partition >= count) throw this.#outOfRange(i, batch.length, partition, count);
      const records = divided.get(partition);
      if (records === undefined) divided.set(partition, [record]);
      else records.push(record);
    }
    return divided;
  }

  /** That every event names a partition by a number, if it names one. Throws KAFKA_PARTITION_INVALID. */
  check(batch: EventBatch): void {
    if (this.#header !== undefined) this.#namedPartitions(batch);
  }

  #namedPartitions(batch: EventBatch): (number | undefined)[] {
    const { defaultPartition, partitionHeader } = this.#options;
    const header = this.#header;
    return Array.from({ length: batch.length }, (_, i) => {
      const text = header === undefined ? undefined : batch.headerAt(i, header);
      if (text === undefined) return defaultPartition;
      // What Java's Integer.parseInt takes.
      const partition = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : NaN;
      if (partition >= 0 && partition <= 2_147_483_647) return partition;
      throw new MillraceError(
        "KAFKA_PARTITION_INVALID",
        `event ${i} of ${batch.length} has "${text}" in its header ${partitionHeader}, which is no number of a partition`,
      );
    });
  }

  async #partitionCount(producer: KafkaProducer, highest: number): Promise<number> {
    const now = this.#clock.monotonic();
    if (highest >= this.#count || now - this.#countedAtMs > countAgeMaxMs) {
      this.#count = await producer.countPartitions(this.#options.topic);
      this.#countedAtMs = now;
    }
    return this.#count;
  }

  #outOfRange(index: number, length: number, partition: number, count: number): MillraceError {
    const { topic, partitionHeader } = this.#options;
    const from =
      partitionHeader === undefined
        ? "defaultPartitionId"
        : `header ${partitionHeader} or defaultPartitionId`;
    return new MillraceError(
      "KAFKA_PARTITION_INVALID",
      `event ${index} of ${length} is for partition ${partition} by ${from}; topic ${topic} has ${count}, from 0`,
    );
  }
}

function ofKey(key: string, count: number): number {
  return partitionOfKey(Buffer.from(key), count);
}
