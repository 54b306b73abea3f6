import { boolean, choice, ignored, integer, type OptionsOf, prefixed, text } from "@millrace/core";

const whenTls = "Read only when ssl is true.";
const whenMany = "Read only with several hosts.";

export const options = {
  hostname: text("hostname", "Host of the next Avro source.", { required: true }),
  port: integer("port", "Port of the next Avro source.", { required: true, min: 1, max: 65_535 }),
  batchSize: integer("batch-size", "Events taken at once and sent in one request, at most.", {
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
    "A connection this old is replaced before the next batch, to reach new hosts behind one name; 0 never.",
    { default: 0, unit: "s" },
  ),
  maxFrameBytes: integer(
    "maxFrameBytes",
    "A batch with more bytes is sent in several requests; one event alone may be larger.",
    { default: 32 * 1024 * 1024, min: 1024, max: 0x7fff_ffff, unit: "bytes" },
  ),
  compressionType: choice(
    "compression-type",
    ["none", "deflate"],
    "Must be what the source has; only none is supported by this version.",
    { default: "none" },
  ),
  ssl: boolean("ssl", "TLS; only false is supported by this version.", { default: false }),
  clientType: text("client.type", "Only default, one host, is supported by this version.", {
    default: "default",
  }),
  hosts: text("hosts", "Names of several hosts; not supported by this version."),
  hostAddresses: prefixed("hosts", "Address of a host: host:port. Not supported by this version."),
  hostSelector: ignored("host-selector", whenMany),
  backoff: ignored("backoff", whenMany),
  maxBackoff: ignored("maxBackoff", whenMany),
  maxAttempts: ignored("max-attempts", whenMany),
  compressionLevel: ignored("compression-level", "Read only when compression-type is deflate."),
  maxIoWorkers: ignored(
    "maxIoWorkers",
    "One event loop does the work; Flume ignores it since 1.10.",
  ),
  trustAllCerts: ignored("trust-all-certs", whenTls),
  truststore: ignored("truststore", whenTls),
  truststorePassword: ignored("truststore-password", whenTls),
  truststoreType: ignored("truststore-type", whenTls),
  keystore: ignored("keystore", whenTls),
  keystorePassword: ignored("keystore-password", whenTls),
  keystoreType: ignored("keystore-type", whenTls),
  keystoreKey: ignored("keystore-key", whenTls),
  serverName: ignored("serverName", whenTls),
  excludeProtocols: ignored("exclude-protocols", whenTls),
  includeProtocols: ignored("include-protocols", whenTls),
  excludeCipherSuites: ignored("exclude-cipher-suites", whenTls),
  includeCipherSuites: ignored("include-cipher-suites", whenTls),
};

export type Options = OptionsOf<typeof options>;

const oneHostClients = ["default", "org.apache.flume.api.nettyavrorpcclient"];

/** What is switched on and not there yet: going on without it would be worse than not starting. */
export function checkOptions({
  hostname,
  compressionType,
  ssl,
  clientType,
  hosts,
  hostAddresses,
}: Options): readonly { key: string; message: string }[] {
  const problems: { key: string; message: string }[] = [];
  const refuse = (key: string, value: string): void => {
    problems.push({ key, message: `${key} = ${value} is not supported by this version` });
  };
  if (compressionType !== "none") refuse("compression-type", compressionType);
  if (ssl) refuse("ssl", "true");
  if (!oneHostClients.includes(clientType.toLowerCase())) refuse("client.type", clientType);
  if (hosts !== undefined) refuse("hosts", hosts);
  for (const [name, address] of hostAddresses) refuse(`hosts.${name}`, address);
  if (hostname.includes("://")) refuse("hostname", hostname);
  return problems;
}
