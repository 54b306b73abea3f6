import type { Timer } from "@millrace/core";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { keepAliveDelayMs, listen, peerOf } from "./listen.ts";

/** One client's connection, as the wire serves it. */
export interface ServerConnection {
  /** Starts no further request; answers what is in progress; then closes. */
  drain(): void;
  /** Cuts the connection; what is in progress is not answered. */
  destroy(): void;
  /** Called now and then: closes what has been silent, or slow, for too long. */
  sweep(nowMs: number): void;
}

export type ConnectionServerOptions = Omit<EventServerOptions, "handler"> & {
  /** Serves a connection on one of the wires. The stream allows half-open. */
  readonly serve: (stream: Duplex, peer: string) => ServerConnection;
};

/** What the servers of all wires over TCP share: listening, admission, limits, stopping. */
export function createConnectionServer(options: ConnectionServerOptions): EventServer {
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const { host, clock, log, serve, observer = {} } = options;
  const connections = new Set<ServerConnection>();
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
    const connection = serve(socket, peerOf(socket));
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
