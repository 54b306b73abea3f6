import { type Clock, type Log, MillraceError } from "@millrace/core";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import type { EventServerLimits } from "../wire/event-server.ts";

/** What the connections of one server share. */
export interface HttpShared {
  /** It listens on nothing: connections are handed to it. */
  readonly http: Server;
  readonly limits: EventServerLimits;
  readonly clock: Clock;
  readonly log: Log;
  malformed(error: MillraceError, peer: string): void;
  /** Ends the response. Never rejects. */
  answer(request: IncomingMessage, response: ServerResponse, peer: string): Promise<void>;
}

/** The connection of a request. */
const connections = new WeakMap<Duplex, HttpConnection>();

/**
 * One client's connection, which Node's parser of HTTP reads.
 *
 *   open -> draining (what is in progress is answered) -> closed
 */
export class HttpConnection implements ServerConnection {
  readonly #stream: Duplex;
  readonly #peer: string;
  readonly #shared: HttpShared;
  #draining = false;
  #inFlight = 0;
  #activeAtMs: number;
  /** Since when a request is arriving. */
  #arrivingSinceMs: number | undefined;

  constructor(stream: Duplex, peer: string, shared: HttpShared) {
    this.#stream = stream;
    this.#peer = peer;
    this.#shared = shared;
    this.#activeAtMs = shared.clock.monotonic();
    connections.set(stream, this);
    listenOnce(shared.http);
    stream.on("error", () => {});
    shared.http.emit("connection", stream);
    // Behind the parser's own listener: the bytes are counted, not read.
    stream.on("data", () => this.#noteBytes());
  }

  drain(): void {
    this.#draining = true;
    if (this.#inFlight === 0) this.#stream.end(() => this.#stream.destroy());
  }

  destroy(): void {
    this.#draining = true;
    this.#stream.destroy();
  }

  sweep(nowMs: number): void {
    const { limits, log } = this.#shared;
    const since = this.#arrivingSinceMs;
    if (since !== undefined && nowMs - since >= limits.messageTimeoutMs) {
      const message = `no whole request came within ${limits.messageTimeoutMs} ms`;
      this.#shared.malformed(new MillraceError("FRAME_MALFORMED", message), this.#peer);
      this.destroy();
      return;
    }
    const idle = nowMs - this.#activeAtMs;
    if (this.#inFlight === 0 && limits.idleTimeoutMs > 0 && idle >= limits.idleTimeoutMs) {
      log.info(`connection of ${this.#peer} closed: idle for ${Math.round(idle)} ms`);
      this.drain();
    }
  }

  /** Called by the HTTP server for each request of this connection. */
  async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#draining || this.#inFlight >= this.#shared.limits.requestsInFlight) {
      response.writeHead(503, { connection: "close" });
      response.end();
      return;
    }
    this.#inFlight++;
    request.once("end", () => {
      this.#arrivingSinceMs = undefined;
    });
    if (this.#draining) response.shouldKeepAlive = false;
    await this.#shared.answer(request, response, this.#peer);
    this.#inFlight--;
    this.#activeAtMs = this.#shared.clock.monotonic();
    if (this.#draining) this.drain();
  }

  /** Called when what came is no HTTP. */
  refuse(error: Error): void {
    const text = `not HTTP: ${error.message}`;
    this.#shared.malformed(
      new MillraceError("FRAME_MALFORMED", text, { cause: error }),
      this.#peer,
    );
    this.destroy();
  }

  #noteBytes(): void {
    this.#activeAtMs = this.#shared.clock.monotonic();
    this.#arrivingSinceMs ??= this.#activeAtMs;
  }
}

function listenOnce(http: Server): void {
  if (http.listenerCount("request") > 0) return;
  http.on("request", (request, response) => {
    void connections.get(request.socket)?.receive(request, response);
  });
  http.on("clientError", (error, stream) => connections.get(stream)?.refuse(error));
}
