import { integer, type OptionsOf, text } from "@millrace/core";
import {
  checkClientTransport,
  clientTlsOptions,
  connectionOptions,
  hostOptions,
} from "@millrace/rpc";
import { readSinkHosts } from "../../rpc/sink-hosts.ts";
import type { OptionCheck, SystemProperties } from "../../rpc/tls-options.ts";

export const options = {
  hostname: text(
    "hostname",
    "Host of the next gRPC source, or dns://name, dns+srv://name, consul://service?tag=x. Required without hosts.",
  ),
  port: integer("port", "Port of the next gRPC source. Required for a host, and for dns://.", {
    min: 1,
    max: 65_535,
  }),
  ...connectionOptions,
  requestTimeoutMs: integer("request-timeout", "How long an answer may take.", {
    default: 20_000,
    min: 1000,
    unit: "ms",
  }),
  ...hostOptions,
  batchesInFlight: integer(
    "batchesInFlight",
    "Batches that a connection may have without an answer; 1 keeps order also when one is refused.",
    { default: 1, min: 1, max: 1024 },
  ),
  ...clientTlsOptions,
};

export { breaksOrder } from "../../rpc/breaks-order.ts";

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(
  values: Options,
  systemProperties: SystemProperties = new Map(),
): readonly OptionCheck[] {
  const { problems, type } = readSinkHosts(values);
  const isOtherWire = type === "thrift";
  const message = "is thrift: use a sink of type thrift; this one speaks gRPC";
  return [
    ...problems,
    ...(isOtherWire ? [{ key: "client.type", message }] : []),
    ...checkClientTransport(values, systemProperties),
  ];
}
