import { type Cursor, MillraceError, toMillraceError } from "@millrace/core";
import { defaultEventServerLimits } from "../wire/event-server.ts";
import type { WireCall, WireRequest, WireSession } from "../wire/wire-session.ts";
import {
  encodeError,
  encodeHandshakeOnly,
  encodeStatus,
  readEvents,
  readRequestName,
} from "./call.ts";
import { FrameDecoder, type Message } from "./frame.ts";
import { type ClientRegistry, decodeHandshakeRequest, handshakeBoth } from "./handshake.ts";

export interface AvroCall extends WireCall {
  readonly serial: number;
  /** Opens the reply. */
  readonly handshake: Buffer;
}
export type Request = WireRequest<AvroCall>;

const noHandshake = Buffer.alloc(0);

/**
 * What a server knows of one connection: what has arrived of the next message, whether its peer has
 * introduced itself, and as what. Replies carry their request's number and may overtake.
 */
export class AvroServerSession implements WireSession<AvroCall> {
  readonly repliesInOrder = false;
  readonly #clients: ClientRegistry;
  readonly #decoder: FrameDecoder;
  #connected = false;
  #problem: string | undefined;

  constructor(
    clients: ClientRegistry,
    maxFrameBytes: number = defaultEventServerLimits.maxFrameBytes,
  ) {
    this.#clients = clients;
    this.#decoder = new FrameDecoder(maxFrameBytes);
  }

  get partial(): boolean {
    return this.#decoder.partial;
  }

  push(chunk: Buffer): void {
    this.#decoder.push(chunk);
  }

  next(): Request | undefined {
    const message = this.#decoder.next();
    return message && this.receive(message);
  }

  answer({ serial, handshake }: AvroCall, status: "OK" | "FAILED"): Buffer {
    return encodeStatus(serial, handshake, status);
  }

  /** As Java Flume: a system error for append, FAILED for appendBatch. */
  failure({ serial, handshake, message }: AvroCall, thrown: unknown): Buffer {
    if (message === "appendBatch") return encodeStatus(serial, handshake, "FAILED");
    const error = toMillraceError(thrown);
    return encodeError(serial, handshake, `${error.code}: ${error.message}`);
  }

  /** A peer whose frames are right and only too large can be told. It may not have been greeted. */
  farewell(error: MillraceError): Buffer | undefined {
    if (error.code !== "FRAME_TOO_LARGE") return undefined;
    const handshake = this.#connected ? noHandshake : handshakeBoth;
    return encodeError(this.#decoder.serial, handshake, `${error.code}: ${error.message}`);
  }

  /**
   * Reads one message. Throws FRAME_MALFORMED for a broken handshake, behind which nothing can be
   * answered; everything else that is wrong is answered with a system error and the connection
   * goes on, as the framing holds.
   */
  receive({ serial, bytes }: Message): Request {
    const cursor: Cursor = { at: 0 };
    let handshake: Buffer = noHandshake;
    if (!this.#connected) {
      const greeting = this.#clients.greet(decodeHandshakeRequest(bytes, cursor));
      handshake = greeting.response;
      if (!greeting.connected) {
        return {
          kind: "answer",
          reply: encodeHandshakeOnly(serial, handshake),
          error: undefined,
        };
      }
      this.#connected = true;
      this.#problem = greeting.problem;
    }
    try {
      const name = readRequestName(bytes, cursor);
      if (name === "") {
        return { kind: "answer", reply: encodeHandshakeOnly(serial, handshake), error: undefined };
      }
      if (name !== "append" && name !== "appendBatch") {
        throw new MillraceError("CALL_MALFORMED", `No such remote message: ${name}`);
      }
      if (this.#problem !== undefined) {
        throw new MillraceError("CALL_MALFORMED", `not Flume's protocol: ${this.#problem}`);
      }
      const batch = readEvents(name, bytes, cursor);
      return { kind: "call", serial, message: name, batch, handshake };
    } catch (thrown) {
      const error = toMillraceError(thrown, "CALL_MALFORMED");
      return {
        kind: "answer",
        reply: encodeError(serial, handshake, `${error.code}: ${error.message}`),
        error,
      };
    }
  }
}
