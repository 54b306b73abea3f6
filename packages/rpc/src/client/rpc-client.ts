import type { EventBatch } from "@millrace/core";
import type { EventInput } from "./event-input.ts";

/**
 * Sends events of an application to sources of agents, Millrace's or Java Flume's. A promise that
 * resolves is the next agent's word that its channels have the events. After any error the same
 * call may be made again: the client makes a new connection, or turns to another host, by itself.
 *
 * Calls may overlap. As many requests as `batchesInFlight` allows are under way, the others wait
 * in the order of the calls; whoever calls faster than agents take should wait for the promises.
 */
export interface RpcClient {
  /** Events in one request, at most; longer lists are sent in several. */
  readonly batchSize: number;
  /** A list with more bytes is sent in several requests; agents usually refuse a larger event. */
  readonly maxFrameBytes: number;
  /** False once closed, and with one host also while it is not connected. */
  readonly isActive: boolean;
  /** Sends one event. Throws as `appendBatch` does. */
  append(event: EventInput | EventBatch): Promise<void>;
  /**
   * Sends events in order. Throws DeliveryError when a part of them was taken, with its positions
   * as `settled`: only the rest is to be sent again. Otherwise none was, or the answer was lost:
   *
   * - RPC_CONNECT_FAILED, RPC_CONNECTION_LOST, RPC_TIMEOUT, RPC_STATUS_FAILED, RPC_SYSTEM_ERROR,
   *   RPC_HANDSHAKE_FAILED, RPC_REPLY_MALFORMED: the one host there is;
   * - RPC_HOSTS_UNAVAILABLE: every one of several, or none is known yet;
   * - EVENT_REJECTED: something in the list is no event;
   * - RPC_CLIENT_CLOSED.
   */
  appendBatch(events: EventBatch | Iterable<EventInput>): Promise<void>;
  /**
   * Waits for calls under way, at most until `deadline`, which cuts them, and closes the
   * connections. Idempotent.
   */
  close(deadline?: AbortSignal): Promise<void>;
}
