import type { Log } from "@millrace/core";
import {
  type ClientProperties,
  createRpcClient,
  type CreateHostSelector,
  type RpcClient,
} from "@millrace/rpc";

/** Where the agents are, and how to talk to them. Everything but the hosts has a default. */
export interface ConnectOptions {
  /**
   * In the order of preference: "collector:4141", or what is looked up, such as
   * "dns://collectors:4141", "dns+srv://_flume._tcp.example", "consul://collectors?tag=blue".
   */
  readonly hosts: readonly string[];
  /** With several hosts: one until it fails, or all in turn. `failover` when not given. */
  readonly strategy?: "failover" | "load_balance";
  /** What the agents' sources speak. `avro` when not given; `thrift` uses the first host only. */
  readonly wire?: "avro" | "thrift" | "grpc";
  /** Events in one request, at most. 100 when not given. */
  readonly batchSize?: number;
  /** 20 s when not given, at least 1 s. */
  readonly connectTimeoutMs?: number;
  /** 20 s when not given, at least 1 s. */
  readonly requestTimeoutMs?: number;
  /** Requests that a connection may have without an answer. 1 when not given, which keeps order. */
  readonly batchesInFlight?: number;
  /** The longest time a failing host is left out. 30 s when not given. */
  readonly maxBackoffMs?: number;
  /** Whose turn it is with `load_balance`; in the order of `hosts` when not given. */
  readonly createHostSelector?: CreateHostSelector;
  /** Connections this old are replaced. Never when not given. */
  readonly resetConnectionIntervalSeconds?: number;
  /** Must be what the agents' sources have. `none` when not given. */
  readonly compression?: "none" | "deflate";
  /** `true` trusts the authorities that Node.js trusts. */
  readonly tls?: boolean | TlsOptions;
  /** Hears of connections and of hosts that fail. Silent when not given. */
  readonly log?: Log;
}

/** Files are PEM, JKS or PKCS12, by their name unless a type is given. */
export interface TlsOptions {
  /** Of the authorities that may sign the agent's certificate. */
  readonly truststore?: string;
  readonly truststorePassword?: string;
  readonly truststoreType?: "PEM" | "JKS" | "PKCS12";
  /** The application's own certificate and key, for agents that ask. */
  readonly keystore?: string;
  readonly keystorePassword?: string;
  readonly keystoreType?: "PEM" | "JKS" | "PKCS12";
  /** PEM: the file of the key, when it is not in the keystore. */
  readonly keystoreKey?: string;
  /** The name that the agent's certificate must have, instead of the host's. */
  readonly serverName?: string;
  /** Whether the certificate must be the host's. True when not given. */
  readonly verifyHostname?: boolean;
  readonly trustAllCerts?: boolean;
}

/**
 * Makes a client of Millrace's or Java Flume's agents. A client of one host connects now, others
 * when they have something to send. Also takes Flume's own properties: an object, a map, or the
 * path of a properties file. Throws CONFIG_INVALID, READ_FAILED or RPC_CONNECT_FAILED.
 */
export async function connect(options: ConnectOptions | ClientProperties): Promise<RpcClient> {
  if (!isConnectOptions(options)) return createRpcClient(options);
  const { log, createHostSelector } = options;
  return createRpcClient(propertiesOf(options), {
    ...(log === undefined ? {} : { log }),
    ...(createHostSelector === undefined ? {} : { createHostSelector }),
  });
}

function isConnectOptions(options: ConnectOptions | ClientProperties): options is ConnectOptions {
  return typeof options === "object" && "hosts" in options && Array.isArray(options.hosts);
}

function propertiesOf(options: ConnectOptions): Record<string, string | number | boolean> {
  const { hosts, strategy = "failover", tls = false } = options;
  const names = hosts.map((_, i) => `h${i + 1}`);
  const isBalanced = strategy === "load_balance";
  const given = {
    "client.type": clientType(options),
    hosts: names.join(" "),
    ...Object.fromEntries(hosts.map((address, i) => [`hosts.${names[i]}`, address])),
    backoff: isBalanced ? true : undefined,
    "batch-size": options.batchSize,
    "connect-timeout": options.connectTimeoutMs,
    "request-timeout": options.requestTimeoutMs,
    batchesInFlight: options.batchesInFlight,
    maxBackoff: options.maxBackoffMs,
    "reset-connection-interval": options.resetConnectionIntervalSeconds,
    "compression-type": options.compression,
    ...(tls === false ? {} : tlsProperties(tls === true ? {} : tls)),
  };
  return withoutUndefined(given);
}

function clientType({ hosts, strategy, wire = "avro" }: ConnectOptions): string | undefined {
  if (wire !== "avro") return wire;
  if (strategy === "load_balance") return "default_loadbalance";
  return hosts.length > 1 || strategy === "failover" ? "default_failover" : undefined;
}

function tlsProperties(tls: TlsOptions): Record<string, string | boolean | undefined> {
  const { truststore, keystore } = tls;
  return {
    ssl: true,
    truststore,
    "truststore-password": tls.truststorePassword,
    "truststore-type": tls.truststoreType ?? storeType(truststore),
    keystore,
    "keystore-password": tls.keystorePassword,
    "keystore-type": tls.keystoreType ?? storeType(keystore),
    "keystore-key": tls.keystoreKey,
    serverName: tls.serverName,
    verifyHostname: tls.verifyHostname,
    "trust-all-certs": tls.trustAllCerts,
  };
}

function storeType(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (/\.(jks|keystore|truststore)$/i.test(path)) return "JKS";
  return /\.(p12|pfx)$/i.test(path) ? "PKCS12" : "PEM";
}

function withoutUndefined<T>(given: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(given).filter((entry): entry is [string, T] => entry[1] !== undefined),
  );
}
