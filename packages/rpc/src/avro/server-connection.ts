import { type Clock, type Log, MillraceError, toMillraceError } from "@millrace/core";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import type { EventHandler, EventServerLimits, EventServerObserver } from "../wire/event-server.ts";
import { encodeError, encodeStatus } from "./call.ts";
import { FrameDecoder } from "./frame.ts";
import { type ClientRegistry, handshakeBoth } from "./handshake.ts";
import { AvroServerSession, type Request } from "./server-session.ts";

/** What the connections of one server share. */
export interface ConnectionShared {
  readonly handler: EventHandler;
  readonly limits: EventServerLimits;
  readonly observer: EventServerObserver;
  readonly clients: ClientRegistry;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long a closed connection's last replies may travel before it is cut. */
const lingerMs = 1000;

/**
 * One client's connection.
 *
 *   socket -> decoder -> session -> handler, at most requestsInFlight at once -> reply
 *
 * Past that many, or while the peer does not read its replies, the socket is not read: what the
 * kernel holds then is all that waits. Requests start in the order they came; replies may overtake.
 *
 *   open -> draining (nothing more starts, what is in progress is answered) -> closing -> closed
 */
export class AvroServerConnection implements ServerConnection {
  readonly peer: string;
  readonly #stream: Duplex;
  readonly #shared: ConnectionShared;
  readonly #decoder: FrameDecoder;
  readonly #session: AvroServerSession;
  #state: "open" | "draining" | "closing" = "open";
  #inFlight = 0;
  #pumping = false;
  #reading = true;
  #peerEnded = false;
  #activeAtMs: number;
  #messageSinceMs: number | undefined;
  #lastReply: Buffer | undefined;
  #malformedLogged = false;

  constructor(stream: Duplex, peer: string, shared: ConnectionShared) {
    this.#stream = stream;
    this.#shared = shared;
    this.peer = peer;
    this.#decoder = new FrameDecoder(shared.limits.maxFrameBytes);
    this.#session = new AvroServerSession(shared.clients);
    this.#activeAtMs = shared.clock.monotonic();
    stream.on("data", (chunk: Buffer) => {
      if (this.#state !== "open") return;
      this.#activeAtMs = shared.clock.monotonic();
      this.#decoder.push(chunk);
      this.#pump();
    });
    stream.on("drain", () => this.#pump());
    stream.on("end", () => {
      this.#peerEnded = true;
      this.#pump();
      if (this.#state === "closing") this.#endThenDestroy();
    });
    stream.on("close", () => {
      this.#state = "closing";
    });
    // A reset says no more than the close that follows it.
    stream.on("error", () => {});
  }

  /** Starts no further request; answers what is in progress; then closes. */
  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#setReading(false);
    this.#closeWhenAnswered();
  }

  /** Cuts the connection; what is in progress is not answered. */
  destroy(): void {
    this.#state = "closing";
    this.#stream.destroy();
  }

  /** Called now and then by the server: closes what has been silent, or slow, for too long. */
  sweep(nowMs: number): void {
    if (this.#state !== "open") return;
    const { messageTimeoutMs, idleTimeoutMs } = this.#shared.limits;
    const since = this.#messageSinceMs;
    if (since !== undefined && nowMs - since >= messageTimeoutMs) {
      this.#refuse(
        new MillraceError("FRAME_MALFORMED", `no whole message came within ${messageTimeoutMs} ms`),
      );
      return;
    }
    const idle = nowMs - this.#activeAtMs;
    if (this.#inFlight === 0 && idleTimeoutMs > 0 && idle >= idleTimeoutMs) {
      this.#shared.log.info(`connection of ${this.peer} closed: idle for ${Math.round(idle)} ms`);
      this.drain();
    }
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#mayStart()) {
        const message = this.#decoder.next();
        if (message === undefined) break;
        this.#messageSinceMs = undefined;
        this.#start(this.#session.receive(message));
      }
    } catch (error) {
      this.#refuse(toMillraceError(error));
    } finally {
      this.#pumping = false;
    }
    if (this.#state !== "open") return;
    const mayStart = this.#mayStart();
    this.#setReading(mayStart);
    // Time in which it is we who do not read is not held against the peer.
    if (!mayStart || !this.#decoder.partial) this.#messageSinceMs = undefined;
    else this.#messageSinceMs ??= this.#shared.clock.monotonic();
    if (this.#peerEnded && mayStart) {
      if (this.#decoder.partial) {
        this.#shared.log.debug(
          `${this.peer} left in the middle of a message; nothing of it is kept`,
        );
      }
      this.drain();
    }
  }

  #mayStart(): boolean {
    return (
      this.#state === "open" &&
      this.#inFlight < this.#shared.limits.requestsInFlight &&
      !this.#stream.writableNeedDrain
    );
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading) return;
    this.#reading = reading;
    if (reading) this.#stream.resume();
    else this.#stream.pause();
  }

