import { type EventBatch, type MillraceError, toMillraceError } from "@millrace/core";
import { encodeException } from "./call.ts";
import { createReader } from "./create-reader.ts";
import {
  exceptionTypes,
  messageTypes,
  type ThriftMessageName,
  type ThriftProtocol,
} from "./protocol.ts";
import { readEvents } from "./read-events.ts";
import { malformed, type MessageHead } from "./reader.ts";

/** What is to be done with one message. */
export type Request =
  | {
      readonly kind: "call";
      readonly head: MessageHead;
      readonly name: ThriftMessageName;
      readonly batch: EventBatch;
    }
  /** It asks for a method that is not there: that is the answer. */
  | { readonly kind: "unknown"; readonly reply: Buffer; readonly error: MillraceError }
  /** It cannot be read: the connection ends, with this reply where there was a head to answer. */
  | {
      readonly kind: "broken";
      readonly reply: Buffer | undefined;
      readonly error: MillraceError;
    };

/** Reads one message of a client. Never throws. */
export function readRequest(protocol: ThriftProtocol, message: Buffer): Request {
  let head: MessageHead | undefined;
  try {
    const reader = createReader(protocol, message);
    head = reader.readHead();
    const { name, type } = head;
    if (type !== messageTypes.call) throw malformed(`a message of type ${type} for a call`, 0);
    if (name !== "append" && name !== "appendBatch") {
      // Java's words.
      const text = `Invalid method name: '${name}'`;
      const reply = encodeException(protocol, head, exceptionTypes.unknownMethod, text);
      return { kind: "unknown", reply, error: malformed(text, 0) };
    }
    return { kind: "call", head, name, batch: readEvents(protocol, name, message, reader.at) };
  } catch (thrown) {
    const error = toMillraceError(thrown, "CALL_MALFORMED");
    const text = `${error.code}: ${error.message}`;
    const reply = head && encodeException(protocol, head, exceptionTypes.protocolError, text);
    return { kind: "broken", reply, error };
  }
}
