import { MillraceError } from "@millrace/core";
import {
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { IncomingHttpHeaders } from "node:http2";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import type { EventServerObserver } from "../wire/event-server.ts";
import { callProblem, isGrpc, refuse, refuseCall } from "./responses.ts";
import type { Health } from "./health.ts";
import { HealthStream } from "./health-stream.ts";
import {
  appendPath,
  deliverPath,
  flowWindowBytes,
  healthCheckPath,
  healthWatchPath,
  statusCode,
} from "./protocol.ts";
import { ServerStream, type StreamShared } from "./server-stream.ts";

export type ConnectionShared = Omit<StreamShared, "peer" | "active" | "malformed"> & {
  readonly observer: EventServerObserver;
  readonly health: Health;
};

/** What one connection serves, and ends. */
export interface CallStream {
  readonly busy: boolean;
  drain(): void;
  sweep(nowMs: number): void;
}

/**
 * A proxy may lead many clients through one connection; past this many calls at one time it opens
 * another.
 */
const streamsMax = 64;
/** A silent connection is asked for a sign of life this often, and given so long to answer. */
const pingAfterMs = 60_000;
const pingTimeoutMs = 20_000;
/** How long a connection may take to close once it has nothing left to say. */
const lingerMs = 1000;

/**
 * One client's HTTP/2 connection and the calls on it.
 *
 *   open -> draining (GOAWAY: no further call; each call ends by itself) -> closed
 */
export class GrpcServerConnection implements ServerConnection {
  readonly #socket: Duplex;
  readonly #session: ServerHttp2Session;
  readonly #shared: ConnectionShared;
  readonly #peer: string;
  readonly #streamShared: StreamShared;
  readonly #streams = new Set<CallStream>();
  readonly #sinceMs: number;
  #state: "open" | "draining" | "closed" = "open";
  #greeted = false;
  #activeAtMs: number;
  #malformedLogged = false;
  #pingedAtMs: number | undefined;
  #heardAtMs: number;
  #drainingSinceMs = 0;

  constructor(socket: Duplex, peer: string, shared: ConnectionShared) {
    this.#socket = socket;
    this.#shared = shared;
    this.#peer = peer;
    this.#sinceMs = shared.clock.monotonic();
    this.#activeAtMs = this.#sinceMs;
    this.#heardAtMs = this.#sinceMs;
    this.#streamShared = {
      ...shared,
      peer,
      active: () => (this.#activeAtMs = shared.clock.monotonic()),
      malformed: (error) => this.#countMalformed(error),
    };
    socket.on("error", () => {});
    // HTTP/2 knows no half-closed connection: who has ended takes no answer.
    socket.on("end", () => this.destroy());
    socket.on("close", () => {
      this.#state = "closed";
    });
    this.#session = performServerHandshake(socket, {
      settings: { initialWindowSize: flowWindowBytes, maxConcurrentStreams: streamsMax },
    });
    // The window of the connection opens as bytes come in, whoever reads them: no stream waits for another.
    this.#session.setLocalWindowSize(flowWindowBytes);
    this.#session.on("remoteSettings", () => (this.#greeted = true));
    this.#session.on("stream", (stream, headers) => this.#begin(stream, headers));
    this.#session.on("error", (error: Error) => {
      // A reset is the peer's way to go; what breaks the protocol is worth a word.
      if ("code" in error && error.code === "ERR_HTTP2_ERROR") {
        this.#countMalformed(
          new MillraceError("FRAME_MALFORMED", `not gRPC over HTTP/2: ${error.message}`),
        );
      }
    });
  }

  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#drainingSinceMs = this.#shared.clock.monotonic();
    for (const stream of this.#streams) stream.drain();
    this.#session.close();
    this.#closeWhenDone();
  }

  destroy(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  sweep(nowMs: number): void {
    const { messageTimeoutMs, idleTimeoutMs } = this.#shared.limits;
    if (this.#state === "draining") {
      // Who does not read its Acks does not get to the end of its streams either.
      const busy = [...this.#streams].some((stream) => stream.busy);
      if (!busy && nowMs - this.#drainingSinceMs >= messageTimeoutMs) this.destroy();
    }
    if (this.#state !== "open") return;
    if (!this.#greeted && nowMs - this.#sinceMs >= messageTimeoutMs) {
      this.#countMalformed(
        new MillraceError(
          "FRAME_MALFORMED",
          `no HTTP/2 settings came within ${messageTimeoutMs} ms`,
        ),
      );
      this.destroy();
      return;
    }
    if (this.#isGone(nowMs)) {
      this.#shared.log.info(`connection of ${this.#peer} closed: it gives no sign of life`);
      this.destroy();
      return;
    }
    let busy = false;
    for (const stream of this.#streams) {
      stream.sweep(nowMs);
      busy ||= stream.busy;
    }
    const idle = nowMs - this.#activeAtMs;
    if (!busy && idleTimeoutMs > 0 && idle >= idleTimeoutMs) {
      this.#shared.log.info(`connection of ${this.#peer} closed: idle for ${Math.round(idle)} ms`);
      this.drain();
    }
  }

  /**
   * Asks a silent peer whether it is there. Node, too, leaves a connection open and unread once what
   * came over it broke the protocol.
   */
  #isGone(nowMs: number): boolean {
    if (this.#pingedAtMs !== undefined) return nowMs - this.#pingedAtMs >= pingTimeoutMs;
    if (nowMs - Math.max(this.#heardAtMs, this.#activeAtMs) < pingAfterMs) return false;
    this.#pingedAtMs = nowMs;
    return (
      this.#session.destroyed ||
      !this.#session.ping(() => {
        this.#pingedAtMs = undefined;
        this.#heardAtMs = this.#shared.clock.monotonic();
      })
    );
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // A reset says no more than the close that follows it.
    stream.on("error", () => {});
    // What opened it and what cut it may have come in one piece: such a stream takes no answer.
    if (stream.destroyed || stream.closed) return;
    this.#streamShared.active();
    const { clock } = this.#shared;
    if (!isGrpc(headers)) {
      refuse(stream, { ":status": 415 }, clock);
      return;
    }
    const problem = callProblem(headers);
    if (problem !== undefined) {
      refuseCall(stream, problem, clock);
      return;
    }
    const call = this.#open(stream, String(headers[":path"]));
    if (call === undefined) return;
    this.#streams.add(call);
    stream.on("close", () => {
      this.#streams.delete(call);
      if (this.#state === "draining") this.#closeWhenDone();
    });
  }

  #open(stream: ServerHttp2Stream, path: string): CallStream | undefined {
    const { clock, health } = this.#shared;
    switch (path) {
      case deliverPath:
        return new ServerStream(stream, false, this.#streamShared);
      case appendPath:
        return new ServerStream(stream, true, this.#streamShared);
      case healthCheckPath:
        return new HealthStream(stream, health, false, clock);
      case healthWatchPath:
        return new HealthStream(stream, health, true, clock);
      default: {
        const status = { code: statusCode.UNIMPLEMENTED, message: `no method ${path} here` };
        refuseCall(stream, status, clock);
        return undefined;
      }
    }
  }

  #closeWhenDone(): void {
    if (this.#streams.size > 0) return;
    const timer = this.#shared.clock.setTimer(lingerMs, () => this.destroy());
    this.#socket.once("close", () => timer.cancel());
  }

  /** Counts every message that could not be read; the log has the first of each connection. */
  #countMalformed(error: MillraceError): void {
    this.#shared.observer.requestMalformed?.(error, this.#peer);
    if (this.#malformedLogged) return;
    this.#malformedLogged = true;
    this.#shared.log.warn(`${this.#peer} sent what cannot be read: ${error.message}`, {
      code: error.code,
      peer: this.#peer,
    });
  }
}
