import {
  type Clock,
  type EventBatch,
  type Log,
  MillraceError,
  toMillraceError,
} from "@millrace/core";
import type { ServerHttp2Stream } from "node:http2";
import type { EventHandler, EventServerLimits } from "../wire/event-server.ts";
import { decodeDelivery, type Delivery, encodeAck } from "./call.ts";
import { encodeMessage, MessageDecoder } from "./frame.ts";
import { endCall, responseHeaders } from "./responses.ts";
import { type Status, statusCode, type StatusCode } from "./protocol.ts";

export interface StreamShared {
  readonly handler: EventHandler;
  readonly limits: EventServerLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly peer: string;
  /** Something was received or answered. */
  readonly active: () => void;
  readonly malformed: (error: MillraceError) => void;
}

const draining: Status = {
  code: statusCode.UNAVAILABLE,
  message: "the server is draining; send what has no Ack to another, or again later",
};

/**
 * One call of Deliver, or of Append, which is a Deliver of one batch.
 *
 *   stream -> decoder -> waiting, checked -> handler, one at a time -> Ack
 *
 * With requestsInFlight batches waiting or in progress, or while the peer does not read its Acks, the stream is not
 * read: flow control holds the client then. The first batch that is not committed ends the stream.
 *
 *   open -> ending (nothing more starts, what is in progress is answered) -> closed
 */
export class ServerStream {
  readonly #stream: ServerHttp2Stream;
  readonly #shared: StreamShared;
  readonly #unary: boolean;
  readonly #decoder: MessageDecoder;
  readonly #waiting: Delivery[] = [];
  #state: "open" | "ending" | "closed" = "open";
  #inProgress = false;
  #lastId = 0;
  #received = 0;
  #peerEnded = false;
  /** How it ends once what waits is settled; set when nothing behind is read any more. */
  #status: Status | undefined;
  #messageSinceMs: number | undefined;

  constructor(stream: ServerHttp2Stream, unary: boolean, shared: StreamShared) {
    this.#stream = stream;
    this.#shared = shared;
    this.#unary = unary;
    this.#decoder = new MessageDecoder(shared.limits.maxFrameBytes);
    stream.respond(responseHeaders, { waitForTrailers: true });
    stream.on("data", (chunk: Buffer) => {
      if (this.#state !== "open" || this.#status !== undefined) return;
      shared.active();
      this.#decoder.push(chunk);
      this.#pump();
    });
    stream.on("drain", () => this.#pump());
    stream.on("end", () => {
      // The end of a stream that was cut is none: nothing of a half message is kept, or held against the peer.
      if (stream.aborted || stream.closed) return;
      this.#peerEnded = true;
      this.#pump();
    });
    stream.on("close", () => {
      this.#state = "closed";
      this.#waiting.length = 0;
    });
  }

  /** Whether a batch is waiting or in progress. */
  get busy(): boolean {
    return this.#inProgress || this.#waiting.length > 0;
  }

  /** Starts no further batch; answers the one in progress; then ends with UNAVAILABLE. */
  drain(): void {
    if (this.#state !== "open") return;
    this.#waiting.length = 0;
    this.#status = draining;
    this.#endWhenSettled();
  }

  /** Called now and then: ends what has been arriving for too long. */
  sweep(nowMs: number): void {
    const { messageTimeoutMs } = this.#shared.limits;
    const since = this.#messageSinceMs;
    if (this.#state !== "open" || since === undefined || nowMs - since < messageTimeoutMs) return;
    this.#messageSinceMs = undefined;
    this.#refuse(
      new MillraceError("FRAME_MALFORMED", `no whole message came within ${messageTimeoutMs} ms`),
      statusCode.DEADLINE_EXCEEDED,
    );
  }

  #pump(): void {
    this.#fill();
    void this.#work();
    this.#regulate();
  }

  /** Takes from the decoder what there is room for. */
  #fill(): void {
    try {
      while (this.#mayRead()) {
        const message = this.#decoder.next();
        if (message === undefined) return;
        this.#messageSinceMs = undefined;
        this.#take(message);
      }
    } catch (error) {
      this.#refuse(toMillraceError(error), statusCode.INVALID_ARGUMENT);
    }
  }

  /** Reads on, waits, or ends, by what there is now. */
  #regulate(): void {
    if (this.#state !== "open") return;
    const mayRead = this.#mayRead();
    if (mayRead || this.#status !== undefined) this.#stream.resume();
    else this.#stream.pause();
    // Time in which it is we who do not read is not held against the peer.
    if (!mayRead || !this.#decoder.partial) this.#messageSinceMs = undefined;
    else this.#messageSinceMs ??= this.#shared.clock.monotonic();
    if (this.#peerEnded && mayRead && this.#status === undefined) this.#endOfInput();
    this.#endWhenSettled();
  }

  #endOfInput(): void {
    if (this.#decoder.partial || (this.#unary && this.#received === 0)) {
      const what = this.#received === 0 ? "no message" : "a message that is cut off";
      this.#refuse(
        new MillraceError("FRAME_MALFORMED", `the call ended with ${what}`),
        statusCode.INVALID_ARGUMENT,
      );
    } else {
      this.#status = { code: statusCode.OK, message: "" };
    }
  }

  #mayRead(): boolean {
    return (
      this.#state === "open" &&
      this.#status === undefined &&
      this.#waiting.length + (this.#inProgress ? 1 : 0) < this.#shared.limits.requestsInFlight &&
      !this.#stream.writableNeedDrain
    );
  }

  #take(message: Buffer): void {
    if (this.#unary && this.#received > 0) {
      throw new MillraceError("CALL_MALFORMED", "Append takes one message");
    }
    const delivery = decodeDelivery(message);
    if (!this.#unary && delivery.id <= this.#lastId) {
      throw new MillraceError(
        "CALL_MALFORMED",
        `batch ${delivery.id} comes behind batch ${this.#lastId}: ids must rise`,
      );
    }
    this.#lastId = delivery.id;
    this.#received++;
    this.#waiting.push(delivery);
  }

