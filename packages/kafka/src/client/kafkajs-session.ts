import { type Log, MillraceError, sleep, type Clock } from "@millrace/core";
import {
  type Admin,
  type Consumer,
  type EachBatchPayload,
  type Kafka,
  type KafkaMessage,
  type Cluster,
} from "kafkajs";
import { createAssigner } from "./assigners.ts";
import type { ConsumerSettings } from "./client-settings.ts";
import type {
  ConsumerListener,
  FetchedRecord,
  Position,
  StartPosition,
  Subscription,
} from "./kafka-client.ts";
import { toKafkaError } from "./kafka-error.ts";

export interface SessionOptions {
  readonly kafka: Kafka;
  readonly settings: ConsumerSettings;
  readonly subscription: Subscription;
  readonly listener: ConsumerListener;
  readonly clock: Clock;
  readonly log: Log;
}

/** A partition that is ours. `next` is where we read on; unset until it was agreed on. */
interface Assigned {
  next: number | undefined;
}

/** Where the group is in a partition, -1 for nowhere, and the offsets `[low, high)` that it holds. */
interface Place {
  readonly committed: number;
  readonly low: number;
  readonly high: number;
}

type CommitOffsets = EachBatchPayload["commitOffsetsIfNecessary"];

const positionRetryMs = 500;

/**
 * One kafkajs consumer, from joining the group to its end. Two things are not left to kafkajs:
 *
 * - Where to read. After a rebalance it reads from the committed offset, also what its owner still
 *   holds; and an answer to a question asked before the rebalance would move it on over records
 *   that nobody has seen. So every partition is paused when it is assigned, its position is agreed
 *   on and set, and a batch that does not begin there is not taken.
 * - Repeating a commit. Its own repetition would go out in the name of whatever generation is
 *   current by then. A commit goes out once, in the generation it is meant for.
 */
