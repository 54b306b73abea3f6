import { Client, type ClientDuplexStream, Metadata, type StatusObject } from "@grpc/grpc-js";
import {
  type EventBatch,
  MillraceError,
  nodeFileSystem,
  type Timer,
  toMillraceError,
} from "@millrace/core";
import assert from "node:assert/strict";
import { lateReason, secureClientStream } from "../tcp/client-tls.ts";
import { clientContextOf } from "../tcp/secure-context.ts";
import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { decodeAck, type Delivery, encodeDelivery } from "./call.ts";
import { channelOptions } from "./channel-options.ts";
import { type Secure, TransportCredentials } from "./client-credentials.ts";
import { alpnProtocols, deliverPath, statusCode } from "./protocol.ts";

/**
 * One connection to a server of `proto/millrace/v1/event_service.proto`, with one Deliver stream on
 * it at a time. Calls may overlap; they are taken in the order they were made.
 *
 * A status that says that a batch was not taken ends the stream but not the client: that call
 * throws RPC_STATUS_FAILED (RESOURCE_EXHAUSTED) or RPC_SYSTEM_ERROR, those behind it
 * RPC_CONNECTION_LOST, as the server has discarded them unprocessed, and the next call opens another
 * stream on the same connection. Any other end of the stream makes the client dead.
 */
export function createGrpcClient(options: EventClientOptions): EventClient {
  return new GrpcClient(options);
}

type Stream = ClientDuplexStream<Delivery, Buffer>;

interface Call extends Delivery {
  readonly resolve: () => void;
  readonly reject: (error: MillraceError) => void;
  readonly deadlineMs: number;
}

/** Statuses that say nothing of the batch: the connection, or the server as a whole, is gone. */
const lostCodes: readonly number[] = [statusCode.OK, statusCode.CANCELLED, statusCode.UNAVAILABLE];
const remoteTextMax = 500;

class GrpcClient implements EventClient {
  readonly #options: EventClientOptions;
  readonly #where: string;
  #state: "new" | "connecting" | "open" | "dead" = "new";
  #settleConnecting: ((error?: MillraceError) => void) | undefined;
  #credentials: TransportCredentials | undefined;
  #channel: Client | undefined;
  #stream: Stream | undefined;
  #lastId = 0;
  /** Sent on this stream and not acknowledged, in order. */
  #sent: Call[] = [];
  #timer: Timer | undefined;

  constructor(options: EventClientOptions) {
    this.#options = options;
    this.#where = `${options.host}:${options.port}`;
  }

  get alive(): boolean {
    return this.#state === "open";
  }

