import type { Clock, EventBatch, FileSystem, Log } from "@millrace/core";
import type { ClientTransport } from "../tcp/security.ts";

/** What a client of any wire is made with. */
export interface EventClientOptions {
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  /**
   * From the call to its reply. The first call on a connection may take the connect timeout when
   * that is longer.
   */
  readonly requestTimeoutMs: number;
  /** Of a reply. */
  readonly maxFrameBytes: number;
  /** Plain TCP when not given. */
  readonly transport?: ClientTransport;
  /** Where the files of TLS are; the machine's when not given. */
  readonly files?: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * One connection to one source, on any of the wires. Calls may overlap; each settles by its own
 * reply. Once anything but a reply has gone wrong the client is dead: the owner makes another.
 */
export interface EventClient {
  /** Whether it is connected and nothing has gone wrong. */
  readonly alive: boolean;
  /** Throws RPC_CONNECT_FAILED or RPC_TLS_FAILED. Called once. */
  connect(): Promise<void>;
  /**
   * Resolves when the peer has answered OK: it has stored the batch. Throws
   *
   * - RPC_STATUS_FAILED, RPC_SYSTEM_ERROR: the peer said so; the client lives on;
   * - RPC_TIMEOUT, RPC_CONNECTION_LOST, RPC_HANDSHAKE_FAILED, RPC_REPLY_MALFORMED: the client is
   *   dead, and whether the batch arrived is not known.
   */
  appendBatch(batch: EventBatch): Promise<void>;
  /** The same for the one event of the batch, as the call `append`. */
  append(batch: EventBatch): Promise<void>;
  /** Closes; calls under way throw RPC_CONNECTION_LOST at once. Idempotent. */
  close(why?: string): void;
}
