import type { Clock, EventBatch, Lifecycle, Log, MillraceError, Timer } from "@millrace/core";
import { createServer, type Server, type Socket } from "node:net";
import { keepAliveDelayMs, listen, peerOf } from "../tcp/listen.ts";
import type { AvroMessageName } from "./call.ts";
import { ClientRegistry } from "./handshake.ts";
import { AvroServerConnection, type ConnectionShared } from "./server-connection.ts";

export interface AvroCall {
  readonly message: AvroMessageName;
  /** The client: "10.0.0.7:51422". */
  readonly peer: string;
}

/**
 * Called once per request, in the order of each connection's requests. OK is a promise to the
 * sender that the batch is stored. What it throws is logged and answered as Java Flume answers: a
 * system error for `append`, FAILED for `appendBatch`. There is always an answer.
 */
export type AvroHandler = (batch: EventBatch, call: AvroCall) => Promise<"OK" | "FAILED">;

export interface AvroServerLimits {
  /** Bytes of one message, all its buffers together. */
  readonly maxFrameBytes: number;
  readonly maxConnections: number;
  /** Requests of one connection that are in progress; past it the connection is not read. */
  readonly requestsInFlight: number;
  /** From a message's first byte to its last. */
  readonly messageTimeoutMs: number;
  /** A connection without a byte for this long is closed; 0 never. */
  readonly idleTimeoutMs: number;
}

export const defaultAvroServerLimits: AvroServerLimits = {
  maxFrameBytes: 32 * 1024 * 1024,
  maxConnections: 4096,
  requestsInFlight: 4,
  messageTimeoutMs: 60_000,
  idleTimeoutMs: 3_600_000,
};

/** Where a server's owner counts. Each is called at once, and must not throw. */
export interface AvroServerObserver {
  connectionOpened?(): void;
  connectionClosed?(): void;
  /** One more than maxConnections came and was closed. */
  connectionRefused?(): void;
  /** A message could not be read: it was answered with an error, or its connection is closed. */
  requestMalformed?(error: MillraceError, peer: string): void;
}

export interface AvroServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly handler: AvroHandler;
  readonly limits?: Partial<AvroServerLimits>;
  readonly observer?: AvroServerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** Takes events as Java Flume's Avro source does. */
export interface AvroServer extends Lifecycle {
  /** The port it listens on. */
  readonly port: number;
  readonly connectionCount: number;
}

/** `start` throws PORT_IN_USE, PERMISSION_DENIED, LISTEN_FAILED or START_ABORTED. */
export function createAvroServer(options: AvroServerOptions): AvroServer {
  const limits = { ...defaultAvroServerLimits, ...options.limits };
  const { host, clock, log, handler, observer = {} } = options;
  const shared: ConnectionShared = {
    handler,
    limits,
    observer,
    clock,
    log,
    clients: new ClientRegistry(),
  };
  const connections = new Set<AvroServerConnection>();
  let server: Server | undefined;
  let port = options.port;
  let sweepTimer: Timer | undefined;
  let refusing = false;
  let lastClosed: (() => void) | undefined;

  function accept(socket: Socket): void {
    if (connections.size >= limits.maxConnections) {
      if (!refusing) {
        log.warn(`refusing ${peerOf(socket)} and others: ${limits.maxConnections} connections`, {
          maxConnections: limits.maxConnections,
        });
      }
      refusing = true;
      socket.on("error", () => {});
      socket.destroy();
      observer.connectionRefused?.();
      return;
    }
    const connection = new AvroServerConnection(socket, shared);
    connections.add(connection);
    observer.connectionOpened?.();
    socket.once("close", () => {
      connections.delete(connection);
      refusing = false;
      observer.connectionClosed?.();
      if (connections.size === 0) lastClosed?.();
    });
  }

  /** One timer for all connections; a limit is kept to within a quarter of itself. */
  function sweepLater(): void {
    const shortest = Math.min(limits.messageTimeoutMs, limits.idleTimeoutMs || Infinity);
    sweepTimer = clock.setTimer(shortest / 4, () => {
      const nowMs = clock.monotonic();
      for (const connection of connections) connection.sweep(nowMs);
      sweepLater();
    });
  }

  return {
    get port() {
      return port;
    },
    get connectionCount() {
      return connections.size;
    },
    async start(aborted) {
      // Half open: a peer that has sent its last request still waits for the answer.
      const made = createServer({
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveDelayMs,
      });
      made.on("connection", accept);
      port = await listen(made, host, options.port, aborted);
      made.on("error", (error) => log.error(`cannot accept a connection: ${error.message}`));
      server = made;
      sweepLater();
    },
    async stop(deadline) {
      const stopping = server;
      if (stopping === undefined) return;
      server = undefined;
      sweepTimer?.cancel();
      const stoppedListening = new Promise<void>((resolve) => stopping.close(() => resolve()));
      const allClosed = new Promise<void>((resolve) => {
        lastClosed = resolve;
        if (connections.size === 0) resolve();
      });
      const giveUp = (): void => {
        for (const connection of connections) connection.destroy();
      };
      for (const connection of connections) connection.drain();
      if (deadline.aborted) giveUp();
      deadline.addEventListener("abort", giveUp, { once: true });
      await stoppedListening;
      await allClosed;
      deadline.removeEventListener("abort", giveUp);
    },
  };
}
