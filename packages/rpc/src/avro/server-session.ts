import { type Cursor, type EventBatch, MillraceError, toMillraceError } from "@millrace/core";
import {
  type AvroMessageName,
  encodeError,
  encodeHandshakeOnly,
  readEvents,
  readRequestName,
} from "./call.ts";
import type { Message } from "./frame.ts";
import { type ClientRegistry, decodeHandshakeRequest } from "./handshake.ts";

/** What is to be done with one message: answer it, or process its events and then answer. */
export type Request =
  | {
      readonly kind: "call";
      readonly serial: number;
      readonly name: AvroMessageName;
      readonly batch: EventBatch;
      /** Opens the reply. */
      readonly handshake: Buffer;
    }
  | {
      readonly kind: "answer";
      readonly reply: Buffer;
      /** Set when the message could not be understood. */
      readonly error: MillraceError | undefined;
    };

const noHandshake = Buffer.alloc(0);

/** What a server knows of one connection: whether its peer has introduced itself, and as what. */
export class AvroServerSession {
  readonly #clients: ClientRegistry;
  #connected = false;
  #problem: string | undefined;

  constructor(clients: ClientRegistry) {
    this.#clients = clients;
  }

  /** Whether the handshake is done. */
  get connected(): boolean {
    return this.#connected;
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
      return { kind: "call", serial, name, batch: readEvents(name, bytes, cursor), handshake };
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
