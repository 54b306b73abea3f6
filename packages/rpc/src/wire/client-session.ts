import type { EventBatch } from "@millrace/core";
import type { EventCall } from "./event-server.ts";

/** A request as its wire writes it. */
export interface ClientCall {
  readonly message: EventCall["message"];
  readonly batch: EventBatch;
}

export type ReplyOutcome =
  | { readonly kind: "stored" }
  /** The peer answered with a status other than OK. */
  | { readonly kind: "status"; readonly status: string }
  /** The peer answered with an error, in its words. */
  | { readonly kind: "error"; readonly text: string };

export type ClientReply =
  | {
      readonly kind: "reply";
      /** Of the request. */
      readonly id: number;
      /** What it says it answers, where the wire says it. */
      readonly message?: string;
      readonly outcome: ReplyOutcome;
    }
  /** The peer has done nothing, and the same request is to be sent once more, under a new id. */
  | { readonly kind: "again"; readonly id: number };

/** A wire's side of a client's one connection: it turns calls into bytes, and bytes into replies. */
export interface ClientSession {
  /** Whether replies come in the order of the requests; else each is known by its id. */
  readonly repliesInOrder: boolean;
  /**
   * False until both sides know each other. Until then one request is under way at a time, which
   * may take the connect timeout, and what goes wrong is the handshake's fault.
   */
  readonly greeted: boolean;
  /** The buffers of a request, to be written one behind the other. `id` is 1 to 2^31 - 1. */
  encode(id: number, call: ClientCall): readonly Buffer[];
  /** Nobody reads the request's buffers any more. Not called for a client that dies before. */
  written?(id: number): void;
  /** Takes bytes of the connection. */
  push(chunk: Buffer): void;
  /** The next reply that is there whole. What it throws makes the client dead. */
  next(): ClientReply | undefined;
}
