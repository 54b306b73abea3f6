import {
  boolean,
  choice,
  ignored,
  integer,
  list,
  type OptionsOf,
  prefixed,
  text,
} from "@millrace/core";
import { clientCompressionOptions, clientTlsOptions } from "../tcp/client-transport-options.ts";

/** Spread into the options of every sink that can have several next hops. */
export const hostOptions = {
  clientType: text(
    "client.type",
    "default: the first host. default_failover: one host after another. default_loadbalance: all in turn. When not given: default, or default_failover where addresses are looked up.",
  ),
  hosts: list("hosts", "Names of the hosts, in the order of preference."),
  hostAddresses: prefixed(
    "hosts",
    "Where a host is: host:port, dns://name:port, dns+srv://name or consul://service?tag=x.",
  ),
  maxAttempts: integer(
    "max-attempts",
    "Failover: how many hosts that can be reached may be asked for one request; each once when not given.",
    { min: 1 },
  ),
  hostSelector: text(
    "host-selector",
    "Load balancing: round_robin, random, or a module that exports createHostSelector.",
    { default: "round_robin" },
  ),
  backoff: boolean("backoff", "Load balancing: leave a host that failed out for a while.", {
    default: false,
  }),
  maxBackoffMs: integer(
    "maxBackoff",
    "The longest time a host is left out: 2 s after one failure, doubled with each in a row; 0 means 30000.",
    { default: 30_000, unit: "ms" },
  ),
  failBack: boolean(
    "failBack",
    "Failover: go back to an earlier host once it has answered a trial batch; Flume stays where it is.",
    { default: true },
  ),
  batchesInFlight: integer(
    "batchesInFlight",
    "Requests that a connection may have without an answer; 1 keeps order.",
    { default: 1, min: 1, max: 1024 },
  ),
};

/** What every client of a wire has, under Flume's keys. */
export const connectionOptions = {
  batchSize: integer("batch-size", "Events sent in one request, at most.", {
    default: 100,
    min: 1,
  }),
  connectTimeoutMs: integer("connect-timeout", "How long connecting may take.", {
    default: 20_000,
    min: 1000,
    unit: "ms",
  }),
  requestTimeoutMs: integer(
    "request-timeout",
    "How long an answer may take; to the first request of a connection also connect-timeout, if longer.",
    { default: 20_000, min: 1000, unit: "ms" },
  ),
  resetConnectionIntervalSeconds: integer(
    "reset-connection-interval",
    "A connection this old, up to a fifth more, is replaced when its requests are answered, to reach new hosts behind one name; 0 never.",
    { default: 0, unit: "s" },
  ),
  maxFrameBytes: integer(
    "maxFrameBytes",
    "A batch with more bytes is sent in several requests; one event alone may be larger.",
    { default: 32 * 1024 * 1024, min: 1024, max: 0x7fff_ffff, unit: "bytes" },
  ),
};

const kerberosWhy = "Kerberos is not spoken here: use TLS with client certificates.";

/** The options of an RPC client, under the keys of Flume's RpcClientConfigurationConstants. */
export const clientOptions = {
  ...hostOptions,
  ...connectionOptions,
  maxConnections: integer("maxConnections", "Thrift: connections to one host.", {
    default: 5,
    min: 1,
    max: 1024,
  }),
  protocol: choice("protocol", ["compact", "binary"], "Thrift: how values are written.", {
    default: "compact",
  }),
  ...clientCompressionOptions,
  ...clientTlsOptions,
  kerberos: boolean("kerberos", kerberosWhy, { default: false }),
  clientPrincipal: ignored("client-principal", kerberosWhy),
  clientKeytab: ignored("client-keytab", kerberosWhy),
  serverPrincipal: ignored("server-principal", kerberosWhy),
  maxIoWorkers: ignored(
    "maxIoWorkers",
    "One event loop does the work; Flume ignores it since 1.10.",
  ),
};

export type HostValues = OptionsOf<typeof hostOptions>;
export type ClientValues = OptionsOf<typeof clientOptions>;
