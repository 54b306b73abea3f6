import type { EventBatch } from "@millrace/core";
import { type Cursor, MillraceError, type Timer, toMillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { lateReason } from "../tcp/client-tls.ts";
import { connectStream } from "../tcp/connect.ts";
import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { type AvroMessageName, decodeReply, encodeCall } from "./call.ts";
import { FrameDecoder } from "./frame.ts";
import { decodeHandshakeResponse, firstHandshake, handshakeWithText } from "./handshake.ts";
import { protocolProblem } from "./protocol.ts";

/** One connection to an Avro source, Java's or ours; a reply settles the call whose serial it repeats. */
export function createAvroClient(options: EventClientOptions): EventClient {
  return new Client(options);
}

interface Call {
  readonly name: AvroMessageName;
  readonly batch: EventBatch;
  readonly resolve: () => void;
  readonly reject: (error: MillraceError) => void;
  readonly deadlineMs: number;
}

const serialMax = 0x7fff_ffff;
const remoteTextMax = 500;

/**
 *   waiting -> (handshake done, socket takes more) -> sent -> replied
 *
 * Until the first reply is there, one call is sent: the handshake it carries may have to be
 * repeated, and Java's server takes no second one meanwhile.
 */
class Client implements EventClient {
  readonly #options: EventClientOptions;
  readonly #where: string;
  readonly #decoder: FrameDecoder;
  readonly #givenUp = new AbortController();
  #stream: Duplex | undefined;
  #state: "new" | "connecting" | "open" | "dead" = "new";
  #handshake: Buffer | undefined = firstHandshake;
  #sentText = false;
  #serial = 0;
  readonly #waiting: Call[] = [];
  readonly #sent = new Map<number, Call>();
  #timer: Timer | undefined;

  constructor(options: EventClientOptions) {
    this.#options = options;
    this.#where = `${options.host}:${options.port}`;
    this.#decoder = new FrameDecoder(options.maxFrameBytes);
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
    // The state may have been changed while connecting: a closed client stays closed.
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

  #call(name: AvroMessageName, batch: EventBatch): Promise<void> {
    if (this.#state !== "open") return Promise.reject(this.#lost("the client is dead", undefined));
    const { clock, requestTimeoutMs, connectTimeoutMs } = this.#options;
    const timeoutMs =
      this.#handshake === undefined
        ? requestTimeoutMs
        : Math.max(requestTimeoutMs, connectTimeoutMs);
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.monotonic() + timeoutMs;
      this.#waiting.push({ name, batch, resolve, reject, deadlineMs });
      this.#timer ??= clock.setTimer(timeoutMs, () => this.#expire());
      this.#pump();
    });
  }

  /** Sends what may be sent. */
  #pump(): void {
    const stream = this.#stream as Duplex;
    while (this.#state === "open" && this.#waiting.length > 0 && !stream.writableNeedDrain) {
      if (this.#handshake !== undefined && this.#sent.size > 0) return;
      this.#send(this.#waiting.shift() as Call);
    }
  }

  #send(call: Call): void {
    const stream = this.#stream as Duplex;
    this.#serial = this.#serial === serialMax ? 1 : this.#serial + 1;
    this.#sent.set(this.#serial, call);
    const buffers = encodeCall(this.#serial, this.#handshake, call.name, call.batch);
    // Corked, all of it leaves in one vectored write.
    stream.cork();
    for (const buffer of buffers) if (buffer.length > 0) stream.write(buffer);
    stream.uncork();
  }

  #receive(chunk: Buffer): void {
    this.#decoder.push(chunk);
    try {
      while (this.#state === "open") {
        const message = this.#decoder.next();
        if (message === undefined) return;
        this.#reply(message.serial, message.bytes);
      }
    } catch (thrown) {
      const code = this.#handshake === undefined ? "RPC_REPLY_MALFORMED" : "RPC_HANDSHAKE_FAILED";
      const error = toMillraceError(thrown);
      this.#fail(
        error.code.startsWith("RPC_")
          ? error
          : new MillraceError(code, `${this.#where} answered ${error.message}`, { cause: error }),
      );
    }
  }

  /** Settles the call a reply belongs to. Throws what makes the client dead. */
  #reply(serial: number, bytes: Buffer): void {
    const call = this.#sent.get(serial);
    if (call === undefined) {
      throw new MillraceError(
        "RPC_REPLY_MALFORMED",
        `${this.#where} answered request ${serial}, which is not in flight`,
      );
    }
    const cursor: Cursor = { at: 0 };
    if (this.#handshake !== undefined && !this.#greet(bytes, cursor)) {
      this.#sent.delete(serial);
      this.#send(call);
      return;
    }
    const reply = decodeReply(bytes, cursor);
    this.#sent.delete(serial);
    if (reply.kind === "error") {
      const text = reply.text.slice(0, remoteTextMax);
      call.reject(new MillraceError("RPC_SYSTEM_ERROR", `${this.#where} answered: ${text}`));
    } else if (reply.status === "OK") {
      call.resolve();
    } else {
      call.reject(
        new MillraceError(
          "RPC_STATUS_FAILED",
          `${this.#where} answered ${reply.status} to ${call.batch.length} events`,
        ),
      );
    }
    this.#pump();
  }

  /** Takes the server's half of the handshake; false when the request must be sent again. */
  #greet(bytes: Buffer, cursor: Cursor): boolean {
    const { match, serverProtocol, serverHash } = decodeHandshakeResponse(bytes, cursor);
    if (match !== "BOTH") {
      const problem =
        serverProtocol === null
          ? "it sent no protocol text"
          : protocolProblem(serverProtocol, "server");
      if (problem !== undefined) throw this.#handshakeFailed(problem);
    }
    if (match === "NONE") {
      if (this.#sentText) throw this.#handshakeFailed("it does not take our protocol's text");
      this.#sentText = true;
      this.#handshake = handshakeWithText(serverHash);
      return false;
    }
    this.#handshake = undefined;
    return true;
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

  #connectFailed(why: string, cause?: Error): MillraceError {
    return new MillraceError("RPC_CONNECT_FAILED", `no connection to ${this.#where}: ${why}`, {
      cause,
    });
  }

  #handshakeFailed(why: string): MillraceError {
    return new MillraceError("RPC_HANDSHAKE_FAILED", `${this.#where} is no Flume source: ${why}`);
  }

  #lost(why: string, cause: Error | undefined): MillraceError {
    return new MillraceError(
      "RPC_CONNECTION_LOST",
      `the connection to ${this.#where} ended: ${why}`,
      { cause },
    );
  }
}
