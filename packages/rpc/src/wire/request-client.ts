import { type EventBatch, MillraceError, type Timer, toMillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { lateReason } from "../tcp/client-tls.ts";
import { connectStream } from "../tcp/connect.ts";
import type { ClientCall, ClientReply, ClientSession, ReplyOutcome } from "./client-session.ts";
import type { EventClient, EventClientOptions } from "./event-client.ts";

interface Call extends ClientCall {
  readonly resolve: () => void;
  readonly reject: (error: MillraceError) => void;
  readonly deadlineMs: number;
}

const idMax = 0x7fff_ffff;
const remoteTextMax = 500;

/**
 * A client on a wire of requests and replies.
 *
 *   waiting -> (the session is greeted, the stream takes more) -> sent -> replied
 */
export class RequestClient implements EventClient {
  readonly #options: EventClientOptions;
  readonly #session: ClientSession;
  readonly #where: string;
  readonly #givenUp = new AbortController();
  #stream: Duplex | undefined;
  #state: "new" | "connecting" | "open" | "dead" = "new";
  #id = 0;
  readonly #waiting: Call[] = [];
  /** In the order they were sent. */
  readonly #sent = new Map<number, Call>();
  #timer: Timer | undefined;

  constructor(options: EventClientOptions, session: ClientSession) {
    this.#options = options;
    this.#session = session;
    this.#where = `${options.host}:${options.port}`;
  }

  get alive(): boolean {
    return this.#state === "open";
  }

  async connect(): Promise<void> {
    assert(this.#state === "new", "a client connects once");
    this.#state = "connecting";
    let stream: Duplex;
    try {
      stream = await connectStream({ ...this.#options, giveUp: this.#givenUp.signal });
    } catch (thrown) {
      const error = toMillraceError(thrown);
      this.#fail(error);
      throw error;
    }
    // It may have been closed while it connected: a closed client stays closed.
    if ((this.#state as string) === "dead") {
      stream.destroy();
      throw this.#connectFailed("closed on this side");
    }
    this.#stream = stream;
    this.#state = "open";
    let lastError: Error | undefined;
    stream.on("error", (error) => {
      lastError = error;
    });
    const lost = (): void => {
      const why = lastError === undefined ? "closed by the peer" : lateReason(lastError);
      this.#fail(this.#lost(why, lastError));
    };
    stream.once("close", lost);
    if (stream.destroyed) lost();
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("drain", () => this.#pump());
    // What the peer had to say it has said: a call made now would be lost.
    stream.on("end", lost);
    this.#options.log.debug(`connected to ${this.#where}`);
  }

  appendBatch(batch: EventBatch): Promise<void> {
    return this.#call("appendBatch", batch);
  }

  append(batch: EventBatch): Promise<void> {
    assert(batch.length === 1, "append takes one event");
    return this.#call("append", batch);
  }

  close(why = "closed on this side"): void {
    this.#fail(
      this.#state === "connecting" ? this.#connectFailed(why) : this.#lost(why, undefined),
    );
  }

  #call(message: ClientCall["message"], batch: EventBatch): Promise<void> {
    if (this.#state !== "open") return Promise.reject(this.#lost("the client is dead", undefined));
    const { clock, requestTimeoutMs, connectTimeoutMs } = this.#options;
    const timeoutMs = this.#session.greeted
      ? requestTimeoutMs
      : Math.max(requestTimeoutMs, connectTimeoutMs);
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.monotonic() + timeoutMs;
      this.#waiting.push({ message, batch, resolve, reject, deadlineMs });
      this.#timer ??= clock.setTimer(timeoutMs, () => this.#expire());
      this.#pump();
    });
  }

  /** Sends what may be sent. */
  #pump(): void {
    const stream = this.#stream as Duplex;
    while (this.#state === "open" && this.#waiting.length > 0 && !stream.writableNeedDrain) {
      if (!this.#session.greeted && this.#sent.size > 0) return;
      this.#send(this.#waiting.shift() as Call);
    }
  }

  #send(call: Call): void {
    const stream = this.#stream as Duplex;
    this.#id = this.#id === idMax ? 1 : this.#id + 1;
    this.#sent.set(this.#id, call);
    const id = this.#id;
    const buffers = this.#session.encode(id, call).filter(({ length }) => length > 0);
    const written = (error?: Error | null): void => {
      if (error === undefined || error === null) this.#session.written?.(id);
    };
    // Corked, all of it leaves in one vectored write.
    stream.cork();
    buffers.forEach((buffer, i) => {
      stream.write(buffer, i === buffers.length - 1 ? written : undefined);
    });
    stream.uncork();
  }

  #receive(chunk: Buffer): void {
    this.#session.push(chunk);
    const { greeted } = this.#session;
    try {
      while (this.#state === "open") {
        const reply = this.#session.next();
        if (reply === undefined) return;
        this.#take(reply);
        this.#pump();
      }
    } catch (thrown) {
      const error = toMillraceError(thrown);
      const code = greeted ? "RPC_REPLY_MALFORMED" : "RPC_HANDSHAKE_FAILED";
      this.#fail(
        error.code.startsWith("RPC_")
          ? error
          : new MillraceError(code, `${this.#where} answered ${error.message}`, { cause: error }),
      );
    }
  }

  /** Settles the call a reply belongs to. Throws what makes the client dead. */
  #take(reply: ClientReply): void {
    const { id } = reply;
    const call = this.#sent.get(id);
    if (call === undefined) throw this.#malformed(`request ${id}, which is not in flight`);
    if (this.#session.repliesInOrder && this.#sent.keys().next().value !== id) {
      throw this.#malformed(`request ${id}, which is not the next to be answered`);
    }
    this.#sent.delete(id);
    if (reply.kind === "again") {
      this.#send(call);
      return;
    }
    const { message, outcome } = reply;
    if (message !== undefined && message !== call.message) {
      this.#sent.set(id, call);
      throw this.#malformed(`${message} to ${call.message}`);
    }
    const error = this.#errorOf(outcome, call);
    if (error === undefined) call.resolve();
    else call.reject(error);
  }

  #errorOf(outcome: ReplyOutcome, { batch }: Call): MillraceError | undefined {
    switch (outcome.kind) {
      case "stored":
        return undefined;
      case "status": {
        const text = `${this.#where} answered ${outcome.status} to ${batch.length} events`;
        return new MillraceError("RPC_STATUS_FAILED", text);
      }
      case "error": {
        const text = outcome.text.slice(0, remoteTextMax);
        return new MillraceError("RPC_SYSTEM_ERROR", `${this.#where} answered: ${text}`);
      }
    }
  }

  #expire(): void {
    this.#timer = undefined;
    const nowMs = this.#options.clock.monotonic();
    let nextMs = Infinity;
    for (const call of [...this.#sent.values(), ...this.#waiting]) {
      if (call.deadlineMs <= nowMs) {
        const message = `${this.#where} did not answer in time (${call.batch.length} events)`;
        this.#fail(new MillraceError("RPC_TIMEOUT", message));
        return;
      }
      nextMs = Math.min(nextMs, call.deadlineMs);
    }
    if (nextMs === Infinity) return;
    this.#timer = this.#options.clock.setTimer(nextMs - nowMs, () => this.#expire());
  }

  /** Ends the client: whatever is under way throws `error`. */
  #fail(error: MillraceError): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    this.#timer?.cancel();
    this.#givenUp.abort(error);
    this.#stream?.destroy();
    const calls = [...this.#sent.values(), ...this.#waiting];
    this.#sent.clear();
    this.#waiting.length = 0;
    for (const call of calls) call.reject(error);
  }

  #connectFailed(why: string): MillraceError {
    return new MillraceError("RPC_CONNECT_FAILED", `no connection to ${this.#where}: ${why}`);
  }

  #malformed(what: string): MillraceError {
    return new MillraceError("RPC_REPLY_MALFORMED", `${this.#where} answered ${what}`);
  }

  #lost(why: string, cause: Error | undefined): MillraceError {
    return new MillraceError(
      "RPC_CONNECTION_LOST",
      `the connection to ${this.#where} ended: ${why}`,
      { cause },
    );
  }
}
