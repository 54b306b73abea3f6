import { type Cursor, MillraceError } from "@millrace/core";
import type { ClientCall, ClientReply, ClientSession } from "../wire/client-session.ts";
import { decodeReply, encodeCall } from "./call.ts";
import { FrameDecoder, type Message } from "./frame.ts";
import { decodeHandshakeResponse, firstHandshake, handshakeWithText } from "./handshake.ts";
import { protocolProblem } from "./protocol.ts";

/**
 * A client's side of one Avro connection. The handshake the first call carries may have to be
 * repeated, and Java's server takes no second one meanwhile.
 */
export class AvroClientSession implements ClientSession {
  readonly repliesInOrder = false;
  readonly #where: string;
  readonly #decoder: FrameDecoder;
  #handshake: Buffer | undefined = firstHandshake;
  #sentText = false;

  constructor(where: string, maxFrameBytes: number) {
    this.#where = where;
    this.#decoder = new FrameDecoder(maxFrameBytes);
  }

  get greeted(): boolean {
    return this.#handshake === undefined;
  }

  encode(serial: number, { message, batch }: ClientCall): readonly Buffer[] {
    return encodeCall(serial, this.#handshake, message, batch);
  }

  push(chunk: Buffer): void {
    this.#decoder.push(chunk);
  }

  /** Throws RPC_HANDSHAKE_FAILED, or what the bytes are not. */
  next(): ClientReply | undefined {
    const message = this.#decoder.next();
    return message && this.#read(message);
  }

  #read({ serial: id, bytes }: Message): ClientReply {
    const cursor: Cursor = { at: 0 };
    if (this.#handshake !== undefined && !this.#greet(bytes, cursor)) return { kind: "again", id };
    const reply = decodeReply(bytes, cursor);
    if (reply.kind === "error") return { kind: "reply", id, outcome: reply };
    const outcome = reply.status === "OK" ? ({ kind: "stored" } as const) : reply;
    return { kind: "reply", id, outcome };
  }

  /** Takes the server's half of the handshake; false when the request must be sent again. */
  #greet(bytes: Buffer, cursor: Cursor): boolean {
    const { match, serverProtocol, serverHash } = decodeHandshakeResponse(bytes, cursor);
    if (match !== "BOTH") {
      const problem =
        serverProtocol === null
          ? "it sent no protocol text"
          : protocolProblem(serverProtocol, "server");
      if (problem !== undefined) throw this.#failed(problem);
    }
    if (match === "NONE") {
      if (this.#sentText) throw this.#failed("it does not take our protocol's text");
      this.#sentText = true;
      this.#handshake = handshakeWithText(serverHash);
      return false;
    }
    this.#handshake = undefined;
    return true;
  }

  #failed(why: string): MillraceError {
    return new MillraceError("RPC_HANDSHAKE_FAILED", `${this.#where} is no Flume source: ${why}`);
  }
}
