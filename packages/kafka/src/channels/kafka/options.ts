import { boolean, ignored, integer, list, type OptionsOf, prefixed, text } from "@millrace/core";
import {
  type ConsumerProperties,
  readConsumerProperties,
} from "../../properties/consumer-properties.ts";
import {
  type ProducerProperties,
  readProducerProperties,
} from "../../properties/producer-properties.ts";

const noZooKeeper =
  "Brokers are found by kafka.bootstrap.servers, and offsets are Kafka's own; offsets kept in ZooKeeper must be moved before, with Java Flume.";

export const options = {
  bootstrapServers: list(
    "kafka.bootstrap.servers",
    "Brokers to begin with, as host:port. Required.",
    { separator: "comma" },
  ),
  topic: text(
    "kafka.topic",
    "The topic that holds the channel's events. When not set: flume-channel.",
  ),
  groupId: text(
    "kafka.consumer.group.id",
    "The group in whose name events are taken. Agents with the same group share the events of the " +
      "topic; each group gets all of them. When not set: flume.",
  ),
  parseAsFlumeEvent: boolean(
    "parseAsFlumeEvent",
    "Whether records hold events with their headers, as Flume's Avro binary. When false, a record " +
      "is a body: headers are lost but for key.",
    { default: true },
  ),
  pollTimeoutMs: integer("kafka.pollTimeout", "How long a take waits for an event.", {
    default: 500,
    min: 0,
    unit: "ms",
  }),
  defaultPartition: integer(
    "defaultPartitionId",
    "The partition for events that name none. When not set: the one of the event's key, or without " +
      "a key partitions in turns.",
    { min: 0, max: 2_147_483_647 },
  ),
  partitionHeader: text(
    "partitionIdHeader",
    "The header that names an event's partition; it wins over defaultPartitionId.",
  ),
  memoryBytes: integer(
    "memoryBytes",
    "Events fetched and not yet taken that are kept in memory, about; fetching pauses above it.",
    { default: 33_554_432, min: 65_536, unit: "bytes" },
  ),
  producer: prefixed(
    "kafka.producer",
    "Properties of Kafka's producer: acks, compression.type (none, gzip), security.protocol, sasl.*, ssl.* and others; see above.",
  ),
  consumer: prefixed(
    "kafka.consumer",
    "Properties of Kafka's consumer: auto.offset.reset, session.timeout.ms, security.protocol, sasl.*, ssl.* and others; see above.",
  ),
  brokerList: list("brokerList", "Old name of kafka.bootstrap.servers.", { separator: "comma" }),
  oldTopic: text("topic", "Old name of kafka.topic."),
  oldGroupId: text("groupId", "Old name of kafka.consumer.group.id."),
  readSmallestOffset: boolean(
    "readSmallestOffset",
    "Old way to say kafka.consumer.auto.offset.reset: true is earliest, false latest.",
  ),
  zookeeperConnect: ignored("zookeeperConnect", noZooKeeper),
  migrateZookeeperOffsets: ignored("migrateZookeeperOffsets", noZooKeeper),
};

export type Options = OptionsOf<typeof options>;

/** What the options mean together: old names, defaults, and the properties of Kafka's clients. */
export interface KafkaChannelSettings {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly groupId: string;
  readonly producer: ProducerProperties;
  readonly consumer: ConsumerProperties;
}

export function settingsOf(options: Options): KafkaChannelSettings {
  const { bootstrapServers, brokerList, readSmallestOffset } = options;
  return {
    brokers: bootstrapServers.length > 0 ? bootstrapServers : brokerList,
    topic: options.topic ?? options.oldTopic ?? "flume-channel",
    groupId: options.groupId ?? options.oldGroupId ?? "flume",
    producer: readProducerProperties(options.producer),
    consumer: readConsumerProperties(options.consumer, {
      startsAt: readSmallestOffset === false ? "latest" : "earliest",
    }),
  };
}

export function problemsOf(options: Options): { key: string; message: string }[] {
  const { brokers, topic, producer, consumer } = settingsOf(options);
  const problems = [...producer.problems, ...consumer.problems];
  const key = options.bootstrapServers.length > 0 ? "kafka.bootstrap.servers" : "brokerList";
  if (brokers.length === 0) {
    problems.push({ key: "kafka.bootstrap.servers", message: "is required: a list of host:port" });
  }
  for (const broker of brokers) {
    if (!/^(?:[^\s:]+|\[[^\]]+\]):\d{1,5}$/.test(broker)) {
      problems.push({ key, message: `"${broker}" is not host:port` });
    }
  }
  if (!/^[\w.-]{1,249}$/.test(topic)) {
    problems.push({
      key: "kafka.topic",
      message: `"${topic}" is no name of a topic: letters, digits, dot, dash and underscore`,
    });
  }
  return problems;
}

export function notesOf(options: Options): { key: string; message: string }[] {
  const { producer, consumer } = settingsOf(options);
  return [...producer.notes, ...consumer.notes];
}
