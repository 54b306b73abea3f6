import { boolean, choice, ignored, integer, type OptionsOf, text } from "@millrace/core";

const whenTls = "Read only when ssl is true.";

export const options = {
  bind: text("bind", "Address or name of this machine to listen on; 0.0.0.0 for all.", {
    required: true,
  }),
  port: integer("port", "Port to listen on; 0 lets the system choose one, which is logged.", {
    required: true,
    min: 0,
    max: 65_535,
  }),
  maxFrameBytes: integer(
    "maxFrameBytes",
    "Bytes one request may have; a larger one is answered with an error and its connection closed.",
    { default: 32 * 1024 * 1024, min: 1024, max: 0x7fff_ffff, unit: "bytes" },
  ),
  maxConnections: integer(
    "maxConnections",
    "Connections at one time; one more is closed at once.",
    {
      default: 4096,
      min: 1,
    },
  ),
  requestsInFlight: integer(
    "requestsInFlight",
    "Requests of one connection that are in progress; past it the connection is not read.",
    { default: 4, min: 1, max: 1024 },
  ),
  messageTimeoutMs: integer(
    "messageTimeout",
    "From a request's first byte to its last; a slower sender's connection is closed.",
    { default: 60_000, min: 1000, unit: "ms" },
  ),
  idleTimeoutMs: integer(
    "idleTimeout",
    "A connection without a byte for this long is closed; 0 never.",
    { default: 3_600_000, unit: "ms" },
  ),
  compressionType: choice(
    "compression-type",
    ["none", "deflate"],
    "Must be what the senders have; only none is supported by this version.",
    { default: "none" },
  ),
  ssl: boolean("ssl", "TLS; only false is supported by this version.", { default: false }),
  ipFilter: boolean("ipFilter", "Accept by address; only false is supported by this version.", {
    default: false,
  }),
  ipFilterRules: ignored("ipFilterRules", "Read only when ipFilter is true."),
  threads: ignored(
    "threads",
    "One event loop serves all connections; Flume ignores it since 1.10.",
  ),
  keystore: ignored("keystore", whenTls),
  keystorePassword: ignored("keystore-password", whenTls),
  keystoreType: ignored("keystore-type", whenTls),
  keystoreKey: ignored("keystore-key", whenTls),
  truststore: ignored("truststore", whenTls),
  truststorePassword: ignored("truststore-password", whenTls),
  truststoreType: ignored("truststore-type", whenTls),
  clientAuth: ignored("clientAuth", whenTls),
  excludeProtocols: ignored("exclude-protocols", whenTls),
  includeProtocols: ignored("include-protocols", whenTls),
  excludeCipherSuites: ignored("exclude-cipher-suites", whenTls),
  includeCipherSuites: ignored("include-cipher-suites", whenTls),
};

export type Options = OptionsOf<typeof options>;

/** What is switched on and not there yet: going on without it would be worse than not starting. */
export function checkOptions({
  compressionType,
  ssl,
  ipFilter,
}: Options): readonly { key: string; message: string }[] {
  const problems: { key: string; message: string }[] = [];
  const refuse = (key: string, value: string): void => {
    problems.push({ key, message: `${key} = ${value} is not supported by this version` });
  };
  if (compressionType !== "none") refuse("compression-type", compressionType);
  if (ssl) refuse("ssl", "true");
  if (ipFilter) refuse("ipFilter", "true");
  return problems;
}
