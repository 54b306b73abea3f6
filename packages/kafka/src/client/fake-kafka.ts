import { MillraceError } from "@millrace/core";
import type {
  ConsumerListener,
  FetchedRecord,
  KafkaClient,
  KafkaConsumer,
  KafkaProducer,
  Position,
  ProducedRecord,
  Subscription,
  TopicPartition,
} from "./kafka-client.ts";

/**
 * A cluster with one topic in memory, behind the same port: for tests of what stands on it. Members
 * of a group share partitions in turns; every join and leave is a rebalance.
 */
export class FakeKafka implements KafkaClient {
  readonly partitions: FetchedRecord[][];
  readonly #groups = new Map<string, FakeGroup>();
  /** Where a group begins that has no offset: as `auto.offset.reset` of its members. */
  startsAt: "earliest" | "latest" = "earliest";
  /** Records a fetch brings at most. */
  fetchMax = 1000;
  /** The next so many of them fail. */
  failingProduces = 0;
  failingCommits = 0;
  failingCounts = 0;
  /** Requests of each kind, also those that failed. */
  readonly asked = { produce: 0, commit: 0, count: 0 };
  /** Produces wait until it resolves. */
  held: Promise<void> | undefined;
  /** Above this a record is refused. */
  recordBytesMax = Infinity;
  /** Above this the client itself refuses a record. */
  requestBytesMax = Infinity;
  nowMs = 0;

  constructor(partitionCount = 1) {
    this.partitions = Array.from({ length: partitionCount }, () => []);
  }

  createProducer(): KafkaProducer {
    return {
      connect: () => Promise.resolve(),
      countPartitions: () => {
        this.asked.count++;
        if (this.failingCounts > 0) {
          this.failingCounts--;
          return Promise.reject(unavailable("counting"));
        }
        return Promise.resolve(this.partitions.length);
      },
      assertFits: (_topic, { value }, index, count) => {
        if (value.length <= this.requestBytesMax) return;
        throw new MillraceError(
          "KAFKA_RECORD_TOO_LARGE",
          `event ${index} of ${count} is too large`,
        );
      },
      produce: (target, records) => this.#produce(target, records),
      close: () => Promise.resolve(),
    };
  }

  createConsumer(subscription: Subscription, listener: ConsumerListener): KafkaConsumer {
    const group = this.group(subscription.groupId);
    const member = new FakeMember(this, group, subscription.topic, listener);
    return {
      start: () => group.join(member),
      flow: (open) => member.flow(open),
      commit: (positions) => this.#commit(group, member, positions),
      stop() {
        group.leave(member);
        return Promise.resolve();
      },
    };
  }

  /** Removes what is below the offset, as the topic's retention does. */
  expire(partition: number, below: number): void {
    const records = this.partitions[partition] as FetchedRecord[];
    records.splice(0, records.filter(({ offset }) => offset < below).length);
  }

  group(groupId: string): FakeGroup {
    const group = this.#groups.get(groupId) ?? new FakeGroup(this);
    this.#groups.set(groupId, group);
    return group;
  }

  /** Adds a record as some other producer would. */
  add(partition: number, value: Buffer | null, key: string | null = null): void {
    const records = this.partitions[partition] as FetchedRecord[];
    records.push({
      offset: (records.at(-1)?.offset ?? -1) + 1,
      key: key === null ? null : Buffer.from(key),
      value,
      timestampMs: this.nowMs,
    });
    for (const group of this.#groups.values()) group.wake();
  }

  async #produce({ partition }: TopicPartition, records: readonly ProducedRecord[]): Promise<void> {
    this.asked.produce++;
    await this.held;
    const bytesMax = Math.min(this.recordBytesMax, this.requestBytesMax);
    if (records.some(({ value }) => value.length > bytesMax)) {
      throw new MillraceError("KAFKA_RECORD_TOO_LARGE", "an event is too large");
    }
    if (this.failingProduces > 0) {
      this.failingProduces--;
      throw unavailable("producing");
    }
    for (const { key, value } of records) this.add(partition, Buffer.from(value), key ?? null);
  }

