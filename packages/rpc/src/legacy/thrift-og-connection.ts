import type { EventBatch } from "@millrace/core";
import {
  type Clock,
  EventBatchBuilder,
  type Log,
  MillraceError,
  toMillraceError,
} from "@millrace/core";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import type { EventHandler, EventServerLimits, EventServerObserver } from "../wire/event-server.ts";
import { MessageDecoder } from "./message-decoder.ts";
import { ogHeaders } from "./og-event.ts";
import { readOgMessage } from "./thrift-og-message.ts";

/** What the connections of one server share. */
export interface OgConnectionShared {
  readonly handler: EventHandler;
  readonly limits: EventServerLimits;
  readonly observer: EventServerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long a closed connection's last replies may travel before it is cut. */
const lingerMs = 1000;
/** Calls that have come together are processed together, up to this many. */
const batchEventsMax = 100;

/**
 * One client's connection. Its calls are one-way: a client hears nothing of what becomes of them, so
 * the handler is asked to settle only when the events are stored, and while it has not the
 * connection is not read: the client waits.
 *
 *   socket -> decoder -> up to 100 events -> handler, one batch at a time -> ...
 *
 *   open -> draining (what has come whole is processed) -> closed
 */
export class OgConnection implements ServerConnection {
  readonly #stream: Duplex;
  readonly #peer: string;
  readonly #shared: OgConnectionShared;
  readonly #decoder: MessageDecoder;
  #state: "open" | "draining" | "closed" = "open";
  #processing = false;
  #peerEnded = false;
  #refusal: MillraceError | undefined;
  #activeAtMs: number;
  #messageSinceMs: number | undefined;
  #malformedLogged = false;

  constructor(stream: Duplex, peer: string, shared: OgConnectionShared) {
    this.#stream = stream;
    this.#peer = peer;
    this.#shared = shared;
    this.#decoder = new MessageDecoder(shared.limits.maxFrameBytes);
    this.#activeAtMs = shared.clock.monotonic();
    stream.on("data", (chunk: Buffer) => {
      this.#activeAtMs = shared.clock.monotonic();
      if (this.#refusal !== undefined || this.#state === "closed") return;
      this.#decoder.push(chunk);
      this.#pump();
    });
    stream.on("drain", () => this.#pump());
    stream.on("end", () => {
      this.#peerEnded = true;
      this.#pump();
    });
    // What the peer sent before it went it believes to be stored.
    stream.on("close", () => {
      this.#peerEnded = true;
      this.#pump();
    });
    stream.on("error", () => {});
  }

  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#stream.pause();
    this.#pump();
  }

  destroy(): void {
    this.#state = "closed";
    this.#stream.destroy();
  }

  sweep(nowMs: number): void {
    if (this.#state !== "open" || this.#processing) return;
    const { messageTimeoutMs, idleTimeoutMs } = this.#shared.limits;
    const since = this.#messageSinceMs;
    if (since !== undefined && nowMs - since >= messageTimeoutMs) {
      const message = `no whole message came within ${messageTimeoutMs} ms`;
      this.#refuse(new MillraceError("FRAME_MALFORMED", message));
      this.#pump();
      return;
    }
    const idle = nowMs - this.#activeAtMs;
    if (idleTimeoutMs > 0 && idle >= idleTimeoutMs) {
      const ms = Math.round(idle);
      this.#shared.log.info(`connection of ${this.#peer} closed: idle for ${ms} ms`);
      this.drain();
    }
  }

  /** Processes what has come whole, then reads on, or closes. */
  #pump(): void {
    if (this.#processing || this.#state === "closed") return;
    for (;;) {
      // Who does not read its answers is not read either.
      if (this.#state === "open" && !this.#peerEnded && this.#stream.writableNeedDrain) {
        this.#messageSinceMs = undefined;
        this.#stream.pause();
        return;
      }
      const { batch, reply } = this.#nextBatch();
      if (batch.length > 0) {
        void this.#process(batch, reply);
        return;
      }
      if (reply === undefined) break;
      this.#write(reply);
    }
    const isOver = this.#peerEnded || this.#refusal !== undefined || this.#state === "draining";
    if (isOver) {
      this.#close();
      return;
    }
    if (!this.#decoder.partial) this.#messageSinceMs = undefined;
    else this.#messageSinceMs ??= this.#shared.clock.monotonic();
    this.#stream.resume();
  }

  /** The events that have come whole up to a call that is answered, and that answer. */
  #nextBatch(): { readonly batch: EventBatch; readonly reply: Buffer | undefined } {
    const builder = new EventBatchBuilder();
    let reply: Buffer | undefined;
    try {
      while (
        reply === undefined &&
        this.#refusal === undefined &&
        builder.length < batchEventsMax
      ) {
        const bytes = this.#decoder.next();
        if (bytes === undefined) break;
        this.#messageSinceMs = undefined;
        const message = readOgMessage(bytes);
        if (message.kind === "append") builder.add(ogHeaders(message.event), message.event.body);
        else reply = message.reply;
        if (message.kind === "unknown") {
          this.#countMalformed(
            new MillraceError("CALL_MALFORMED", `no such method: ${message.name}`),
          );
        }
      }
    } catch (thrown) {
      this.#refuse(toMillraceError(thrown));
    }
    return { batch: builder.build(), reply };
  }

  async #process(batch: EventBatch, reply: Buffer | undefined): Promise<void> {
    this.#processing = true;
    this.#messageSinceMs = undefined;
    this.#stream.pause();
    const message = batch.length === 1 ? "append" : "appendBatch";
    try {
      const status = await this.#shared.handler(batch, { message, peer: this.#peer });
      if (status !== "OK") this.#lost(batch, "they were refused");
    } catch (thrown) {
      this.#lost(batch, toMillraceError(thrown).message);
    }
    this.#processing = false;
    this.#activeAtMs = this.#shared.clock.monotonic();
    if (reply !== undefined) this.#write(reply);
    this.#pump();
  }

  #lost(batch: EventBatch, why: string): void {
    const text = `${batch.length} events of ${this.#peer} are lost, as nobody sends them again: ${why}`;
    this.#shared.log.error(text, { events: batch.length, peer: this.#peer });
  }

  #write(reply: Buffer): void {
    if (this.#stream.writable) this.#stream.write(reply);
  }

  #refuse(error: MillraceError): void {
    this.#countMalformed(error);
    this.#refusal = error;
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

  #close(): void {
    if (this.#decoder.partial && this.#refusal === undefined) {
      const text = `${this.#peer} left, or was cut, in the middle of a message; nothing of it is kept`;
      this.#shared.log.debug(text);
    }
    this.#state = "closed";
    const timer = this.#shared.clock.setTimer(lingerMs, () => this.#stream.destroy());
    this.#stream.once("close", () => timer.cancel());
    this.#stream.end(() => this.#stream.destroy());
  }
}