export class KafkajsSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #admin: Admin;
  readonly #assigned = new Map<number, Assigned>();
  /** What kafkajs's loops ask for brokers, before each fetch. */
  #cluster: Pick<Cluster, "getNodeIds"> | undefined;
  #commitOffsets: CommitOffsets | undefined;
  #open: boolean;
  #live = false;
  /** Whether the owner knows what is ours since the group moved last. */
  #agreed = false;
  #joined = false;
  /** Grows with every assignment and at the end: what was begun before it has no effect any more. */
  #generation = 0;
  #fail: (error: unknown) => void = () => {};

  constructor(options: SessionOptions, open: boolean) {
    const { kafka, settings, subscription } = options;
    this.#options = options;
    this.#open = open;
    this.#admin = kafka.admin({ retry: { retries: 2 } });
    this.#consumer = kafka.consumer({
      groupId: subscription.groupId,
      partitionAssigners: [
        (config) => {
          this.#cluster = config.cluster;
          return createAssigner(settings.assignment)(config);
        },
      ],
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatIntervalMs,
      rebalanceTimeout: settings.rebalanceTimeoutMs,
      minBytes: settings.fetchMinBytes,
      maxBytes: settings.fetchMaxBytes,
      maxBytesPerPartition: settings.partitionFetchBytesMax,
      maxWaitTimeInMs: settings.fetchWaitMs,
      readUncommitted: settings.readsUncommitted,
      allowAutoTopicCreation: settings.createsTopics,
      retry: { initialRetryTime: 100, restartOnFailure: () => Promise.resolve(false) },
    });
  }

  /** Whether it was a member of the group at any time. */
  get joined(): boolean {
    return this.#joined;
  }

  /** Runs until the signal aborts; throws why it ended before. */
  async run(stopping: AbortSignal): Promise<void> {
    const { topic } = this.#options.subscription;
    const consumer = this.#consumer;
    const ended = new Promise<void>((resolve, reject) => {
      this.#fail = reject;
      if (stopping.aborted) resolve();
      else stopping.addEventListener("abort", () => resolve(), { once: true });
    });
    // What goes wrong before it is awaited is not unhandled.
    ended.catch(() => {});
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
      this.#onJoined(payload.memberAssignment[topic] ?? []),
    );
    consumer.on(consumer.events.REBALANCING, () => this.#suspend());
    consumer.on(consumer.events.CRASH, ({ payload }) => this.#fail(payload.error));
    consumer.on(consumer.events.START_BATCH_PROCESS, ({ payload }) =>
      this.#onNothingLeft(payload.partition, payload.batchSize, payload.lastOffset),
    );
    await Promise.race([ended, this.#begin(topic)]);
    await ended;
  }

  flow(open: boolean): void {
    if (this.#open === open) return;
    this.#open = open;
    this.#applyFlow([...this.#assigned.keys()]);
  }

  async commit(positions: readonly Position[]): Promise<void> {
    const foreign = positions.find(({ partition }) => !this.#assigned.has(partition));
    if (foreign !== undefined || !this.#live || !this.#agreed) {
      throw new MillraceError(
        "KAFKA_UNAVAILABLE",
        `partition ${foreign?.partition ?? ""} of topic ${this.#options.subscription.topic} is not ours now: its offset is not committed`,
      );
    }
    const offsets = positions.map((position) => ({
      topic: position.topic,
      partition: position.partition,
      offset: String(position.offset),
    }));
    try {
      // Before its first batch kafkajs has but the call that repeats; at worst it sets an offset of
      // a partition that was just lost back to what we have settled, which costs duplicates.
      if (this.#commitOffsets === undefined) await this.#consumer.commitOffsets(offsets);
      else await this.#commitOffsets({ topics: byTopic(offsets) });
    } catch (error) {
      throw toKafkaError(error, `offsets of group ${this.#options.subscription.groupId}`);
    }
  }

  /** Leaves the group and closes every connection, whatever they answer. */
  async close(): Promise<void> {
    this.#live = false;
    this.#suspendSilently();
    // Told to stop while it replaces its fetchers, because a broker came or went, kafkajs starts the
    // new ones all the same; each then finds at once that there is nothing to do, again and again,
    // and the process does nothing else any more. An error ends them.
    if (this.#cluster !== undefined) {
      this.#cluster.getNodeIds = () => {
        throw new Error("the consumer is closed");
      };
    }
    await Promise.allSettled([this.#consumer.disconnect(), this.#admin.disconnect()]);
  }

  async #begin(topic: string): Promise<void> {
    const { settings } = this.#options;
    await this.#admin.connect();
    await this.#consumer.connect();
    await this.#consumer.subscribe({
      topics: [topic],
      fromBeginning: settings.startsAt !== "latest",
    });
    this.#live = true;
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (payload) => {
        this.#onBatch(payload);
        return Promise.resolve();
      },
    });
  }

  #onJoined(partitions: readonly number[]): void {
    this.#joined = true;
    // A member that the group had forgotten joins again without a word about a rebalance.
    if (this.#assigned.size > 0) this.#suspend();
    this.#suspendSilently();
    for (const partition of partitions) this.#assigned.set(partition, { next: undefined });
    this.#applyFlow(partitions);
    void this.#agreeOnPositions(this.#generation);
  }

  #suspend(): void {
    this.#suspendSilently();
    this.#options.listener.suspended();
  }

  #suspendSilently(): void {
    this.#generation++;
    this.#agreed = false;
    this.#assigned.clear();
  }

  /** Asks the group for its offsets until it answers, and the owner from where it reads. */
  async #agreeOnPositions(generation: number): Promise<void> {
    const { listener, clock } = this.#options;
    while (generation === this.#generation) {
      try {
        const starts = await this.#startPositions([...this.#assigned.keys()]);
        if (generation !== this.#generation) return;
        this.#agreed = true;
        for (const position of listener.assigned(starts)) this.#readFrom(position);
        return;
      } catch (error) {
        if (generation !== this.#generation) return;
        const failure = toKafkaError(error, "committed offsets cannot be read");
        listener.failed(failure);
        await sleep(clock, positionRetryMs);
      }
    }
  }

  async #startPositions(partitions: readonly number[]): Promise<StartPosition[]> {
    if (partitions.length === 0) return [];
    const { topic } = this.#options.subscription;
    const places = await this.#fetchPlaces();
    return partitions.map((partition) => {
      const place = places.get(partition);
      if (place === undefined) {
        // Not every broker knows of a partition at the same time. Its beginning would be a guess.
        throw new MillraceError(
          "KAFKA_UNAVAILABLE",
          `partition ${partition} of topic ${topic} is not known yet: nothing is read of it`,
        );
      }
      const { committed, low, high } = place;
      const offset = this.#start(partition, committed, low, high);
      return { topic, partition, offset, committed: committed < 0 ? undefined : committed };
    });
  }

  async #fetchPlaces(): Promise<Map<number, Place>> {
    const { topic, groupId } = this.#options.subscription;
    const [ranges, groups] = await Promise.all([
      this.#admin.fetchTopicOffsets(topic),
      this.#admin.fetchOffsets({ groupId, topics: [topic] }),
    ]);
    const places = new Map<number, Place>();
    for (const { partition, offset } of groups.flatMap((group) => group.partitions)) {
      const range = ranges.find((one) => one.partition === partition);
      if (range === undefined) continue;
      const [low, high] = [Number(range.low), Number(range.high)];
      places.set(partition, { committed: Number(offset), low, high });
    }
    return places;
  }

  /** Where the group reads a partition, which holds `[low, high)`. */
  #start(partition: number, committed: number, low: number, high: number): number {
    const { settings, subscription, listener } = this.#options;
    if (committed >= low && committed <= high) return committed;
    if (settings.startsAt === "none") {
      throw new MillraceError(
        "KAFKA_REFUSED",
        `group ${subscription.groupId} has no offset in partition ${partition} of topic ${subscription.topic}, which holds ${low} to ${high}, and auto.offset.reset is none`,
      );
    }
    const start = settings.startsAt === "earliest" ? low : high;
    if (committed >= 0 && committed < start) {
      listener.expired({ topic: subscription.topic, partition, offset: committed }, start);
    }
    return start;
  }

  #readFrom({ topic, partition, offset }: Position): void {
    const assigned = this.#assigned.get(partition);
    if (assigned === undefined || !this.#live) return;
    this.#consumer.seek({ topic, partition, offset: String(offset) });
    assigned.next = offset;
    this.#applyFlow([partition]);
  }

  #applyFlow(partitions: readonly number[]): void {
    if (!this.#live) return;
    const { topic } = this.#options.subscription;
    for (const partition of partitions) {
      const reads = this.#open && this.#assigned.get(partition)?.next !== undefined;
      const what = [{ topic, partitions: [partition] }];
      if (reads) this.#consumer.resume(what);
      else this.#consumer.pause(what);
    }
  }

  #onBatch({ batch, resolveOffset, commitOffsetsIfNecessary }: EachBatchPayload): void {
    const { topic, partition } = batch;
    this.#commitOffsets = commitOffsetsIfNecessary;
    const assigned = this.#assigned.get(partition);
    const last = batch.messages.at(-1);
    if (assigned?.next === undefined || last === undefined) return;
    if (askedFor(batch) !== assigned.next) {
      this.#reposition(partition, assigned);
      return;
    }
    const nextOffset = Number(batch.lastOffset()) + 1;
    try {
      this.#options.listener.fetched({
        topic,
        partition,
        records: batch.messages.map(toRecord),
        nextOffset,
        highWatermark: Number(batch.highWatermark),
      });
    } catch (error) {
      // Not taken: it is read again, by another session.
      this.#fail(error);
      return;
    }
    resolveOffset(last.offset);
    assigned.next = nextOffset;
  }

  /** kafkajs has moved over records that are not for us: control records, aborted transactions. */
  #onNothingLeft(partition: number, count: number, lastOffset: string): void {
    const assigned = this.#assigned.get(partition);
    if (count > 0 || assigned?.next === undefined) return;
    assigned.next = Math.max(assigned.next, Number(lastOffset) + 1);
  }

  /** An answer to another question than ours: asks again, unless what we ask for is gone. */
  #reposition(partition: number, assigned: Assigned): void {
    const { topic } = this.#options.subscription;
    const offset = assigned.next as number;
    assigned.next = undefined;
    this.#applyFlow([partition]);
    const generation = this.#generation;
    void this.#admin
      .fetchTopicOffsets(topic)
      .then((ranges) => {
        if (generation !== this.#generation) return;
        const range = ranges.find((one) => one.partition === partition);
        const low = Number(range?.low ?? 0);
        const high = Number(range?.high ?? Infinity);
        this.#readFrom({ topic, partition, offset: this.#start(partition, offset, low, high) });
      })
      .catch((error: unknown) => this.#fail(error));
  }
}

/**
 * The offset that the batch was asked for; kafkajs has it but does not declare it. The first offset
 * of the batch may lie behind it, where records were compacted away.
 */
function askedFor(batch: EachBatchPayload["batch"]): number {
  return "fetchedOffset" in batch ? Number(batch.fetchedOffset) : Number(batch.firstOffset());
}

function toRecord({ offset, key, value, timestamp }: KafkaMessage): FetchedRecord {
  return { offset: Number(offset), key, value, timestampMs: Number(timestamp) };
}

function byTopic(
  offsets: readonly { topic: string; partition: number; offset: string }[],
): { topic: string; partitions: { partition: number; offset: string }[] }[] {
  const topics = new Map<string, { partition: number; offset: string }[]>();
  for (const { topic, partition, offset } of offsets) {
    const partitions = topics.get(topic) ?? [];
    partitions.push({ partition, offset });
    topics.set(topic, partitions);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
