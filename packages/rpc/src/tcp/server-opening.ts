import { MillraceError, systemErrorCode, toMillraceError } from "@millrace/core";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { EventServerLimits } from "../wire/event-server.ts";
import type { ServerConnection } from "./connection-server.ts";
import { type OpeningStage, openServerLayers, type ServerLayers } from "./server-layers.ts";
import { handshakeTimeoutMs, tlsFailure } from "./server-tls.ts";

export interface OpeningOptions {
  readonly layers: ServerLayers;
  readonly limits: EventServerLimits;
  readonly nowMs: () => number;
  /** Begins to serve the wire on what is left when the layers are off. */
  readonly serve: (stream: Duplex) => ServerConnection;
  /** It did not come to that: what the client sent, or did not send, was wrong. */
  readonly failed: (error: MillraceError) => void;
  readonly idle: (idleMs: number) => void;
}

/**
 * A client's connection from its first byte on: the layers are taken off, then the wire serves what
 * is inside. Until then nothing is in progress that would have to be answered.
 *
 * What may take how long, before the wire has limits of its own: a handshake and, with TLS, the
 * first byte `handshakeTimeoutMs`; what must follow a zlib header `messageTimeoutMs`; a client that
 * has not begun, or says nothing after its handshake, is idle.
 */
export class OpeningConnection implements ServerConnection {
  readonly #raw: Socket;
  readonly #options: OpeningOptions;
  #served: ServerConnection | undefined;
  #stage: OpeningStage = "first byte";
  #secured = false;
  #sinceMs: number;
  #over = false;

  constructor(raw: Socket, options: OpeningOptions) {
    this.#raw = raw;
    this.#options = options;
    this.#sinceMs = options.nowMs();
  }

  /** Never rejects. */
  async open(): Promise<void> {
    const { layers, serve } = this.#options;
    try {
      const stream = await openServerLayers(this.#raw, layers, (stage) => this.#enter(stage));
      if (stream === undefined || this.#over || stream.destroyed) this.destroy();
      else this.#served = serve(stream);
    } catch (thrown) {
      // A client that resets its connection, or vanishes, has sent nothing wrong.
      const isCut = /^E[A-Z]+$/.test(systemErrorCode(thrown));
      if (isCut && !(thrown instanceof MillraceError)) this.destroy();
      else this.#fail(toMillraceError(thrown, "FRAME_MALFORMED"));
    }
  }

  drain(): void {
    if (this.#served === undefined) this.destroy();
    else this.#served.drain();
  }

  destroy(): void {
    this.#over = true;
    this.#served?.destroy();
    this.#raw.destroy();
  }

  sweep(nowMs: number): void {
    if (this.#over) return;
    if (this.#served !== undefined) {
      this.#served.sweep(nowMs);
      return;
    }
    const { limits, layers, idle } = this.#options;
    const { messageTimeoutMs, idleTimeoutMs } = limits;
    const waitedMs = nowMs - this.#sinceMs;
    const handshakes = layers.transport.tls !== undefined && !this.#secured;
    if (handshakes && this.#stage !== "turn") {
      if (waitedMs < handshakeTimeoutMs) return;
      this.#fail(
        tlsFailure("timeout", `a client did not end its TLS handshake in ${handshakeTimeoutMs} ms`),
      );
    } else if (this.#stage === "inside") {
      if (waitedMs < messageTimeoutMs) return;
      this.#fail(
        new MillraceError("FRAME_MALFORMED", `no whole message came within ${messageTimeoutMs} ms`),
      );
    } else if (idleTimeoutMs > 0 && waitedMs >= idleTimeoutMs) {
      idle(waitedMs);
      this.destroy();
    }
  }

  #enter(stage: OpeningStage): void {
    if (this.#stage === "handshake") this.#secured = true;
    // The time for a handshake begins with the connection and, where it must wait, anew at its turn.
    const goesOn = stage === "inside" && !this.#secured && this.#options.layers.transport.tls;
    if (!goesOn) this.#sinceMs = this.#options.nowMs();
    this.#stage = stage;
  }

  #fail(error: MillraceError): void {
    if (this.#over) return;
    this.#options.failed(error);
    this.destroy();
  }
}
