import {
  type ChannelContext,
  countRanges,
  EventBatch,
  LentTake,
  type MillraceError,
  type Ranges,
  splitByRanges,
  type TakeTransaction,
  type Timer,
  WaitingLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import type {
  ConsumerListener,
  FetchedBatch,
  KafkaClient,
  KafkaConsumer,
  Position,
  StartPosition,
  Subscription,
} from "../../client/kafka-client.ts";
import { toKafkaError } from "../../client/kafka-error.ts";
import type { KafkaChannelMetrics, KafkaCounters } from "./kafka-channel-metrics.ts";
import { OffsetCommitter } from "./offset-committer.ts";
import { type LentPiece, PartitionQueue } from "./partition-queue.ts";
import { toEvents } from "./records.ts";

export interface TakesOptions {
  readonly subscription: Subscription;
  readonly asFlumeEvent: boolean;
  readonly takeWaitMs: number;
  readonly memoryBytes: number;
  readonly maxPollIntervalMs: number;
  /** Whether a group that has no offset begins with the oldest record there is, each time. */
  readonly startsAtLowest: boolean;
}

/**
 * The taking side. It joins the group when somebody takes for the first time, so that a channel that
 * is only put into holds no partitions; and leaves it when nobody has taken for
 * `max.poll.interval.ms`, so that others get what it holds.
 */
export class Takes implements ConsumerListener {
  readonly #options: TakesOptions;
  readonly #context: ChannelContext;
  readonly #client: KafkaClient;
  readonly #metrics: KafkaChannelMetrics;
  readonly #counters: KafkaCounters;
  readonly #line: WaitingLine<number, LentTake>;
  #queues = new Map<number, PartitionQueue>();
  /** The partition that was served last: the others come first. */
  #served = -1;
  #consumer: KafkaConsumer | undefined;
  #committer: OffsetCommitter | undefined;
  /** The way out of the group, and how to give up its commits. */
  #leaving: { readonly done: Promise<void>; end(): void } | undefined;
  #running = true;
  /** Whether the partitions of the queues are ours at this moment. */
  #assigned = false;
  #open = true;
  #takenAtMs = 0;
  #idleTimer: Timer | undefined;
  trouble: MillraceError | undefined;

  constructor(
    options: TakesOptions,
    context: ChannelContext,
    parts: { client: KafkaClient; metrics: KafkaChannelMetrics; counters: KafkaCounters },
  ) {
    this.#options = options;
    this.#context = context;
    this.#client = parts.client;
    this.#metrics = parts.metrics;
    this.#counters = parts.counters;
    this.#line = new WaitingLine(context.runtime.clock);
  }

  get queues(): Iterable<PartitionQueue> {
    return this.#queues.values();
  }

  async begin(max: number, signal?: AbortSignal): Promise<TakeTransaction> {
    assert(max > 0, `a take of ${max} events`);
    if (!this.#running || signal?.aborted === true) return this.#take(0);
    this.#noteTaker();
    if (this.#hasReady()) return this.#take(max);
    const { clock } = this.#context.runtime;
    const startMs = clock.monotonic();
    try {
      return await this.#line.wait(max, this.#options.takeWaitMs, signal, () => this.#take(0));
    } finally {
      this.#counters.KafkaEventGetTimer += clock.monotonic() - startMs;
    }
  }

  /** Commits what is settled, until the deadline, and leaves the group. What is lent is given up. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#running = false;
    this.#line.end(() => this.#take(0));
    await this.#leave(deadline);
  }

  assigned(starts: readonly StartPosition[]): readonly Position[] {
    const before = this.#queues;
    this.#queues = new Map();
    for (const position of starts) {
      const queue = this.#keepOrMake(before.get(position.partition), position);
      this.#queues.set(position.partition, queue);
      before.delete(position.partition);
    }
    for (const queue of before.values()) this.#giveUp(queue, "is another member's now");
    this.#assigned = true;
    this.trouble = undefined;
    this.#context.log.debug(
      `channel ${this.#context.name} reads ${starts.length} partitions of topic ${this.#options.subscription.topic}`,
    );
    this.#committer?.wake();
    this.#serve();
    return [...this.#queues.values()].map(({ topic, partition, position }) => ({
      topic,
      partition,
      offset: position,
    }));
  }

  suspended(): void {
    this.#assigned = false;
  }

  fetched({ topic, partition, records, nextOffset, highWatermark }: FetchedBatch): void {
    const queue = this.#queues.get(partition);
    assert(queue !== undefined, `fetched partition ${partition}, which is not ours`);
    const { malformed, ...events } = toEvents(records, this.#options.asFlumeEvent);
    queue.highWatermark = highWatermark;
    queue.add(events, nextOffset);
    const [first] = malformed;
    if (first !== undefined) {
      this.#metrics.malformed.value += malformed.length;
      const offsets = malformed.slice(0, 10).map(({ offset }) => offset);
      this.#context.log.error(
        `${malformed.length} records of topic ${topic}, partition ${partition}, are no Flume events and are skipped: ` +
          `offsets ${offsets.join(", ")}${malformed.length > offsets.length ? ", ..." : ""}; the first: ${first.reason}. ` +
          `They stay in the topic as long as it keeps them. If all of its records are like this, set parseAsFlumeEvent = false`,
        { topic, partition, offset: first.offset, records: malformed.length },
      );
      this.#committer?.wake();
    }
    this.#serve();
    this.#regulate();
  }

  expired({ topic, partition, offset: committed }: Position, to: number): void {
    // What was read before is here still.
    const offset = Math.max(committed, this.#queues.get(partition)?.position ?? 0);
    if (offset >= to) return;
    this.#metrics.expired.value += to - offset;
    this.#context.log.error(
      `topic ${topic}, partition ${partition}, no longer holds offsets ${offset} to ${to - 1}, which were not delivered: ` +
        `they are lost; let the topic keep records for longer than a sink may stand still (retention.ms, retention.bytes)`,
      { topic, partition, offset, records: to - offset },
    );
  }

  failed(error: unknown): void {
    const failure = toKafkaError(error, "nothing is read from Kafka");
    this.trouble = failure;
    this.#context.log.warn(`channel ${this.#context.name}: ${failure.code} ${failure.message}`);
  }

  #end(pieces: readonly LentPiece[], settled: Ranges, whole: number): void {
    this.#takenAtMs = this.#context.runtime.clock.monotonic();
    const count = countRanges(settled);
    let base = 0;
    for (const piece of pieces) {
      const { length } = piece.batch;
      const parts = [...splitByRanges(settled, base, length)];
      piece.queue.end(
        piece,
        parts.filter(({ isInside }) => isInside),
      );
      base += length;
    }
    this.#context.counters.EventTakeSuccessCount += count;
    this.#metrics.taken.value += count;
    this.#counters.RollbackCount += whole - count;
    if (count > 0) this.#committer?.wake();
    if (count < whole) this.#serve();
    this.#regulate();
  }

  #noteTaker(): void {
    const { clock } = this.#context.runtime;
    this.#takenAtMs = clock.monotonic();
    if (this.#consumer !== undefined || this.#leaving !== undefined) return;
    const consumer = this.#client.createConsumer(this.#options.subscription, this);
    this.#consumer = consumer;
    this.#open = true;
    this.#committer = new OffsetCommitter({
      consumer,
      queues: () => (this.#assigned ? this.#queues.values() : []),
      clock,
      log: this.#context.log,
      counters: this.#counters,
      onFailure: () => this.#metrics.commitFailures.value++,
    });
    consumer.start();
    this.#watchIdle(this.#options.maxPollIntervalMs);
  }

  /** Leaves the group when nobody takes any more; the next taker joins it again. */
  #watchIdle(ms: number): void {
    const { clock, log, name } = { ...this.#context, clock: this.#context.runtime.clock };
    const interval = this.#options.maxPollIntervalMs;
    this.#idleTimer = clock.setTimer(ms, () => {
      const left = this.#takenAtMs + interval - clock.monotonic();
      if (left > 0 || !this.#line.isEmpty) return this.#watchIdle(Math.max(left, 1));
      log.warn(
        `channel ${name} leaves its group: nobody has taken from it for max.poll.interval.ms, ${interval} ms`,
      );
      void this.#leave();
    });
  }

  async #leave(deadline?: AbortSignal): Promise<void> {
    this.#idleTimer?.cancel();
    const consumer = this.#consumer;
    const committer = this.#committer;
    this.#consumer = undefined;
    this.#committer = undefined;
    if (consumer !== undefined && committer !== undefined) {
      const end = (): void => committer.end();
      const done = committer.flush().then(async () => {
        end();
        this.#assigned = false;
        for (const queue of this.#queues.values()) this.#giveUp(queue, "was left by this agent");
        this.#queues.clear();
        await consumer.stop();
        this.#leaving = undefined;
      });
      this.#leaving = { done, end };
    }
    if (this.#leaving === undefined) return;
    const { done, end } = this.#leaving;
    if (deadline === undefined) return done;
    if (deadline.aborted) end();
    else deadline.addEventListener("abort", end, { once: true });
    // The broker may not answer; what is left of the consumer ends by itself.
    const late = new Promise<void>((resolve) => {
      const { clock } = this.#context.runtime;
      const soon = (): void => void clock.setTimer(graceMs, resolve);
      if (deadline.aborted) soon();
      else deadline.addEventListener("abort", soon, { once: true });
    });
    await Promise.race([done, late]);
  }

  /**
   * The queue goes on where the group has not moved, or has no offset at all; else it begins where the
   * group is. What the topic let go of after it was read is delivered from here. What was read from there on is not passed over by a later beginning: a group whose
   * offset is not the one it begins at, as with `latest`, is told it at once.
   */
  #keepOrMake(queue: PartitionQueue | undefined, start: StartPosition): PartitionQueue {
    const { topic, partition, offset, committed } = start;
    const known = committed ?? (this.#options.startsAtLowest ? offset : -1);
    if (queue !== undefined && (committed === undefined || offset >= queue.committed)) {
      if (committed !== undefined) queue.settleBelow(Math.min(committed, offset));
      queue.skipTo(offset);
      queue.committed = known;
      return queue;
    }
    if (queue !== undefined) this.#giveUp(queue, "was set back by the group");
    const made = new PartitionQueue(topic, partition, offset);
    made.committed = known;
    return made;
  }

  #giveUp(queue: PartitionQueue, why: string): void {
    const { lentEvents, topic, partition } = queue;
    queue.close();
    if (lentEvents === 0) return;
    this.#metrics.givenUp.value += lentEvents;
    this.#context.log.warn(
      `partition ${partition} of topic ${topic} ${why}: ${lentEvents} events that a sink still holds may be delivered twice`,
      { topic, partition, events: lentEvents },
    );
  }

  #hasReady(): boolean {
    if (!this.#assigned) return false;
    for (const { readyEvents } of this.#queues.values()) if (readyEvents > 0) return true;
    return false;
  }

  #take(max: number): LentTake {
    const pieces: LentPiece[] = [];
    let left = max;
    for (const queue of left > 0 ? this.#inTurn() : []) {
      for (let piece = queue.take(left); piece !== undefined; piece = queue.take(left)) {
        pieces.push(piece);
        left -= piece.batch.length;
        this.#served = queue.partition;
        if (left === 0) break;
      }
      if (left === 0) break;
    }
    const batch = EventBatch.join(pieces.map((piece) => piece.batch));
    const take = new LentTake(batch, (settled) => this.#end(pieces, settled, batch.length));
    this.#context.counters.EventTakeAttemptCount += Math.max(1, take.batch.length);
    this.#regulate();
    return take;
  }

  /** The queues from the one behind the last that was served. */
  #inTurn(): PartitionQueue[] {
    const queues = [...this.#queues.values()].sort((a, b) => a.partition - b.partition);
    const next = queues.findIndex(({ partition }) => partition > this.#served);
    return next <= 0 ? queues : [...queues.slice(next), ...queues.slice(0, next)];
  }

  #serve(): void {
    this.#line.serve((max) => (this.#hasReady() ? this.#take(max) : undefined));
  }

  /** Pauses fetching above the bound, and goes on when half of it is taken. */
  #regulate(): void {
    let bytes = 0;
    for (const { readyBytes } of this.#queues.values()) bytes += readyBytes;
    const { memoryBytes } = this.#options;
    const open = this.#open ? bytes < memoryBytes : bytes * 2 < memoryBytes;
    if (open === this.#open) return;
    this.#open = open;
    this.#consumer?.flow(open);
  }
}

/** What a channel that is not running gives. */
export function emptyTake(): TakeTransaction {
  return new LentTake(EventBatch.empty, () => undefined);
}

/** Beyond the deadline of a stop the group is left without waiting for its answer. */
const graceMs = 500;
