import {
  type Clock,
  type EventBatch,
  type FileSystem,
  type Log,
  MillraceError,
  type Random,
  toMillraceError,
} from "@millrace/core";
import type { ClientTransport } from "../tcp/security.ts";
import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { Connection, type EventMessage } from "./connection.ts";
import { formatHost } from "../discovery/host-address.ts";
import type { Host as HostAddress } from "../discovery/host-list.ts";

export type CreateEventClient = (options: EventClientOptions) => EventClient;

/** How connections are made, and how many. */
export interface ConnectionSettings {
  readonly createClient: CreateEventClient;
  /** Plain TCP when not given. */
  readonly transport?: ClientTransport | undefined;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxFrameBytes: number;
  /** A connection this old, up to a fifth more, is replaced; 0 never. */
  readonly resetConnectionIntervalSeconds: number;
  /** Calls without an answer that one connection may have. */
  readonly batchesInFlight: number;
  /** To one host. */
  readonly connectionsMax: number;
}

export interface ClientRuntime {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: FileSystem;
}

/** Where the owner counts. Each is called at once, and must not throw. */
export interface RouteObserver {
  connectionCreated?(): void;
  connectionClosed?(): void;
  connectionFailed?(error: MillraceError): void;
  /** One host did not take a batch, and not because the batch was given up. */
  hostFailed?(error: MillraceError): void;
}

/** The connections to one host: made when they are needed, replaced when they are dead or old. */
export class HostConnections {
  /** As it was last found: host and port are always the same. */
  address: HostAddress;
  readonly #name: string;
  readonly #settings: ConnectionSettings;
  readonly #runtime: ClientRuntime;
  readonly #log: Log;
  readonly #observer: RouteObserver;
  /** Take calls. */
  readonly #active = new Set<Connection>();
  /** Take no more calls, and wait for answers. */
  readonly #retired = new Set<Connection>();

  constructor(
    address: HostAddress,
    settings: ConnectionSettings,
    runtime: ClientRuntime,
    log: Log,
    observer: RouteObserver,
  ) {
    this.address = address;
    this.#name = formatHost(address);
    this.#settings = settings;
    this.#runtime = runtime;
    this.#log = log;
    this.#observer = observer;
  }

  /** Whether one of them is open and nothing has gone wrong with it. */
  get alive(): boolean {
    return [...this.#active].some(({ alive }) => alive);
  }

  /** Whether no connection is open or on its way. */
  get isIdle(): boolean {
    this.#forgetEnded();
    return this.#active.size + this.#retired.size === 0;
  }

  /** Resolves when there is a connection. Throws RPC_CONNECT_FAILED. */
  connect(): Promise<void> {
    return this.#current().ready;
  }

  /** Sends over one of them. Throws what the wire's client throws. */
  async send(message: EventMessage, batch: EventBatch, giveUp?: AbortSignal): Promise<void> {
    if (giveUp?.aborted === true) throw givenUp();
    const connection = this.#current();
    const abandon = (): void => connection.close("the delivery was given up");
    giveUp?.addEventListener("abort", abandon, { once: true });
    try {
      await connection.send(message, batch);
    } catch (thrown) {
      const error = toMillraceError(thrown);
      // Alone on its connection a batch that was refused may do better on a new one, which may
      // lead elsewhere; with others in flight they would be sent twice.
      if (this.#settings.batchesInFlight === 1 || connection.isDead)
        connection.close(error.message);
      this.#forgetEnded();
      throw error;
    } finally {
      giveUp?.removeEventListener("abort", abandon);
    }
  }

  /** No call comes any more; closes when those in flight are answered. */
  retire(why: string): void {
    for (const connection of this.#active) this.#retire(connection, why);
  }

  /** Closes now; calls in flight throw. */
  close(why: string): void {
    for (const connection of [...this.#active, ...this.#retired]) connection.close(why);
    this.#forgetEnded();
  }

  /** The connection for the next call: the one with the fewest in flight, or a new one. */
  #current(): Connection {
    const { batchesInFlight, connectionsMax } = this.#settings;
    const nowMs = this.#runtime.clock.monotonic();
    let freest: Connection | undefined;
    for (const connection of this.#active) {
      if (connection.isDead) this.#forget(connection);
      else if (nowMs >= connection.resetAtMs) {
        this.#retire(connection, "reset-connection-interval is over");
      } else if (freest === undefined || connection.inFlight < freest.inFlight) freest = connection;
    }
    if (freest === undefined) return this.#open();
    const isBusy = freest.inFlight >= batchesInFlight;
    return isBusy && this.#active.size < connectionsMax ? this.#open() : freest;
  }

  #open(): Connection {
    const { createClient, connectTimeoutMs, requestTimeoutMs, maxFrameBytes } = this.#settings;
    const { clock, files } = this.#runtime;
    const { host, port } = this.address;
    const transport = this.#transport();
    const client = createClient({
      host,
      port,
      connectTimeoutMs,
      requestTimeoutMs,
      maxFrameBytes,
      ...(transport === undefined ? {} : { transport }),
      clock,
      files,
      log: this.#log,
    });
    const connection = new Connection(client, {
      opened: () => {
        this.#observer.connectionCreated?.();
        connection.resetAtMs = this.#resetTimeMs();
        this.#log.info(`connected to ${this.#name}`);
      },
      failed: (error) => {
        this.#forget(connection);
        this.#observer.connectionFailed?.(error);
      },
      closed: (why) => {
        this.#forget(connection);
        this.#observer.connectionClosed?.();
        this.#log.info(`disconnected from ${this.#name}: ${why}`);
      },
    });
    this.#active.add(connection);
    return connection;
  }

  /** A host that was found by a name has its certificate for that name, unless another is asked for. */
  #transport(): ClientTransport | undefined {
    const { transport } = this.#settings;
    const { serverName } = this.address;
    if (transport?.tls === undefined || serverName === undefined) return transport;
    return { ...transport, tls: { serverName, ...transport.tls } };
  }

  /** Spread over a fifth, so that a fleet that connected at once does not do it again. */
  #resetTimeMs(): number {
    const { clock, random } = this.#runtime;
    const intervalMs = this.#settings.resetConnectionIntervalSeconds * 1000;
    if (intervalMs === 0) return Infinity;
    return clock.monotonic() + intervalMs * (1 + random.integer(201) / 1000);
  }

  #retire(connection: Connection, why: string): void {
    this.#active.delete(connection);
    this.#retired.add(connection);
    connection.retire(why);
  }

  #forgetEnded(): void {
    for (const connections of [this.#active, this.#retired]) {
      for (const connection of connections) if (connection.isDead) this.#forget(connection);
    }
  }

  #forget(connection: Connection): void {
    connection.close("the other side closed it");
    this.#active.delete(connection);
    this.#retired.delete(connection);
  }
}

function givenUp(): MillraceError {
  return new MillraceError("RPC_CONNECTION_LOST", "the delivery was given up before it was sent");
}