  async connect(): Promise<void> {
    assert(this.#state === "new", "a client connects once");
    this.#state = "connecting";
    const { host, port, maxFrameBytes, clock, connectTimeoutMs, log } = this.#options;
    const timer = clock.setTimer(connectTimeoutMs, () =>
      this.#fail(this.#connectFailed(`no answer within ${connectTimeoutMs} ms`)),
    );
    try {
      this.#credentials = new TransportCredentials(this.#secure());
      const target = host.includes(":") ? `ipv6:[${host}]:${port}` : `dns:${host}:${port}`;
      this.#channel = new Client(target, this.#credentials, channelOptions(maxFrameBytes));
      await new Promise<void>((resolve, reject) => {
        this.#settleConnecting = (error) => (error === undefined ? resolve() : reject(error));
        this.#openStream();
      });
      log.debug(`connected to ${this.#where}`);
    } catch (thrown) {
      const error = toMillraceError(
        thrown,
        "RPC_CONNECT_FAILED",
        `no connection to ${this.#where}`,
      );
      this.#fail(error);
      throw error;
    } finally {
      timer.cancel();
      this.#settleConnecting = undefined;
    }
  }

  appendBatch(batch: EventBatch): Promise<void> {
    if (this.#state !== "open") return Promise.reject(this.#lost("the client is dead"));
    const { clock, requestTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const stream = this.#stream ?? this.#openStream();
      const id = ++this.#lastId;
      const deadlineMs = clock.monotonic() + requestTimeoutMs;
      this.#sent.push({ id, batch, resolve, reject, deadlineMs });
      this.#timer ??= clock.setTimer(requestTimeoutMs, () => this.#expire());
      stream.write({ id, batch });
    });
  }

  append(batch: EventBatch): Promise<void> {
    assert(batch.length === 1, "append takes one event");
    return this.appendBatch(batch);
  }

  close(why = "closed on this side"): void {
    this.#fail(this.#state === "connecting" ? this.#connectFailed(why) : this.#lost(why));
  }

  /** The certificates are those that the files have when a connection is made. */
  #secure(): Secure | undefined {
    const { host, transport, clock, log, files = nodeFileSystem } = this.#options;
    const tls = transport?.tls;
    if (tls === undefined) return undefined;
    return async (socket) => {
      const context = await clientContextOf(tls, { files, clock, log });
      return secureClientStream(socket, host, this.#where, tls, context, alpnProtocols);
    };
  }

  #openStream(): Stream {
    const stream = (this.#channel as Client).makeBidiStreamRequest<Delivery, Buffer>(
      deliverPath,
      encodeDelivery,
      (bytes) => bytes,
      new Metadata(),
      {},
    );
    this.#stream = stream;
    this.#lastId = 0;
    let status: StatusObject | undefined;
    let ended = false;
    const end = (): void => {
      // The status may overtake Acks that wait in the stream: both must have come.
      if (status !== undefined && ended && this.#stream === stream) this.#ended(status);
    };
    stream.on("metadata", () => this.#connected());
    stream.on("data", (bytes: Buffer) => {
      if (this.#stream === stream) this.#receive(bytes);
    });
    stream.on("status", (given: StatusObject) => {
      status = given;
      end();
    });
    stream.on("end", () => {
      ended = true;
      end();
    });
    // The status says it all.
    stream.on("error", () => {});
    return stream;
  }

  /** The server sends its headers as soon as it serves the stream. */
  #connected(): void {
    if (this.#state !== "connecting") return;
    this.#state = "open";
    this.#settleConnecting?.();
  }

  #receive(bytes: Buffer): void {
    let id: number;
    try {
      id = decodeAck(bytes);
      if (id > this.#lastId) {
        throw new MillraceError(
          "CALL_MALFORMED",
          `an Ack of ${id}; ${this.#lastId} was the last sent`,
        );
      }
    } catch (error) {
      const text = toMillraceError(error).message;
      this.#fail(
        new MillraceError("RPC_REPLY_MALFORMED", `${this.#where} answered ${text}`, {
          cause: error,
        }),
      );
      return;
    }
    const settled = this.#sent.findIndex((call) => call.id > id);
    for (const call of this.#sent.splice(0, settled < 0 ? this.#sent.length : settled)) {
      call.resolve();
    }
  }

  #ended({ code, details }: StatusObject): void {
    const why = details.slice(0, remoteTextMax);
    if (this.#state === "connecting") {
      this.#fail(this.#credentials?.problem ?? this.#connectFailed(this.#reason(lastErrorOf(why))));
      return;
    }
    this.#stream = undefined;
    const [refused, ...behind] = this.#sent;
    if (refused === undefined || lostCodes.includes(code)) {
      this.#fail(this.#lost(this.#reason(why)));
      return;
    }
    if (code === statusCode.DEADLINE_EXCEEDED) {
      this.#fail(new MillraceError("RPC_TIMEOUT", `${this.#where} gave up: ${why}`));
      return;
    }
    this.#sent = [];
    refused.reject(
      code === statusCode.RESOURCE_EXHAUSTED
        ? new MillraceError(
            "RPC_STATUS_FAILED",
            `${this.#where} answered RESOURCE_EXHAUSTED to ${refused.batch.length} events: ${why}`,
          )
        : new MillraceError("RPC_SYSTEM_ERROR", `${this.#where} answered status ${code}: ${why}`),
    );
    const discarded = this.#lost(
      "a batch before this one was not taken; this one was not looked at",
    );
    for (const call of behind) call.reject(discarded);
  }

  /** What broke the connection, where that is known, rather than how it looked to the library. */
  #reason(why: string): string {
    const error = this.#credentials?.lastError;
    return error === undefined ? why : lateReason(error);
  }

  #expire(): void {
    this.#timer = undefined;
    const { clock } = this.#options;
    const nowMs = clock.monotonic();
    const [oldest] = this.#sent;
    if (oldest === undefined) return;
    if (oldest.deadlineMs <= nowMs) {
      const message = `${this.#where} did not answer in time (${oldest.batch.length} events)`;
      this.#fail(new MillraceError("RPC_TIMEOUT", message));
      return;
    }
    this.#timer = clock.setTimer(oldest.deadlineMs - nowMs, () => this.#expire());
  }

  /** Ends the client: whatever is under way throws `error`. */
  #fail(error: MillraceError): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    this.#timer?.cancel();
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
    this.#channel?.close();
    this.#credentials?.destroy();
    this.#settleConnecting?.(error);
    for (const call of this.#sent.splice(0)) call.reject(error);
  }

  #connectFailed(why: string): MillraceError {
    return new MillraceError("RPC_CONNECT_FAILED", `no connection to ${this.#where}: ${why}`);
  }

  #lost(why: string): MillraceError {
    return new MillraceError(
      "RPC_CONNECTION_LOST",
      `the connection to ${this.#where} ended: ${why}`,
    );
  }
}

/** What the system said, out of the library's "No connection established. Last error: ...". */
function lastErrorOf(details: string): string {
  return /Last error: (?:Error: )?(.+?)(?:\. Resolution note:.*)?$/s.exec(details)?.[1] ?? details;
}
