import type { EventBatch, MillraceError } from "@millrace/core";
import type { EventCall } from "./event-server.ts";

/** A request for events to be taken, as its wire read it. */
export interface WireCall {
  readonly kind: "call";
  readonly message: EventCall["message"];
  readonly batch: EventBatch;
}

/** What is to be done with one request. */
export type WireRequest<C extends WireCall> =
  /** Process its events, then answer. */
  | C
  /** Answer, and go on; with the error when the request could not be understood. */
  | { readonly kind: "answer"; readonly reply: Buffer; readonly error: MillraceError | undefined }
  /** It cannot be read, nor what is behind it: answer where there is someone to answer, and close. */
  | {
      readonly kind: "broken";
      readonly reply: Buffer | undefined;
      readonly error: MillraceError;
    };

/**
 * A wire's side of one client's connection: it turns bytes into requests, and outcomes into replies
 * as they go over the connection. A wire whose clients tell replies apart by a number lets them overtake.
 */
export interface WireSession<C extends WireCall> {
  readonly repliesInOrder: boolean;
  /** Whether part of a request has arrived. */
  readonly partial: boolean;
  /** Takes bytes of the connection. */
  push(chunk: Buffer): void;
  /** The next request that is there whole. Throws what the connection is to end for. */
  next(): WireRequest<C> | undefined;
  answer(call: C, status: "OK" | "FAILED"): Buffer;
  /** The answer to a call whose handler threw. */
  failure(call: C, thrown: unknown): Buffer;
  /** The last reply of a connection that ends for what `next` threw, where the wire has one. */
  farewell?(error: MillraceError): Buffer | undefined;
}
