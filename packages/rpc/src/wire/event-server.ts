import type { Clock, EventBatch, FileSystem, Lifecycle, Log, MillraceError } from "@millrace/core";
import type { Reloading } from "../tcp/reloading.ts";
import type { ServerContext } from "../tcp/secure-context.ts";
import type { ServerTransport } from "../tcp/security.ts";
import type { TlsFailureReason } from "../tcp/tls-failure.ts";

export interface EventCall {
  /** `append` is one event; a wire without the difference says `appendBatch`. */
  readonly message: "append" | "appendBatch";
  /** The client: "10.0.0.7:51422". */
  readonly peer: string;
}

/**
 * Called once per request, in the order of each connection's requests. OK is a promise to the
 * sender that the batch is stored. What it throws is logged and answered as Java Flume answers on
 * that wire. There is always an answer.
 */
export type EventHandler = (batch: EventBatch, call: EventCall) => Promise<"OK" | "FAILED">;

export interface EventServerLimits {
  /** Bytes of one message, all its parts together. */
  readonly maxFrameBytes: number;
  readonly maxConnections: number;
  /** Requests of one connection that are in progress; past it the connection is not read. */
  readonly requestsInFlight: number;
  /** From a message's first byte to its last. */
  readonly messageTimeoutMs: number;
  /** A connection without a byte for this long is closed; 0 never. */
  readonly idleTimeoutMs: number;
}

export const defaultEventServerLimits: EventServerLimits = {
  maxFrameBytes: 32 * 1024 * 1024,
  maxConnections: 4096,
  requestsInFlight: 4,
  messageTimeoutMs: 60_000,
  idleTimeoutMs: 3_600_000,
};

/** Where a server's owner counts. Each is called at once, and must not throw. */
export interface EventServerObserver {
  connectionOpened?(): void;
  connectionClosed?(): void;
  /** One more than maxConnections came and was closed, or one the address filter denies. */
  connectionRefused?(why: "limit" | "ipFilter"): void;
  /** TLS did not come about, or was broken off; the connection is closed, and it is logged. */
  tlsFailed?(reason: TlsFailureReason, error: MillraceError, peer: string): void;
  /** A message could not be read: it was answered with an error, or its connection is closed. */
  requestMalformed?(error: MillraceError, peer: string): void;
}

/** Takes events on one of the wires. `start` throws PORT_IN_USE, PERMISSION_DENIED, LISTEN_FAILED or START_ABORTED. */
export interface EventServer extends Lifecycle {
  /** The port it listens on. */
  readonly port: number;
  readonly connectionCount: number;
}

/** What a server of any wire is made with. */
export interface EventServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly handler: EventHandler;
  readonly limits?: Partial<EventServerLimits>;
  /** Plain TCP, and everyone is let in, when not given. */
  readonly transport?: ServerTransport;
  /** What TLS is made of, where the owner has an eye on it too; made of `transport` when not given. */
  readonly tlsContext?: Reloading<ServerContext>;
  /** Where the files of TLS are; the machine's when not given. */
  readonly files?: FileSystem;
  readonly observer?: EventServerObserver;
  readonly clock: Clock;
  readonly log: Log;
}
