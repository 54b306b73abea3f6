import type { WireCall, WireRequest, WireSession } from "../wire/wire-session.ts";
import { FrameDecoder, type FramedMessage } from "./frame.ts";
import type { MessageHead } from "./reader.ts";

export interface ThriftCall extends WireCall {
  readonly head: MessageHead;
}
export type Request = WireRequest<ThriftCall>;

/** A Thrift service over frames that takes events. Replies are whole frames. */
export interface FramedService {
  /** Reads one message of a client; it may write to its slab. Never throws. */
  read(message: FramedMessage): Request;
  answer(call: ThriftCall, status: "OK" | "FAILED"): Buffer;
  /** The answer to a call whose handler threw. */
  failure(call: ThriftCall, thrown: unknown): Buffer;
}

/** One connection to such a service. A Java client takes the next reply for its own: they keep their order. */
export function createFramedSession(
  { read, answer, failure }: FramedService,
  maxFrameBytes: number,
): WireSession<ThriftCall> {
  const decoder = new FrameDecoder(maxFrameBytes);
  return {
    repliesInOrder: true,
    get partial() {
      return decoder.partial;
    },
    push: (chunk) => decoder.push(chunk),
    next() {
      const message = decoder.next();
      return message && read(message);
    },
    answer,
    failure,
  };
}