  #start(request: Request): void {
    if (request.kind === "answer") {
      if (request.error !== undefined) this.#countMalformed(request.error);
      this.#write(request.reply);
      return;
    }
    this.#inFlight++;
    const { serial, name, handshake, batch } = request;
    this.#process(name, batch).then(
      (status) => this.#answer(encodeStatus(serial, handshake, status)),
      (error: unknown) => this.#answer(this.#failure(request, error)),
    );
  }

  async #process(
    message: "append" | "appendBatch",
    batch: Parameters<EventHandler>[0],
  ): Promise<"OK" | "FAILED"> {
    return this.#shared.handler(batch, { message, peer: this.peer });
  }

  /** As Java Flume: what a handler throws is a system error for append, FAILED for appendBatch. */
  #failure({ serial, name, handshake }: Request & { kind: "call" }, thrown: unknown): Buffer {
    const error = toMillraceError(thrown);
    this.#shared.log.error(`${name} of ${this.peer} failed: ${error.message}`, { error });
    if (name === "appendBatch") return encodeStatus(serial, handshake, "FAILED");
    return encodeError(serial, handshake, `${error.code}: ${error.message}`);
  }

  #answer(reply: Buffer): void {
    this.#inFlight--;
    this.#activeAtMs = this.#shared.clock.monotonic();
    this.#write(reply);
    if (this.#state === "open") this.#pump();
    else this.#closeWhenAnswered();
  }

  #write(reply: Buffer): void {
    if (this.#stream.writable) this.#stream.write(reply);
  }

  /** Counts every message that could not be read; the log has the first of each connection. */
  #countMalformed(error: MillraceError): void {
    this.#shared.observer.requestMalformed?.(error, this.peer);
    if (this.#malformedLogged) return;
    this.#malformedLogged = true;
    this.#shared.log.warn(`${this.peer} sent what cannot be read: ${error.message}`, {
      code: error.code,
      peer: this.peer,
    });
  }

  /** Closes for what the peer sent, once what it sent before is answered. */
  #refuse(error: MillraceError): void {
    this.#countMalformed(error);
    // A peer whose frames are right and only too large can be told. It may not have been greeted.
    if (error.code === "FRAME_TOO_LARGE") {
      const handshake = this.#session.connected ? Buffer.alloc(0) : handshakeBoth;
      const text = `${error.code}: ${error.message}`;
      this.#lastReply = encodeError(this.#decoder.serial, handshake, text);
    }
    this.drain();
  }

  #closeWhenAnswered(): void {
    if (this.#state !== "draining" || this.#inFlight > 0) return;
    this.#state = "closing";
    if (this.#lastReply !== undefined) this.#write(this.#lastReply);
    if (this.#peerEnded) {
      this.#endThenDestroy();
      return;
    }
    // Closing with input unread would send a reset, which may overtake the replies: it is read, and
    // dropped, until the peer has seen the end.
    const timer = this.#shared.clock.setTimer(lingerMs, () => this.#stream.destroy());
    this.#stream.once("close", () => timer.cancel());
    this.#stream.end();
    this.#stream.resume();
  }

  #endThenDestroy(): void {
    this.#stream.end(() => this.#stream.destroy());
  }
}
