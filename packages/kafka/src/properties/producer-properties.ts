import type { ProducerSettings } from "../client/client-settings.ts";
import { type ConnectionProperties, readConnection } from "./connection-properties.ts";
import { PropertyReader, type PropertyRemark } from "./property-reader.ts";

export interface ProducerProperties {
  readonly connection: ConnectionProperties;
  readonly settings: ProducerSettings;
  /** Bytes of events on their way at most, and how long a put waits for room among them. */
  readonly bufferBytes: number;
  readonly maxBlockMs: number;
  readonly deliveryTimeoutMs: number;
  readonly problems: readonly PropertyRemark[];
  readonly notes: readonly PropertyRemark[];
}

const codecs: Readonly<Record<string, string>> = {
  snappy: "snappy needs a codec that is not part of Millrace; use gzip or none",
  lz4: "lz4 needs a codec that is not part of Millrace; use gzip or none",
  zstd: "zstd needs Node.js 22 and a codec that is not part of Millrace; use gzip or none",
};

const ignoredProperties = {
  "bootstrap.servers": "is set from the component's own list of brokers, as in Flume",
  "key.serializer": "keys are text in UTF-8, values bytes",
  "value.serializer": "keys are text in UTF-8, values bytes",
  "linger.ms": "each put is sent at once, as the one batch that it is",
  "batch.size": "each put is sent at once, as the one batch that it is",
  "enable.idempotence":
    "duplicates of a put that failed in part cannot be told by the broker here; see the decision on the client",
  "transactional.id": "puts are at least once, without Kafka transactions",
  "max.in.flight.requests.per.connection": "one put's records of one partition are one at a time",
  "partitioner.class":
    "a key decides the partition as in Kafka's default partitioner; without one partitions take turns",
};

/** What `<component>.kafka.producer.*` says; defaults are Kafka's where nothing else is written. */
export function readProducerProperties(given: ReadonlyMap<string, string>): ProducerProperties {
  const properties = new PropertyReader("kafka.producer", given);
  const acks = properties.choice("acks", ["all", "-1", "1", "0"], "all");
  const compression = properties.choice(
    "compression.type",
    ["none", "gzip"],
    "none",
    (type) => codecs[type.toLowerCase()],
  );
  const connection = readConnection(properties, { requestTimeoutMs: 15_000 });
  const settings: ProducerSettings = {
    acks: acks === "1" ? 1 : acks === "0" ? 0 : -1,
    gzip: compression === "gzip",
    maxRequestBytes: properties.integer("max.request.size", 1_048_576, { min: 1024 }),
    retries: properties.integer("retries", 5, { min: 0 }),
    createsTopics: properties.boolean("allow.auto.create.topics", true),
  };
  const rest = {
    bufferBytes: properties.integer("buffer.memory", 33_554_432, { min: 1024 }),
    maxBlockMs: properties.integer("max.block.ms", 10_000, { min: 0 }),
    deliveryTimeoutMs: properties.integer("delivery.timeout.ms", 30_000, { min: 1 }),
  };
  const notes = [...properties.ignored(ignoredProperties), ...properties.unknown()];
  if (settings.acks !== -1) {
    notes.push({
      key: "kafka.producer.acks",
      message: "below all, acknowledged events are lost when a broker dies before they are copied",
    });
  }
  return { connection, settings, ...rest, problems: properties.problems, notes };
}
