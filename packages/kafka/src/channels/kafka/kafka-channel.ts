import {
  type Channel,
  type ChannelContext,
  type EventBatch,
  MillraceError,
  type PutTransaction,
  sleep,
  type TakeTransaction,
  toMillraceError,
} from "@millrace/core";
import type { KafkaClient, KafkaProducer } from "../../client/kafka-client.ts";
import { createKafkajsClient } from "../../client/kafkajs-client.ts";
import { connectionSettings } from "../../properties/connection-settings.ts";
import {
  createKafkaCounters,
  type KafkaChannelMetrics,
  registerKafkaChannelMetrics,
} from "./kafka-channel-metrics.ts";
import { type KafkaChannelSettings, type Options, settingsOf } from "./options.ts";
import { Partitioning } from "./partitioning.ts";
import { Puts } from "./puts.ts";
import type { PartitionQueue } from "./partition-queue.ts";
import { emptyTake, Takes } from "./takes.ts";

export type MakeKafkaClient = (
  settings: KafkaChannelSettings,
  context: ChannelContext,
) => Promise<KafkaClient>;

/**
 * Keeps events in a topic: a put is committed when the brokers have it, a take when the group's offset
 * may move. The channel has no capacity of its own, and knows of what it holds only what it has
 * fetched: `size` counts events that are lent or wait in memory to be.
 */
export function createKafkaChannel(
  options: Options,
  context: ChannelContext,
  makeClient: MakeKafkaClient = makeKafkajsClient,
): Channel {
  return new EventsInKafka(options, context, makeClient);
}

const makeKafkajsClient: MakeKafkaClient = async (settings, context) => {
  const { brokers, producer, consumer } = settings;
  const { runtime, log } = context;
  const clientId = `${context.agent}-${context.name}`;
  return createKafkajsClient({
    clock: runtime.clock,
    log,
    producer: {
      connection: await connectionSettings(producer.connection, brokers, clientId, runtime),
      settings: producer.settings,
    },
    consumer: {
      connection: await connectionSettings(consumer.connection, brokers, clientId, runtime),
      settings: consumer.settings,
    },
  });
};

const connectRetryMs = 2_000;
const closeGraceMs = 2_000;

interface Sides {
  readonly producer: KafkaProducer;
  readonly puts: Puts;
  readonly takes: Takes;
  readonly ended: AbortController;
}

class EventsInKafka implements Channel {
  readonly name: string;
  readonly durable = true;
  readonly #options: Options;
  readonly #settings: KafkaChannelSettings;
  readonly #context: ChannelContext;
  readonly #makeClient: MakeKafkaClient;
  readonly #counters = createKafkaCounters();
  readonly #metrics: KafkaChannelMetrics;
  #sides: Sides | undefined;
  #stopping: Promise<void> | undefined;
  #connectTrouble: MillraceError | undefined;

