import { ignored, integer, type OptionsOf, text } from "@millrace/core";
import { checkRegistration, registrationOptions } from "../../rpc/registration-options.ts";
import {
  checkServerTransport,
  ipFilterOptions,
  serverCompressionOptions,
  serverTlsOptions,
} from "../../rpc/server-transport-options.ts";
import type { OptionCheck, SystemProperties } from "../../rpc/tls-options.ts";

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
  ...serverCompressionOptions,
  ...ipFilterOptions,
  threads: ignored(
    "threads",
    "One event loop serves all connections; Flume ignores it since 1.10.",
  ),
  ...serverTlsOptions,
  ...registrationOptions,
};

export type Options = OptionsOf<typeof options>;

/** What of TLS, the address rules and the registration is missing or means nothing. */
export function checkOptions(
  values: Options,
  systemProperties: SystemProperties = new Map(),
): readonly OptionCheck[] {
  return [...checkServerTransport(values, systemProperties), ...checkRegistration(values)];
}
