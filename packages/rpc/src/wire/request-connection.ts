import { type Clock, type Log, MillraceError, toMillraceError } from "@millrace/core";
import type { Duplex } from "node:stream";
import type { ServerConnection } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventHandler,
  type EventServerLimits,
  type EventServerObserver,
  type EventServerOptions,
} from "./event-server.ts";
import type { WireCall, WireRequest, WireSession } from "./wire-session.ts";

/** What the connections of one server share. */
export interface ConnectionShared {
  readonly handler: EventHandler;
  readonly limits: EventServerLimits;
  readonly observer: EventServerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** A server's options with what is left open filled in. */
export function sharedBy(options: EventServerOptions): ConnectionShared {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  return { handler, limits, observer, clock, log };
}

/** How long a closed connection's last replies may travel before it is cut. */
const lingerMs = 1000;

/** A request that is in progress, or whose reply waits for its turn. */
interface Pending {
  reply: Buffer | undefined;
}

/**
 * One client's connection, on a wire of requests and replies.
 *
 *   stream -> session -> handler, at most requestsInFlight at once -> session -> replies
 *
 * Past that many, or while the peer does not read its replies, the stream is not read: what the
 * kernel holds then is all that waits. Requests start in the order they came; the session says
 * whether their replies keep it.
 *
 *   open -> draining (nothing more starts, what is in progress is answered) -> closing -> closed
 */
export class RequestConnection<C extends WireCall> implements ServerConnection {
  readonly peer: string;
  readonly #stream: Duplex;
  readonly #session: WireSession<C>;
  readonly #shared: ConnectionShared;
  readonly #pending = new Set<Pending>();
  #state: "open" | "draining" | "closing" = "open";
  #pumping = false;
  #reading = true;
  #peerEnded = false;
  #activeAtMs: number;
  #messageSinceMs: number | undefined;
  #farewell: Buffer | undefined;
  #malformedLogged = false;

  constructor(stream: Duplex, peer: string, session: WireSession<C>, shared: ConnectionShared) {
    this.#stream = stream;
    this.peer = peer;
    this.#session = session;
    this.#shared = shared;
    this.#activeAtMs = shared.clock.monotonic();
    stream.on("data", (chunk: Buffer) => {
      if (this.#state !== "open") return;
      this.#activeAtMs = shared.clock.monotonic();
      session.push(chunk);
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
    if (this.#pending.size === 0 && idleTimeoutMs > 0 && idle >= idleTimeoutMs) {
      this.#shared.log.info(`connection of ${this.peer} closed: idle for ${Math.round(idle)} ms`);
      this.drain();
    }
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#mayStart()) {
        const request = this.#session.next();
        if (request === undefined) break;
        this.#messageSinceMs = undefined;
        this.#start(request);
      }
    } catch (thrown) {
      const error = toMillraceError(thrown);
      this.#farewell = this.#session.farewell?.(error);
      this.#refuse(error);
    } finally {
      this.#pumping = false;
    }
    if (this.#state !== "open") return;
    const mayStart = this.#mayStart();
    this.#setReading(mayStart);
    // Time in which it is we who do not read is not held against the peer.
    if (!mayStart || !this.#session.partial) this.#messageSinceMs = undefined;
    else this.#messageSinceMs ??= this.#shared.clock.monotonic();
    if (this.#peerEnded && mayStart) {
      if (this.#session.partial) {
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
      this.#pending.size < this.#shared.limits.requestsInFlight &&
      !this.#stream.writableNeedDrain
    );
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading) return;
    this.#reading = reading;
    if (reading) this.#stream.resume();
    else this.#stream.pause();
  }

  #start(request: WireRequest<C>): void {
    const pending: Pending = { reply: undefined };
    switch (request.kind) {
      case "call":
        this.#pending.add(pending);
        this.#process(request).then(
          (status) => this.#answered(pending, this.#session.answer(request, status)),
          (error: unknown) => this.#answered(pending, this.#failure(request, error)),
        );
        return;
      case "answer":
        if (request.error !== undefined) this.#countMalformed(request.error);
        this.#pending.add(pending);
        this.#reply(pending, request.reply);
        return;
      case "broken":
        if (request.reply !== undefined) this.#farewell = request.reply;
        this.#refuse(request.error);
    }
  }

  async #process({ message, batch }: C): Promise<"OK" | "FAILED"> {
    return this.#shared.handler(batch, { message, peer: this.peer });
  }

  #failure(call: C, thrown: unknown): Buffer {
    const error = toMillraceError(thrown);
    this.#shared.log.error(`${call.message} of ${this.peer} failed: ${error.message}`, { error });
    return this.#session.failure(call, thrown);
  }

  #answered(pending: Pending, reply: Buffer): void {
    this.#activeAtMs = this.#shared.clock.monotonic();
    this.#reply(pending, reply);
    if (this.#state === "open") this.#pump();
    else this.#closeWhenAnswered();
  }

  /** Writes the reply, or keeps it until those before it are written. */
  #reply(pending: Pending, reply: Buffer): void {
    pending.reply = reply;
    if (!this.#session.repliesInOrder) {
      this.#pending.delete(pending);
      this.#write(reply);
      return;
    }
    for (const first of this.#pending) {
      if (first.reply === undefined) return;
      this.#pending.delete(first);
      this.#write(first.reply);
    }
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
    this.drain();
  }

  #closeWhenAnswered(): void {
    if (this.#state !== "draining" || this.#pending.size > 0) return;
    this.#state = "closing";
    if (this.#farewell !== undefined) this.#write(this.#farewell);
    const timer = this.#shared.clock.setTimer(lingerMs, () => this.#stream.destroy());
    this.#stream.once("close", () => timer.cancel());
    if (this.#peerEnded) {
      this.#endThenDestroy();
      return;
    }
    // Closing with input unread would send a reset, which may overtake the replies: it is read, and
    // dropped, until the peer has seen the end.
    this.#stream.end();
    this.#stream.resume();
  }

  #endThenDestroy(): void {
    this.#stream.end(() => this.#stream.destroy());
  }
}
