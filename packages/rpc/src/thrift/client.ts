import {
  DeliveryError,
  type EventBatch,
  MillraceError,
  type Timer,
  toMillraceError,
} from "@millrace/core";
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { lateReason } from "../tcp/client-tls.ts";
import { connectStream } from "../tcp/connect.ts";
import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { decodeReply } from "./call.ts";
import { encodeCall, fitsRequest } from "./encode-call.ts";
import { FrameDecoder } from "./frame.ts";
import { javaFrameBytesMax, type ThriftMessageName, type ThriftProtocol } from "./protocol.ts";

export interface ThriftClientOptions extends EventClientOptions {
  /** Must be what the source speaks. */
  readonly protocol: ThriftProtocol;
  /**
   * A request with more bytes is sent as several, one after another; one event alone may be larger.
   * What Java takes when not given.
   */
  readonly maxRequestBytes?: number;
}

/** One connection to a Thrift source, Java's or ours. Replies come in the order of the requests. */
export function createThriftClient(options: ThriftClientOptions): EventClient {
  return new Client(options);
}

interface Call {
  readonly name: ThriftMessageName;
  readonly batch: EventBatch;
  readonly resolve: () => void;
  readonly reject: (error: MillraceError) => void;
  readonly deadlineMs: number;
  /** Given when it is sent. */
  sequence: number;
}

const sequenceMax = 0x7fff_ffff;
const remoteTextMax = 500;

/** waiting -> (the socket takes more) -> sent -> replied */
class Client implements EventClient {
  readonly #options: ThriftClientOptions;
  readonly #where: string;
  readonly #decoder: FrameDecoder;
  readonly #givenUp = new AbortController();
  #stream: Duplex | undefined;
  #state: "new" | "connecting" | "open" | "dead" = "new";
  #sequence = 0;
  readonly #waiting: Call[] = [];
  readonly #sent: Call[] = [];
  #timer: Timer | undefined;

  constructor(options: ThriftClientOptions) {
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
    stream.on("end", () => this.#fail(this.#lost("closed by the peer", undefined)));
    this.#options.log.debug(`connected to ${this.#where}`);
  }

  append(batch: EventBatch): Promise<void> {
    assert(batch.length === 1, "append takes one event");
    return this.#call("append", batch);
  }

  async appendBatch(batch: EventBatch): Promise<void> {
    const { protocol, maxRequestBytes = javaFrameBytesMax } = this.#options;
    if (batch.length < 2 || fitsRequest(protocol, batch, maxRequestBytes)) {
      return this.#call("appendBatch", batch);
    }
    const middle = batch.length >>> 1;
    await this.appendBatch(batch.slice(0, middle));
    try {
      await this.appendBatch(batch.slice(middle));
    } catch (thrown) {
      throw behind(middle, thrown as MillraceError);
    }
  }

  close(why = "closed on this side"): void {
    this.#fail(
      this.#state === "connecting" ? this.#connectFailed(why) : this.#lost(why, undefined),
    );
  }

  #call(name: ThriftMessageName, batch: EventBatch): Promise<void> {
    if (this.#state !== "open") return Promise.reject(this.#lost("the client is dead", undefined));
    const { clock, requestTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.monotonic() + requestTimeoutMs;
      this.#waiting.push({ name, batch, resolve, reject, deadlineMs, sequence: 0 });
      this.#timer ??= clock.setTimer(requestTimeoutMs, () => this.#expire());
      this.#pump();
    });
  }

  /** Sends what may be sent. */
  #pump(): void {
    const stream = this.#stream as Duplex;
    while (this.#state === "open" && this.#waiting.length > 0 && !stream.writableNeedDrain) {
      const call = this.#waiting.shift() as Call;
      this.#sequence = this.#sequence === sequenceMax ? 1 : this.#sequence + 1;
      call.sequence = this.#sequence;
      this.#sent.push(call);
      stream.write(encodeCall(this.#options.protocol, call.sequence, call.name, call.batch));
    }
  }

  #receive(chunk: Buffer): void {
    this.#decoder.push(chunk);
    try {
      while (this.#state === "open") {
        const message = this.#decoder.next();
        if (message === undefined) return;
        this.#reply(message.bytes.subarray(message.start));
      }
    } catch (thrown) {
      const error = toMillraceError(thrown);
      this.#fail(
        error.code === "RPC_REPLY_MALFORMED"
          ? error
          : this.#replyMalformed(`answered ${error.message}`, error),
      );
    }
  }

  /** Settles the oldest call, which the reply must belong to. Throws what makes the client dead. */
  #reply(message: Buffer): void {
    const reply = decodeReply(this.#options.protocol, message);
    const call = this.#sent[0];
    const { name, sequence } = reply.head;
    if (call === undefined || call.sequence !== sequence) {
      throw this.#replyMalformed(
        `answered request ${sequence}, which is not the next to be answered`,
      );
    }
    // Java answers a call that it cannot read under no name.
    if (reply.kind === "status" && name !== call.name) {
      throw this.#replyMalformed(`answered ${name} to ${call.name}`);
    }
    this.#sent.shift();
    if (reply.kind === "exception") {
      const text = reply.text.slice(0, remoteTextMax);
      call.reject(
        new MillraceError(
          "RPC_SYSTEM_ERROR",
          `${this.#where} answered: ${text} (TApplicationException ${reply.type})`,
        ),
      );
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

  #expire(): void {
    this.#timer = undefined;
    const oldest = this.#sent[0] ?? this.#waiting[0];
    if (oldest === undefined) return;
    const { clock } = this.#options;
    const leftMs = oldest.deadlineMs - clock.monotonic();
    if (leftMs > 0) {
      this.#timer = clock.setTimer(leftMs, () => this.#expire());
      return;
    }
    const message = `${this.#where} did not answer in time (${oldest.batch.length} events)`;
    this.#fail(new MillraceError("RPC_TIMEOUT", message));
  }

  /** Ends the client: whatever is under way throws `error`. */
  #fail(error: MillraceError): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    this.#timer?.cancel();
    this.#givenUp.abort(error);
    this.#stream?.destroy();
    const calls = [...this.#sent, ...this.#waiting];
    this.#sent.length = 0;
    this.#waiting.length = 0;
    for (const call of calls) call.reject(error);
  }

  #connectFailed(why: string): MillraceError {
    return new MillraceError("RPC_CONNECT_FAILED", `no connection to ${this.#where}: ${why}`);
  }

  #replyMalformed(what: string, cause?: Error): MillraceError {
    return new MillraceError("RPC_REPLY_MALFORMED", `${this.#where} ${what}`, { cause });
  }

  #lost(why: string, cause: Error | undefined): MillraceError {
    return new MillraceError(
      "RPC_CONNECTION_LOST",
      `the connection to ${this.#where} ended: ${why}`,
      { cause },
    );
  }
}

/** The error of a batch of which the first `count` events have arrived. */
function behind(count: number, error: MillraceError): DeliveryError {
  const inner = error instanceof DeliveryError ? (error.settled[0]?.to ?? 0) : 0;
  return new DeliveryError(error.code, error.message, {
    cause: error,
    settled: [{ from: 0, to: count + inner }],
  });
}
