import { MillraceError, toMillraceError } from "@millrace/core";
import { encodeException, encodeStatus } from "./call.ts";
import { createReader } from "./create-reader.ts";
import type { FramedService, Request } from "./framed-service.ts";
import { exceptionTypes, messageTypes, type ThriftProtocol } from "./protocol.ts";
import { readEvents } from "./read-events.ts";
import { malformed, type MessageHead, shifted } from "./reader.ts";

/** Flume's service. What the handler throws is answered as Java's source does. */
export function createFlumeService(protocol: ThriftProtocol): FramedService {
  return {
    read: ({ bytes, start }) => readRequest(protocol, bytes, start),
    answer: ({ head }, status) => encodeStatus(protocol, head, status),
    failure({ head }, thrown) {
      if (thrown instanceof MillraceError) return encodeStatus(protocol, head, "FAILED");
      const text = `Internal error processing ${head.name}`;
      return encodeException(protocol, head, exceptionTypes.internalError, text);
    },
  };
}

/** Reads one message of a client, `slab` from `start` on, and writes over it. Never throws. */
export function readRequest(protocol: ThriftProtocol, slab: Buffer, start: number): Request {
  let head: MessageHead | undefined;
  try {
    const reader = createReader(protocol, slab, start);
    head = reader.readHead();
    const { name, type } = head;
    if (type !== messageTypes.call) throw malformed(`a message of type ${type} for a call`, start);
    if (name !== "append" && name !== "appendBatch") {
      const text = unknownMethodText(name);
      const reply = encodeException(protocol, head, exceptionTypes.unknownMethod, text);
      return { kind: "answer", reply, error: malformed(text, 0) };
    }
    const batch = readEvents(protocol, name, slab, reader.at);
    return { kind: "call", head, message: name, batch };
  } catch (thrown) {
    const error = toMillraceError(shifted(thrown, start), "CALL_MALFORMED");
    const text = `${error.code}: ${error.message}`;
    const reply = head && encodeException(protocol, head, exceptionTypes.protocolError, text);
    return { kind: "broken", reply, error };
  }
}

/** In Java's words. */
export function unknownMethodText(name: string): string {
  return `Invalid method name: '${name}'`;
}
