import {
  DeliveryError,
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkContext,
  toMillraceError,
} from "@millrace/core";
import type { EventClient, EventClientOptions } from "@millrace/rpc";
import { cutBatch } from "./cut-batch.ts";

/** What the sinks of all wires let an operator set. */
export interface RpcSinkOptions {
  readonly hostname: string;
  readonly port: number;
  readonly batchSize: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** 0 never. */
  readonly resetConnectionIntervalSeconds: number;
  readonly maxFrameBytes: number;
}

export type CreateEventClient = (options: EventClientOptions) => EventClient;

/** A connection that is there, or on its way. */
interface Connection {
  readonly client: EventClient;
  readonly ready: Promise<void>;
  opened: boolean;
  /** Closed by us, for a reason that was said. */
  abandoned: boolean;
  resetAtMs: number;
}

/** What a request has beside its events is under this. */
const requestOverheadBytes = 512;

/**
 * Sends batches to one source, one after another. A batch is delivered when the source has
 * answered OK; whatever else happens ends the connection, and the next delivery makes another.
 */
export function createRpcSink(
  options: RpcSinkOptions,
  context: SinkContext,
  createClient: CreateEventClient,
): Sink {
  return new RpcSink(options, context, createClient);
}

class RpcSink implements Sink {
  readonly batchSize: number;
  readonly deliveriesInFlight = 1;
  readonly #options: RpcSinkOptions;
  readonly #context: SinkContext;
  readonly #createClient: CreateEventClient;
  #connection: Connection | undefined;
  #delivery: Promise<void> | undefined;

  constructor(options: RpcSinkOptions, context: SinkContext, createClient: CreateEventClient) {
    this.#createClient = createClient;
    this.#options = options;
    this.#context = context;
    this.batchSize = options.batchSize;
  }

  /** Begins to connect. A next hop that is not there yet is no reason not to start. */
  start(): Promise<void> {
    const connection = this.#connect();
    connection.ready.catch((error: MillraceError) => {
      if (connection.abandoned) return;
      this.#context.log.warn(`${error.message}; deliveries try again`, { code: error.code });
    });
    return Promise.resolve();
  }

  deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    const delivery = this.#deliver(batch, giveUp);
    this.#delivery = delivery;
    return delivery;
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const giveUp = (): void => this.#disconnect("the sink stops");
    deadline.addEventListener("abort", giveUp, { once: true });
    if (deadline.aborted) giveUp();
    await this.#delivery?.catch(() => {});
    deadline.removeEventListener("abort", giveUp);
    this.#disconnect("the sink stops");
  }

  async #deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    if (giveUp.aborted) throw givenUp();
    const abandon = (): void => this.#disconnect("the delivery was given up");
    giveUp.addEventListener("abort", abandon, { once: true });
    let sent = 0;
    try {
      const connection = this.#current();
      await connection.ready;
      const { batchSize, maxFrameBytes } = this.#options;
      for (const part of cutBatch(batch, batchSize, maxFrameBytes - requestOverheadBytes)) {
        await connection.client.appendBatch(part);
        sent += part.length;
      }
    } catch (thrown) {
      const error = toMillraceError(thrown);
      this.#disconnect(error.message);
      if (sent === 0) throw error;
      // The parts before it have arrived: only the rest is to be sent again.
      throw new DeliveryError(error.code, error.message, {
        cause: error,
        settled: [{ from: 0, to: sent }],
      });
    } finally {
      giveUp.removeEventListener("abort", abandon);
    }
  }

  /** The connection to use now: the one there is unless it is dead or too old, else a new one. */
  #current(): Connection {
    const connection = this.#connection;
    if (connection === undefined) return this.#connect();
    const { clock } = this.#context.runtime;
    if (connection.opened && !connection.client.alive) {
      this.#disconnect("the other side closed it");
    } else if (connection.opened && clock.monotonic() >= connection.resetAtMs) {
      this.#disconnect("reset-connection-interval is over");
    }
    return this.#connection ?? this.#connect();
  }

  #connect(): Connection {
    const { counters, log, runtime } = this.#context;
    const { hostname, port, connectTimeoutMs, requestTimeoutMs, maxFrameBytes } = this.#options;
    const client = this.#createClient({
      host: hostname,
      port,
      connectTimeoutMs,
      requestTimeoutMs,
      maxFrameBytes,
      clock: runtime.clock,
      log,
    });
    const ready = client.connect().then(
      () => {
        counters.ConnectionCreatedCount++;
        connection.opened = true;
        const intervalSeconds = this.#options.resetConnectionIntervalSeconds;
        if (intervalSeconds > 0) {
          connection.resetAtMs = runtime.clock.monotonic() + intervalSeconds * 1000;
        }
        log.info(`connected to ${hostname}:${port}`);
      },
      (error: unknown) => {
        if (!connection.abandoned) {
          counters.ConnectionFailedCount++;
          this.#connection = undefined;
        }
        throw error;
      },
    );
    const connection: Connection = {
      client,
      ready,
      opened: false,
      abandoned: false,
      resetAtMs: Infinity,
    };
    this.#connection = connection;
    // Whoever waits for it has the error; with nobody waiting it is no unhandled one.
    ready.catch(() => {});
    return connection;
  }

  #disconnect(why: string): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    connection.abandoned = true;
    connection.client.close(why);
    if (!connection.opened) return;
    this.#context.counters.ConnectionClosedCount++;
    this.#context.log.info(
      `disconnected from ${this.#options.hostname}:${this.#options.port}: ${why}`,
    );
  }
}

function givenUp(): MillraceError {
  return new MillraceError("RPC_CONNECTION_LOST", "the delivery was given up before it was sent");
}
