import { DeliveryError, type EventBatch, type MillraceError } from "@millrace/core";
import type { ClientSession } from "../wire/client-session.ts";
import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { RequestClient } from "../wire/request-client.ts";
import { decodeReply } from "./call.ts";
import { encodeCall, fitsRequest } from "./encode-call.ts";
import { FrameDecoder } from "./frame.ts";
import { javaFrameBytesMax, type ThriftProtocol } from "./protocol.ts";
import { SendBuffer } from "./send-buffer.ts";

export interface ThriftClientOptions extends EventClientOptions {
  /** Must be what the source speaks. */
  readonly protocol: ThriftProtocol;
  /**
   * A request with more bytes is sent as several, one after another; one event alone may be larger.
   * What Java takes when not given.
   */
  readonly maxRequestBytes?: number;
}

/** One connection to a Thrift source, Java's or ours. Replies come in the order of the requests. */
export function createThriftClient(options: ThriftClientOptions): EventClient {
  const { protocol, maxFrameBytes, maxRequestBytes = javaFrameBytesMax } = options;
  const client = new RequestClient(options, createClientSession(protocol, maxFrameBytes));

  async function appendBatch(batch: EventBatch): Promise<void> {
    if (batch.length < 2 || fitsRequest(protocol, batch, maxRequestBytes)) {
      return client.appendBatch(batch);
    }
    const middle = batch.length >>> 1;
    await appendBatch(batch.slice(0, middle));
    try {
      await appendBatch(batch.slice(middle));
    } catch (thrown) {
      throw behind(middle, thrown as MillraceError);
    }
  }

  return {
    get alive() {
      return client.alive;
    },
    connect: () => client.connect(),
    append: (batch) => client.append(batch),
    appendBatch,
    close: (why) => client.close(why),
  };
}

function createClientSession(protocol: ThriftProtocol, maxFrameBytes: number): ClientSession {
  const decoder = new FrameDecoder(maxFrameBytes);
  const memory = new SendBuffer();
  return {
    repliesInOrder: true,
    greeted: true,
    encode: (id, { message, batch }) => [
      encodeCall(protocol, id, message, batch, (bytes) => memory.lend(id, bytes)),
    ],
    written: (id) => memory.written(id),
    push: (chunk) => decoder.push(chunk),
    next() {
      const message = decoder.next();
      if (message === undefined) return undefined;
      const reply = decodeReply(protocol, message.bytes.subarray(message.start));
      const { name, sequence: id } = reply.head;
      if (reply.kind === "exception") {
        // Java answers a call that it cannot read under no name.
        const text = `${reply.text} (TApplicationException ${reply.type})`;
        return { kind: "reply", id, outcome: { kind: "error", text } };
      }
      const { status } = reply;
      const outcome = status === "OK" ? ({ kind: "stored" } as const) : reply;
      return { kind: "reply", id, message: name, outcome };
    },
  };
}

/** The error of a batch of which the first `count` events have arrived. */
function behind(count: number, error: MillraceError): DeliveryError {
  const inner = error instanceof DeliveryError ? (error.settled[0]?.to ?? 0) : 0;
  return new DeliveryError(error.code, error.message, {
    cause: error,
    settled: [{ from: 0, to: count + inner }],
  });
}