  #commit(group: FakeGroup, member: FakeMember, positions: readonly Position[]): Promise<void> {
    this.asked.commit++;
    if (this.failingCommits > 0) {
      this.failingCommits--;
      return Promise.reject(unavailable("committing"));
    }
    for (const { partition, offset } of positions) {
      if (!member.owns(partition)) return Promise.reject(unavailable("a foreign partition"));
      group.committed[partition] = offset;
    }
    return Promise.resolve();
  }
}

function unavailable(what: string): MillraceError {
  return new MillraceError("KAFKA_UNAVAILABLE", `the fake cluster fails ${what}`);
}

export class FakeGroup {
  /** The committed offset of each partition that has one. */
  readonly committed: number[] = [];
  readonly #kafka: FakeKafka;
  readonly #members: FakeMember[] = [];

  constructor(kafka: FakeKafka) {
    this.#kafka = kafka;
  }

  join(member: FakeMember): void {
    this.#members.push(member);
    this.rebalance();
  }

  leave(member: FakeMember): void {
    const index = this.#members.indexOf(member);
    if (index < 0) return;
    this.#members.splice(index, 1);
    member.suspend();
    this.rebalance();
  }

  /** Gives every member its share anew. */
  rebalance(): void {
    for (const member of this.#members) member.suspend();
    this.#members.forEach((member, i) => {
      const own = this.#kafka.partitions
        .map((_, partition) => partition)
        .filter((partition) => partition % this.#members.length === i);
      member.assign(own);
    });
    this.wake();
  }

  /** Nobody is a member for the moment, as while the brokers are out of reach. */
  suspend(): void {
    for (const member of this.#members) member.suspend();
  }

  wake(): void {
    for (const member of this.#members) member.wake();
  }
}

class FakeMember {
  readonly #kafka: FakeKafka;
  readonly #group: FakeGroup;
  readonly #topic: string;
  readonly #listener: ConsumerListener;
  #positions = new Map<number, number>();
  #open = true;
  #fetching = false;

  constructor(kafka: FakeKafka, group: FakeGroup, topic: string, listener: ConsumerListener) {
    this.#kafka = kafka;
    this.#group = group;
    this.#topic = topic;
    this.#listener = listener;
  }

  owns(partition: number): boolean {
    return this.#positions.has(partition);
  }

  suspend(): void {
    this.#positions.clear();
    this.#listener.suspended();
  }

  assign(partitions: readonly number[]): void {
    const starts = partitions.map((partition) => {
      const committed = this.#group.committed[partition];
      const records = this.#kafka.partitions[partition] ?? [];
      const low = records[0]?.offset ?? 0;
      const start = this.#kafka.startsAt === "latest" ? (records.at(-1)?.offset ?? -1) + 1 : low;
      const position = { topic: this.#topic, partition };
      if (committed !== undefined && committed >= low) {
        return { ...position, offset: committed, committed };
      }
      if (committed !== undefined) {
        this.#listener.expired({ ...position, offset: committed }, start);
      }
      return { ...position, offset: start, committed };
    });
    for (const { partition, offset } of starts) this.#positions.set(partition, offset);
    const positions = this.#listener.assigned(starts);
    for (const { partition, offset } of positions) this.#positions.set(partition, offset);
  }

  flow(open: boolean): void {
    this.#open = open;
    this.wake();
  }

  /** Fetches soon, as an answer from the network would come. */
  wake(): void {
    if (this.#fetching) return;
    this.#fetching = true;
    queueMicrotask(() => {
      this.#fetching = false;
      while (this.#open && this.#fetchOnce());
    });
  }

  #fetchOnce(): boolean {
    for (const [partition, position] of this.#positions) {
      const log = this.#kafka.partitions[partition] as FetchedRecord[];
      const records = log.filter(({ offset }) => offset >= position).slice(0, this.#kafka.fetchMax);
      const last = records.at(-1);
      if (last === undefined) continue;
      this.#positions.set(partition, last.offset + 1);
      this.#listener.fetched({
        topic: this.#topic,
        partition,
        records,
        nextOffset: last.offset + 1,
        highWatermark: (log.at(-1)?.offset ?? -1) + 1,
      });
      return true;
    }
    return false;
  }
}
