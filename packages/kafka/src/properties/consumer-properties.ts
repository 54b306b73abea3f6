import type { ConsumerSettings } from "../client/client-settings.ts";
import { type ConnectionProperties, readConnection } from "./connection-properties.ts";
import { PropertyReader, type PropertyRemark } from "./property-reader.ts";

export interface ConsumerProperties {
  readonly connection: ConnectionProperties;
  readonly settings: ConsumerSettings;
  /** How long nobody may take before the group is left, for others to read on. */
  readonly maxPollIntervalMs: number;
  readonly problems: readonly PropertyRemark[];
  readonly notes: readonly PropertyRemark[];
}

const ignoredProperties = {
  "bootstrap.servers": "is set from the component's own list of brokers, as in Flume",
  "enable.auto.commit": "is always false, as in Flume: offsets are committed for delivered events",
  "auto.commit.interval.ms": "offsets are committed when events are delivered",
  "key.deserializer": "keys are text in UTF-8, values bytes",
  "value.deserializer": "keys are text in UTF-8, values bytes",
  "max.poll.records": "a sink's batch size says how many events it takes",
};

const strategies = {
  "org.apache.kafka.clients.consumer.rangeassignor": "range",
  range: "range",
  "org.apache.kafka.clients.consumer.roundrobinassignor": "roundrobin",
  roundrobin: "roundrobin",
} as const;

/** What `<component>.kafka.consumer.*` says; defaults are Kafka's where nothing else is written. */
export function readConsumerProperties(
  given: ReadonlyMap<string, string>,
  defaults: { readonly startsAt?: "earliest" | "latest" } = {},
): ConsumerProperties {
  const properties = new PropertyReader("kafka.consumer", given);
  // The component has an option of that whole name.
  properties.text("group.id");
  const connection = readConnection(properties, { requestTimeoutMs: 30_000 });
  const sessionTimeoutMs = properties.integer("session.timeout.ms", 30_000, { min: 1_000 });
  const heartbeatDefault = Math.min(3_000, Math.floor(sessionTimeoutMs / 3));
  const heartbeatIntervalMs = properties.integer("heartbeat.interval.ms", heartbeatDefault, {
    min: 1,
    max: sessionTimeoutMs - 1,
  });
  const maxPollIntervalMs = properties.integer("max.poll.interval.ms", 300_000, { min: 1 });
  const settings: ConsumerSettings = {
    sessionTimeoutMs,
    heartbeatIntervalMs,
    rebalanceTimeoutMs: Math.min(60_000, Math.max(maxPollIntervalMs, sessionTimeoutMs)),
    fetchMinBytes: properties.integer("fetch.min.bytes", 1, { min: 1 }),
    fetchMaxBytes: properties.integer("fetch.max.bytes", 10_485_760, { min: 1024 }),
    partitionFetchBytesMax: properties.integer("max.partition.fetch.bytes", 1_048_576, {
      min: 1024,
    }),
    fetchWaitMs: properties.integer("fetch.max.wait.ms", 500, { min: 1, max: 10_000 }),
    startsAt: properties.choice(
      "auto.offset.reset",
      ["earliest", "latest", "none"],
      defaults.startsAt ?? "earliest",
    ),
    readsUncommitted:
      properties.choice(
        "isolation.level",
        ["read_uncommitted", "read_committed"],
        "read_uncommitted",
      ) === "read_uncommitted",
    assignment: readStrategy(properties),
    createsTopics: properties.boolean("allow.auto.create.topics", true),
  };
  const notes = [...properties.ignored(ignoredProperties), ...properties.unknown()];
  return { connection, settings, maxPollIntervalMs, problems: properties.problems, notes };
}

/** Of several strategies the first that we have. */
function readStrategy(properties: PropertyReader): ConsumerSettings["assignment"] {
  const given = properties.text("partition.assignment.strategy");
  if (given === undefined) return "range";
  for (const name of given.split(",")) {
    const key = name.trim().toLowerCase();
    if (key in strategies) return strategies[key as keyof typeof strategies];
  }
  properties.problem(
    "partition.assignment.strategy",
    `"${given}" names neither RangeAssignor nor RoundRobinAssignor, which are the ones there are`,
  );
  return "range";
}
