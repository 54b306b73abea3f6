/**
 * What this package needs of a Kafka client, and no more: every component stands on this port, so
 * that the client library behind it can be exchanged without touching them. Offsets are numbers: a
 * partition would need a thousand years at a million events a second to leave their exact range.
 */
export interface KafkaClient {
  createProducer(): KafkaProducer;
  createConsumer(subscription: Subscription, listener: ConsumerListener): KafkaConsumer;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** The offset of the next record to read, or of the first one that is not settled. */
export interface Position extends TopicPartition {
  readonly offset: number;
}

/** Where a partition is to be read from on. */
export interface StartPosition extends Position {
  /** The group's own offset; undefined where it has none, and begins where `auto.offset.reset` says. */
  readonly committed: number | undefined;
}

export interface ProducedRecord {
  readonly key?: string;
  readonly value: Buffer;
}

/** All of its calls throw KAFKA_UNAVAILABLE or KAFKA_REFUSED, and are worth another try then. */
export interface KafkaProducer {
  /** Resolves when a broker has answered. */
  connect(): Promise<void>;
  /**
   * How many partitions the topic has now. A topic that is missing comes into being where the
   * cluster allows that.
   */
  countPartitions(topic: string): Promise<number>;
  /** Throws KAFKA_RECORD_TOO_LARGE for a record that no request can hold: event `index` of `count`. */
  assertFits(topic: string, record: ProducedRecord, index: number, count: number): void;
  /**
   * Resolves when the partition holds the records, in their order, as durably as `acks` says. A
   * failure says nothing about how many of them are stored. Throws KAFKA_RECORD_TOO_LARGE, too.
   */
  produce(target: TopicPartition, records: readonly ProducedRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface Subscription {
  readonly topic: string;
  readonly groupId: string;
}

export interface FetchedRecord {
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

/** Records of one partition, in order. */
export interface FetchedBatch extends TopicPartition {
  readonly records: readonly FetchedRecord[];
  /** Where the next batch of this partition begins. */
  readonly nextOffset: number;
  /** The offset behind the last record that the partition has. */
  readonly highWatermark: number;
}

/** What a consumer tells its owner. No call may throw. */
export interface ConsumerListener {
  /**
   * From now on these partitions are ours, and no others. Each comes with the offset from which the
   * group wants it read; the owner answers from where it does. Called at every rebalance, also for
   * partitions that stay.
   */
  assigned(starts: readonly StartPosition[]): readonly Position[];
  /** Nothing is ours any more, until the next `assigned`: the group rebalances, or is out of reach. */
  suspended(): void;
  /** The batch that follows the last one of its partition, without a gap and without an overlap. */
  fetched(batch: FetchedBatch): void;
  /** Records that the group had not settled and that the topic no longer holds. */
  expired(from: Position, to: number): void;
  /** Why nothing is read now. It goes on trying; the next `assigned` is the end of the trouble. */
  failed(error: unknown): void;
}

export interface KafkaConsumer {
  /** Joins the group, and goes on trying to until it is stopped. */
  start(): void;
  /** Whether records are fetched. The membership in the group does not depend on it. */
  flow(open: boolean): void;
  /**
   * Commits offsets of partitions that are ours now. Refused, by us or by the broker, when they are
   * not: a member that was left out cannot set back or run ahead of the one that came after it.
   */
  commit(positions: readonly Position[]): Promise<void>;
  /** Leaves the group. */
  stop(): Promise<void>;
}
