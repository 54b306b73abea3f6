import type { EventBatch, MillraceError } from "@millrace/core";
import type { FramedMessage } from "./frame.ts";
import type { MessageHead } from "./reader.ts";

/** What is to be done with one message. */
export type Request =
  | {
      readonly kind: "call";
      readonly head: MessageHead;
      readonly message: "append" | "appendBatch";
      readonly batch: EventBatch;
    }
  /** It asks for what this service does not do: that is the answer. */
  | { readonly kind: "refused"; readonly reply: Buffer; readonly error: MillraceError }
  /** It cannot be read: the connection ends, with this reply where there was a head to answer. */
  | {
      readonly kind: "broken";
      readonly reply: Buffer | undefined;
      readonly error: MillraceError;
    };

export type CallRequest = Request & { readonly kind: "call" };

/** A Thrift service over frames that takes events. Replies are whole frames. */
export interface FramedService {
  /** Reads one message of a client; it may write to its slab. Never throws. */
  read(message: FramedMessage): Request;
  answer(call: CallRequest, status: "OK" | "FAILED"): Buffer;
  /** The answer to a call whose handler threw. */
  failure(call: CallRequest, thrown: unknown): Buffer;
}
