import { ignored, integer, type OptionsOf, text } from "@millrace/core";
import {
  checkClientTransport,
  clientCompressionOptions,
  clientTlsOptions,
  connectionOptions,
  hostOptions,
} from "@millrace/rpc";
import { readSinkHosts } from "../../rpc/sink-hosts.ts";
import type { OptionCheck, SystemProperties } from "../../rpc/tls-options.ts";

export const options = {
  hostname: text(
    "hostname",
    "Host of the next Avro source, or dns://name, dns+srv://name, consul://service?tag=x. Required without hosts.",
  ),
  port: integer("port", "Port of the next Avro source. Required for a host, and for dns://.", {
    min: 1,
    max: 65_535,
  }),
  ...connectionOptions,
  ...hostOptions,
  ...clientCompressionOptions,
  ...clientTlsOptions,
  maxIoWorkers: ignored(
    "maxIoWorkers",
    "One event loop does the work; Flume ignores it since 1.10.",
  ),
};

export { breaksOrder } from "../../rpc/breaks-order.ts";

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(
  values: Options,
  systemProperties: SystemProperties = new Map(),
): readonly OptionCheck[] {
  const { problems, type } = readSinkHosts(values);
  const isOtherWire = type === "thrift" || type === "grpc";
  const message = `is ${type}: use a sink of type ${type}; this one speaks Avro`;
  return [
    ...problems,
    ...(isOtherWire ? [{ key: "client.type", message }] : []),
    ...checkClientTransport(values, systemProperties),
  ];
}

/** What is likely a slip of the pen. */
export function hostNotes(values: Options): readonly OptionCheck[] {
  return readSinkHosts(values).notes.map((message) => ({ key: "hosts", message }));
}
