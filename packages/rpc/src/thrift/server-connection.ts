import { type Clock, type Log, MillraceError, toMillraceError } from "@millrace/core";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import type { EventHandler, EventServerLimits, EventServerObserver } from "../wire/event-server.ts";
import { FrameDecoder } from "./frame.ts";
import type { CallRequest, FramedService, Request } from "./framed-service.ts";

/** What the connections of one server share. */
export interface ConnectionShared {
  readonly service: FramedService;
  readonly handler: EventHandler;
  readonly limits: EventServerLimits;
  readonly observer: EventServerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long a closed connection's last replies may travel before it is cut. */
const lingerMs = 1000;

/** A request's place in the order of the replies. */
interface Pending {
  reply: Buffer | undefined;
}

type Call = CallRequest;

/**
 * One client's connection.
 *
 *   socket -> decoder -> service -> handler, at most requestsInFlight at once -> replies
 *
 * Past that many, or while the peer does not read its replies, the socket is not read: what the
 * kernel holds then is all that waits. Requests start in the order they came, and are answered in
 * that order: a Java client takes the next reply for its own.
 *
 *   open -> draining (nothing more starts, what is in progress is answered) -> closing -> closed
 */
export class FramedServerConnection implements ServerConnection {
  readonly peer: string;
  readonly #stream: Duplex;
  readonly #shared: ConnectionShared;
  readonly #decoder: FrameDecoder;
  readonly #pending: Pending[] = [];
  #state: "open" | "draining" | "closing" = "open";
  #pumping = false;
  #reading = true;
  #peerEnded = false;
  #activeAtMs: number;
  #messageSinceMs: number | undefined;
  #malformedLogged = false;

  constructor(stream: Duplex, peer: string, shared: ConnectionShared) {
    this.#stream = stream;
    this.#shared = shared;
    this.peer = peer;
    this.#decoder = new FrameDecoder(shared.limits.maxFrameBytes);
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

  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#setReading(false);
    this.#closeWhenAnswered();
  }

  destroy(): void {
    this.#state = "closing";
    this.#stream.destroy();
  }

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
    if (this.#pending.length === 0 && idleTimeoutMs > 0 && idle >= idleTimeoutMs) {
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
        this.#start(this.#shared.service.read(message));
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
      this.#pending.length < this.#shared.limits.requestsInFlight &&
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
    const pending: Pending = { reply: undefined };
    switch (request.kind) {
      case "call":
        this.#pending.push(pending);
        this.#process(request).then(
          (status) => this.#answer(pending, this.#shared.service.answer(request, status)),
          (error: unknown) => this.#answer(pending, this.#failure(request, error)),
        );
        return;
      case "refused":
        this.#countMalformed(request.error);
        this.#pending.push(pending);
        this.#answer(pending, request.reply);
        return;
      case "broken":
        if (request.reply !== undefined) this.#pending.push({ reply: request.reply });
        this.#refuse(request.error);
    }
  }

  async #process({ message, batch }: Call): Promise<"OK" | "FAILED"> {
    return this.#shared.handler(batch, { message, peer: this.peer });
  }

  #failure(call: Call, thrown: unknown): Buffer {
    const error = toMillraceError(thrown);
    this.#shared.log.error(`${call.head.name} of ${this.peer} failed: ${error.message}`, { error });
    return this.#shared.service.failure(call, thrown);
  }

  #answer(pending: Pending, reply: Buffer): void {
    pending.reply = reply;
    this.#activeAtMs = this.#shared.clock.monotonic();
    this.#flush();
    if (this.#state === "open") this.#pump();
    else this.#closeWhenAnswered();
  }

  /** Writes the replies that none before them is missing of. */
  #flush(): void {
    for (let first = this.#pending[0]; first?.reply !== undefined; first = this.#pending[0]) {
      this.#pending.shift();
      if (this.#stream.writable) this.#stream.write(first.reply);
    }
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
    this.#flush();
    this.drain();
  }

  #closeWhenAnswered(): void {
    if (this.#state !== "draining" || this.#pending.length > 0) return;
    this.#state = "closing";
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
