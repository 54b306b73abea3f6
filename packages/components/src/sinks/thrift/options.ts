import { boolean, ignored, integer, type OptionsOf, text } from "@millrace/core";
import {
  checkClientTransport,
  clientTlsOptions,
  connectionOptions,
  hostOptions,
} from "@millrace/rpc";
import { javaFrameBytesMax, readProtocol } from "@millrace/rpc/thrift";
import { readSinkHosts } from "../../rpc/sink-hosts.ts";
import type { OptionCheck, SystemProperties } from "../../rpc/tls-options.ts";

const whenKerberos = "Read only when kerberos is true.";

export const options = {
  hostname: text(
    "hostname",
    "Host of the next Thrift source, or dns://name, dns+srv://name, consul://service?tag=x.",
    { required: true },
  ),
  port: integer("port", "Port of the next Thrift source. Required for a host, and for dns://.", {
    min: 1,
    max: 65_535,
  }),
  protocol: text(
    "protocol",
    "compact or binary; must be what the source has. As in Flume any other case of binary means compact.",
    { default: "compact" },
  ),
  ...connectionOptions,
  maxFrameBytes: integer(
    "maxFrameBytes",
    "A batch with more bytes is sent in several requests; one event alone may be larger. Java takes no more than the default.",
    { default: javaFrameBytesMax, min: 1024, max: 0x7fff_ffff, unit: "bytes" },
  ),
  batchesInFlight: hostOptions.batchesInFlight,
  ...clientTlsOptions,
  kerberos: boolean("kerberos", "Kerberos is not supported: only false.", { default: false }),
  clientPrincipal: ignored("client-principal", whenKerberos),
  clientKeytab: ignored("client-keytab", whenKerberos),
  serverPrincipal: ignored("server-principal", whenKerberos),
  maxConnections: ignored("maxConnections", "A sink has one connection, as in Flume."),
  connectionResetInterval: ignored(
    "connection-reset-interval",
    "Flume's guide names it so; Flume reads reset-connection-interval, and so do we.",
  ),
};

export { breaksOrder } from "../../rpc/breaks-order.ts";

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(
  values: Options,
  systemProperties: SystemProperties = new Map(),
): readonly OptionCheck[] {
  const { protocol, kerberos } = values;
  const problems: OptionCheck[] = [
    ...readSinkHosts(values).problems,
    ...checkClientTransport(values, systemProperties),
  ];
  if (readProtocol(protocol).protocol === undefined) {
    problems.push({ key: "protocol", message: `"${protocol}" is not compact or binary` });
  }
  if (kerberos) {
    const message =
      "kerberos = true is not supported: Kerberos is not spoken here; use ssl with a keystore of the sink's own";
    problems.push({ key: "kerberos", message });
  }
  return problems;
}
