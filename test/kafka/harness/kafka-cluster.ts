import {
  type Child,
  freePort,
  startChild,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import { type ICustomPartitioner, Kafka, logLevel, type Message } from "kafkajs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { run } from "../../conformance/harness/programs.ts";
import { findJars } from "./fetch-jars.ts";

export type KafkaVersion = "3.9.1" | "4.1.0";

export interface ClusterOptions {
  readonly version?: KafkaVersion;
  readonly nodes?: 1 | 3;
  /** A second listener with TLS and SASL, of one node only. */
  readonly secure?: {
    readonly port: number;
    readonly properties: Readonly<Record<string, string>>;
  };
}

export interface Broker {
  readonly port: number;
  readonly running: boolean;
  start(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  output(): string;
}

/** Apache Kafka in KRaft mode, on loopback; gone with the test that started it. */
export interface Cluster {
  /** host:port of each, separated by commas. */
  readonly bootstrapServers: string;
  readonly brokers: readonly Broker[];
  createTopic(topic: string, partitions: number): Promise<void>;
  /** Gives the topic more partitions: so many in all. */
  growTopic(topic: string, partitions: number): Promise<void>;
  /** Sends records as they are. */
  produce(topic: string, records: readonly RawRecord[]): Promise<void>;
  /** The same in a transaction, which is then committed or aborted. */
  produceInTransaction(
    topic: string,
    records: readonly RawRecord[],
    end: "commit" | "abort",
  ): Promise<void>;
  /** Deletes what lies below the offset, as retention does. */
  deleteBelow(topic: string, partition: number, offset: number): Promise<void>;
  /** Every record of the topic, by partition and offset. */
  records(topic: string): Promise<StoredRecord[]>;
  /** The committed offset of each partition; -1 where there is none. */
  committed(topic: string, groupId: string): Promise<number[]>;
  /** How many records the topic has in all. */
  count(topic: string): Promise<number>;
  /** Resolves when every partition has so many replicas in sync. */
  inSync(topic: string, replicas: number): Promise<void>;
}

export interface RawRecord {
  readonly partition?: number;
  readonly key?: string;
  readonly value: Buffer | null;
}

export interface StoredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | undefined;
  readonly value: Buffer;
}

const clusterId = "TWlsbHJhY2VUZXN0aW5nMQ";

/** A running cluster; undefined where it cannot be had, and the test is then skipped with the reason. */
export async function startCluster(
  test: TestContext,
  { version = "3.9.1", nodes = 1, secure }: ClusterOptions = {},
): Promise<Cluster | undefined> {
  const classPath = await findJars(test, {
    name: `kafka-${version}`,
    pom: "broker-pom.xml",
    versionProperty: "kafka.version",
    version,
    contains: `kafka_2.13-${version}.jar`,
  });
  if (classPath === undefined) return undefined;
  const folder = await tempDirectory(test);
  const ports = await Promise.all(
    Array.from({ length: nodes }, async () => ({
      broker: await freePort(),
      controller: await freePort(),
    })),
  );
  const brokers = await Promise.all(
    ports.map((_, i) => createBroker(test, { classPath, folder, index: i, ports, secure })),
  );
  await Promise.all(brokers.map((one) => one.start()));
  return createCluster(test, brokers);
}

interface BrokerOptions {
  readonly classPath: string;
  readonly folder: string;
  readonly index: number;
  readonly ports: readonly { readonly broker: number; readonly controller: number }[];
  readonly secure: ClusterOptions["secure"];
}

async function createBroker(test: TestContext, options: BrokerOptions): Promise<Broker> {
  const { classPath, folder, index, ports } = options;
  const own = ports[index] as BrokerOptions["ports"][number];
  const configFile = join(folder, `broker-${index}.properties`);
  await writeFile(configFile, brokerConfig(options, own));
  const java = (mainClass: string, ...args: string[]): string[] => [
    ...["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    ...["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classPath, mainClass, ...args],
  ];
  await run(
    test,
    java("kafka.tools.StorageTool", "format", "-t", clusterId, "-c", configFile),
    60_000,
  );
  const lives: Child[] = [];
  return {
    port: own.broker,
    get running() {
      const child = lives.at(-1);
      return child !== undefined && child.exit === undefined;
    },
    async start() {
      const child = startChild(test, { command: java("kafka.Kafka", configFile) });
      lives.push(child);
      await waitFor(
        `broker ${index}`,
        async () => child.exit !== undefined || (await answers(own.broker)),
        60_000,
      );
      if (child.exit !== undefined) throw new Error(`broker ${index} ended:\n${child.output()}`);
    },
    async kill(signal = "SIGKILL") {
      const child = lives.at(-1);
      child?.signal(signal);
      await child?.exited();
    },
    output: () => lives.map((child) => child.output()).join(""),
  };
}

function brokerConfig(
  { folder, index, ports, secure }: BrokerOptions,
  own: { readonly broker: number; readonly controller: number },
): string {
  const replicas = String(ports.length);
  const listeners = [
    `PLAINTEXT://127.0.0.1:${own.broker}`,
    ...(secure === undefined ? [] : [`SECURE://127.0.0.1:${secure.port}`]),
  ];
  const properties: Record<string, string> = {
    "process.roles": "broker,controller",
    "node.id": String(index + 1),
    "controller.quorum.voters": ports
      .map(({ controller }, i) => `${i + 1}@127.0.0.1:${controller}`)
      .join(","),
    listeners: [...listeners, `CONTROLLER://127.0.0.1:${own.controller}`].join(","),
    "advertised.listeners": listeners.join(","),
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
    "log.dirs": join(folder, `data-${index}`),
    "default.replication.factor": replicas,
    "min.insync.replicas": ports.length > 1 ? "2" : "1",
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.retention.check.interval.ms": "1000",
    // A dead broker is noticed soon.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    ...secure?.properties,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}

function client(servers: string): Kafka {
  return new Kafka({
    brokers: servers.split(","),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, retries: 20, maxRetryTime: 1_000 },
  });
}

/** Whether the broker is a member of its cluster and says so. */
async function answers(port: number): Promise<boolean> {
  const admin = new Kafka({
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  }).admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.some((broker) => broker.port === port);
  } catch {
    return false;
  } finally {
    await admin.disconnect();
  }
}

async function createCluster(test: TestContext, brokers: readonly Broker[]): Promise<Cluster> {
  const bootstrapServers = brokers.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const kafka = client(bootstrapServers);
  const admin = kafka.admin();
  await admin.connect();
  // A broker that is gone may leave it waiting.
  test.after(() => within("the end of the admin", admin.disconnect()).catch(() => {}));
  const ends = async (topic: string): Promise<{ partition: number; offset: number }[]> =>
    (await admin.fetchTopicOffsets(topic))
      .map(({ partition, high }) => ({ partition, offset: Number(high) }))
      .sort((a, b) => a.partition - b.partition);

  const inSync = async (topic: string, replicas: number): Promise<void> => {
    const isWhole = async (): Promise<boolean> => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const partitions = topics[0]?.partitions ?? [];
      return partitions.length > 0 && partitions.every(({ isr }) => isr.length >= replicas);
    };
    await waitFor(
      `${replicas} replicas of ${topic} in sync`,
      () => within("metadata", isWhole(), 5_000).catch(() => false),
      60_000,
    );
  };

  return {
    bootstrapServers,
    brokers,
    async createTopic(topic, numPartitions) {
      await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
      await inSync(topic, brokers.length);
    },
    async growTopic(topic, count) {
      await admin.createPartitions({ topicPartitions: [{ topic, count }] });
      await waitFor(`${count} partitions of ${topic}`, async () => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const partitions = topics[0]?.partitions ?? [];
        return partitions.filter(({ leader }) => leader >= 0).length === count;
      });
    },
    async produce(topic, records) {
      const producer = kafka.producer({ createPartitioner: byPartition });
      await producer.connect();
      await producer.send({ topic, messages: records.map(toMessage) });
      await producer.disconnect();
    },
    async produceInTransaction(topic, records, end) {
      const producer = kafka.producer({
        createPartitioner: byPartition,
        transactionalId: `of-${topic}`,
        maxInFlightRequests: 1,
        idempotent: true,
      });
      await producer.connect();
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: records.map(toMessage) });
      await transaction[end]();
      await producer.disconnect();
    },
    async deleteBelow(topic, partition, offset) {
      // Without this the admin does not know who leads the partition.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({
        topic,
        partitions: [{ partition, offset: String(offset) }],
      });
    },
    records: async (topic) => readAll(kafka, topic, await ends(topic)),
    async committed(topic, groupId) {
      const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
      return (group?.partitions ?? [])
        .sort((a, b) => a.partition - b.partition)
        .map(({ offset }) => Number(offset));
    },
    count: async (topic) => (await ends(topic)).reduce((sum, { offset }) => sum + offset, 0),
    inSync,
  };
}

const byPartition: ICustomPartitioner =
  () =>
  ({ message }) =>
    message.partition ?? 0;

function toMessage({ partition = 0, key, value }: RawRecord): Message {
  return { partition, key: key ?? null, value };
}

let readers = 0;

async function readAll(
  kafka: Kafka,
  topic: string,
  ends: readonly { readonly partition: number; readonly offset: number }[],
): Promise<StoredRecord[]> {
  const consumer = kafka.consumer({
    groupId: `reader-${process.pid}-${readers++}`,
    maxWaitTimeInMs: 100,
  });
  const records: StoredRecord[] = [];
  const total = ends.reduce((sum, { offset }) => sum + offset, 0);
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: ({ partition, message: { offset, key, value } }) => {
      records.push({
        partition,
        offset: Number(offset),
        key: key?.toString(),
        value: value ?? Buffer.alloc(0),
      });
      return Promise.resolve();
    },
  });
  await waitFor(`${total} records of ${topic}`, () => records.length >= total, 30_000);
  await consumer.disconnect();
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}