  /** Hands what waits to the handler, one batch after another, until there is none or one failed. */
  async #work(): Promise<void> {
    if (this.#inProgress || this.#waiting.length === 0) return;
    while (this.#state === "open") {
      const delivery = this.#waiting.shift();
      if (delivery === undefined) break;
      this.#inProgress = true;
      const status = await this.#process(delivery.batch);
      this.#inProgress = false;
      this.#shared.active();
      if (status.code === statusCode.OK) {
        this.#acknowledge(delivery.id);
        this.#fill();
      } else {
        this.#waiting.length = 0;
        this.#status = status;
      }
    }
    this.#regulate();
  }

  async #process(batch: EventBatch): Promise<Status> {
    const { handler, log, peer } = this.#shared;
    try {
      const answer = await handler(batch, { message: "appendBatch", peer });
      if (answer === "OK") return { code: statusCode.OK, message: "" };
      return {
        code: statusCode.RESOURCE_EXHAUSTED,
        message: `the server could not store this batch of ${batch.length} events: a channel is full or failing`,
      };
    } catch (thrown) {
      const error = toMillraceError(thrown);
      log.error(`Deliver of ${peer} failed: ${error.message}`, { error });
      return { code: statusCode.INTERNAL, message: `${error.code}: ${error.message}` };
    }
  }

  #acknowledge(id: number): void {
    if (this.#stream.writable) this.#stream.write(encodeMessage(encodeAck(id)));
  }

  /** Ends the stream for what the peer sent, once what it sent before is settled. */
  #refuse(error: MillraceError, code: StatusCode): void {
    this.#shared.malformed(error);
    this.#status = { code, message: `${error.code}: ${error.message}` };
    this.#endWhenSettled();
  }

  #endWhenSettled(): void {
    if (this.#state !== "open" || this.#status === undefined || this.busy) return;
    this.#state = "ending";
    endCall(this.#stream, this.#status, this.#shared.clock);
  }
}