  constructor(options: Options, context: ChannelContext, makeClient: MakeKafkaClient) {
    this.name = context.name;
    this.#options = options;
    this.#settings = settingsOf(options);
    this.#context = context;
    this.#makeClient = makeClient;
    this.#metrics = registerKafkaChannelMetrics(context.metrics, context.runtime.clock, {
      events: () => this.size,
      bytes: () => this.#sum(({ readyBytes, lentBytes }) => readyBytes + lentBytes),
      oldestTimestampMs: () => this.#oldestTimestampMs(),
      lag: () => this.#sum(({ highWatermark, commitOffset }) => highWatermark - commitOffset),
      partitions: () => this.#sum(() => 1),
      putBytes: () => this.#sides?.puts.bytes ?? 0,
    });
  }

  get size(): number {
    return this.#sum(({ readyEvents, lentEvents }) => readyEvents + lentEvents);
  }

  get trouble(): MillraceError | undefined {
    return this.#connectTrouble ?? this.#sides?.puts.trouble ?? this.#sides?.takes.trouble;
  }

  readCounters(): Record<string, number> {
    const counters: Record<string, number> = { ...this.#counters };
    for (const name of Object.keys(counters)) counters[name] = Math.round(counters[name] ?? 0);
    return counters;
  }

  /** Reads its stores. Brokers may come later: meanwhile the channel says so and takes no puts. */
  async start(_aborted: AbortSignal): Promise<void> {
    if (this.#sides !== undefined) return;
    const client = await this.#makeClient(this.#settings, this.#context);
    const producer = client.createProducer();
    const counters = this.#counters;
    const { topic, groupId, producer: producing, consumer: consuming } = this.#settings;
    const { parseAsFlumeEvent: asFlumeEvent, defaultPartition, partitionHeader } = this.#options;
    const partitioning = new Partitioning(
      { topic, asFlumeEvent, defaultPartition, partitionHeader },
      this.#context.runtime.clock,
    );
    const puts = new Puts({ topic, ...producing }, this.#context, {
      producer,
      partitioning,
      counters,
    });
    const takes = new Takes(
      {
        subscription: { topic, groupId },
        asFlumeEvent,
        // A sink runner asks again at once: with a poll timeout of 0 it would do nothing else.
        takeWaitMs: Math.max(100, this.#options.pollTimeoutMs),
        memoryBytes: this.#options.memoryBytes,
        maxPollIntervalMs: consuming.maxPollIntervalMs,
        startsAtLowest: consuming.settings.startsAt === "earliest",
      },
      this.#context,
      { client, metrics: this.#metrics, counters },
    );
    const ended = new AbortController();
    this.#sides = { producer, puts, takes, ended };
    void this.#connect(producer, ended.signal);
  }

  stop(deadline: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(deadline).finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async beginPut(batch: EventBatch, signal?: AbortSignal): Promise<PutTransaction> {
    if (this.#sides === undefined) {
      throw new MillraceError("CHANNEL_CLOSED", `channel ${this.name} is not running`);
    }
    return this.#sides.puts.begin(batch, signal);
  }

  async beginTake(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    return this.#sides === undefined ? emptyTake() : this.#sides.takes.begin(max, signal);
  }

  /** Says when no broker answers; the first put would find out only after its time-out. */
  async #connect(producer: KafkaProducer, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      try {
        await producer.connect();
        this.#connectTrouble = undefined;
        return;
      } catch (error) {
        if (ended.aborted) return;
        const trouble = toMillraceError(error, "KAFKA_UNAVAILABLE");
        this.#connectTrouble = trouble;
        this.#context.log.warn(`channel ${this.name}: ${trouble.code} ${trouble.message}`);
        await sleep(this.#context.runtime.clock, connectRetryMs, ended);
      }
    }
  }

  async #stop(deadline: AbortSignal): Promise<void> {
    const sides = this.#sides;
    if (sides === undefined) return;
    sides.ended.abort();
    await Promise.all([sides.puts.stop(deadline), sides.takes.stop(deadline)]);
    this.#sides = undefined;
    this.#connectTrouble = undefined;
    // A broker that is gone may leave its connection to close in doubt for long.
    const { clock } = this.#context.runtime;
    const closed = new AbortController();
    await Promise.race([
      sides.producer.close().finally(() => closed.abort()),
      sleep(clock, closeGraceMs, closed.signal),
    ]);
  }

  #sum(of: (queue: PartitionQueue) => number): number {
    let sum = 0;
    for (const queue of this.#sides?.takes.queues ?? []) sum += of(queue);
    return sum;
  }

  #oldestTimestampMs(): number | undefined {
    let oldest: number | undefined;
    for (const { oldestTimestampMs } of this.#sides?.takes.queues ?? []) {
      if (
        oldestTimestampMs !== undefined &&
        !(oldest !== undefined && oldest < oldestTimestampMs)
      ) {
        oldest = oldestTimestampMs;
      }
    }
    return oldest;
  }
}
