import { integer } from "@millrace/core";

/** Spread into the options of a source that takes requests over TCP: `EventServerLimits`. */
export const limitOptions = {
  maxFrameBytes: integer(
    "maxFrameBytes",
    "Bytes one request may have; the connection of a larger one is closed.",
    { default: 32 * 1024 * 1024, min: 1024, max: 0x7fff_ffff, unit: "bytes" },
  ),
  maxConnections: integer(
    "maxConnections",
    "Connections at one time; one more is closed at once.",
    { default: 4096, min: 1 },
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
};
