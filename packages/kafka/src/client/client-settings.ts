import type { ConnectionOptions } from "node:tls";

/** How one side of a component reaches its cluster. */
export interface ConnectionSettings {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly tls?: ConnectionOptions;
  readonly sasl?: SaslSettings;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export interface SaslSettings {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: string;
}

export interface ProducerSettings {
  /** -1 waits for every replica in sync, 1 for the leader, 0 for nobody. */
  readonly acks: -1 | 0 | 1;
  readonly gzip: boolean;
  /** Bytes of one request, and so of one record with what surrounds it. */
  readonly maxRequestBytes: number;
  readonly retries: number;
  readonly createsTopics: boolean;
}

export interface ConsumerSettings {
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly fetchMinBytes: number;
  readonly fetchMaxBytes: number;
  readonly partitionFetchBytesMax: number;
  readonly fetchWaitMs: number;
  readonly startsAt: "earliest" | "latest" | "none";
  readonly readsUncommitted: boolean;
  readonly assignment: "range" | "roundrobin";
  readonly createsTopics: boolean;
}
