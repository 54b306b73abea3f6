import { MillraceError, nodeFileSystem, type Timer } from "@millrace/core";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { createHandshakeAdmission } from "./handshake-admission.ts";
import { createIpFilter, type LookUpName, parseIpFilterRules } from "./ip-filter.ts";
import { keepAliveDelayMs, listen, peerOf } from "./listen.ts";
import { createServerContext } from "./secure-context.ts";
import { plainServer } from "./security.ts";
import type { ServerLayers } from "./server-layers.ts";
import { OpeningConnection } from "./server-opening.ts";
import { handshakeTimeoutMs, tlsFailure } from "./server-tls.ts";
import { alertOf, type TlsFailureReason } from "./tls-failure.ts";

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
  /** For address rules by name; the system's resolver when not given. */
  readonly lookUpName?: LookUpName;
  /** What to agree on with clients whose TLS names protocols (ALPN); theirs is not looked at when not given. */
  readonly alpnProtocols?: readonly string[];
};

/**
 * What the servers of all wires over TCP share: listening, who may connect, TLS and compression,
 * limits, stopping.
 *
 *     accept -> maxConnections -> address filter -> layers off -> the wire
 */
export function createConnectionServer(options: ConnectionServerOptions): EventServer {
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const { host, clock, log, serve, observer = {}, transport = plainServer } = options;
  const { files = nodeFileSystem } = options;
  const { tls } = transport;
  const context = tls && (options.tlsContext ?? createServerContext(tls, { files, clock, log }));
  const admission = createHandshakeAdmission(clock);
  const { alpnProtocols = [] } = options;
  const layers: ServerLayers = { transport, admission, alpnProtocols, ...(context && { context }) };
  const { rules, problem } = parseIpFilterRules(transport.ipFilterRules ?? "allow:ip:*");
  if (problem !== undefined) throw new MillraceError("CONFIG_INVALID", `ipFilterRules: ${problem}`);
  const filter =
    transport.ipFilterRules === undefined
      ? undefined
      : createIpFilter(rules, clock, options.lookUpName);
  const connections = new Set<ServerConnection>();
  let server: Server | undefined;
  let port = options.port;
  let sweepTimer: Timer | undefined;
  let refusing = false;
  let lastClosed: (() => void) | undefined;

  function accept(socket: Socket): void {
    // A reset says no more than the close that follows it.
    socket.on("error", () => {});
    if (connections.size >= limits.maxConnections) {
      if (!refusing) {
        log.warn(`refusing ${peerOf(socket)} and others: ${limits.maxConnections} connections`, {
          maxConnections: limits.maxConnections,
        });
      }
      refusing = true;
      socket.destroy();
      observer.connectionRefused?.("limit");
      return;
    }
    const peer = peerOf(socket);
    const connection = new OpeningConnection(socket, {
      layers,
      limits,
      nowMs: () => clock.monotonic(),
      serve: (stream) => serve(watched(stream, socket, peer), peer),
      failed: (error) => count(error, peer),
      idle: (ms) => log.info(`connection of ${peer} closed: idle for ${Math.round(ms)} ms`),
    });
    connections.add(connection);
    let opened = false;
    socket.once("close", () => {
      connections.delete(connection);
      refusing = false;
      if (opened) observer.connectionClosed?.();
      if (connections.size === 0) lastClosed?.();
    });
    const open = (): void => {
      opened = true;
      observer.connectionOpened?.();
      void connection.open();
    };
    if (filter === undefined) open();
    else void admit(socket, peer, open);
  }

  async function admit(socket: Socket, peer: string, open: () => void): Promise<void> {
    const address = socket.remoteAddress ?? "";
    const allowed = address !== "" && (await filter?.allows(address)) === true;
    if (socket.destroyed) return;
    if (allowed) {
      open();
      return;
    }
    socket.destroy();
    observer.connectionRefused?.("ipFilter");
    log.warn(`ipFilterRules refuse ${address}`, { peer });
  }

  /** What is inside the layers, with an eye on what goes wrong in them later. */
  function watched(stream: Duplex, socket: Socket, peer: string): Duplex {
    if (stream === socket) return stream;
    stream.on("error", (error: Error) => {
      const alert = alertOf(error);
      if (error instanceof MillraceError) count(error, peer);
      else if (alert !== undefined) {
        count(tlsFailure("alert", `a client breaks off TLS with the alert ${alert}`, error), peer);
      }
    });
    stream.once("close", () => socket.destroy());
    return stream;
  }

  /** Lines of one kind are the same for every client, so that the agent's log folds them. */
  function count(error: MillraceError, peer: string): void {
    const { code, context: detail, message } = error;
    if (code === "TLS_HANDSHAKE_FAILED") {
      observer.tlsFailed?.(detail["reason"] as TlsFailureReason, error, peer);
    } else {
      observer.requestMalformed?.(error, peer);
    }
    log.warn(message, { code, peer });
  }

  /** One timer for all connections; a limit is kept to within a quarter of itself. */
  function sweepLater(): void {
    const handshake = context === undefined ? Infinity : handshakeTimeoutMs;
    const shortest = Math.min(limits.messageTimeoutMs, limits.idleTimeoutMs || Infinity, handshake);
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
      await context?.current();
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
