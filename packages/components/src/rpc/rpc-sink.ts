import {
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkContext,
  toMillraceError,
} from "@millrace/core";
import {
  type ClientTransport,
  type CreateEventClient,
  createEventRoute,
  createHostChoice,
  type CreateHostSelector,
  createRoundRobin,
  type EventRoute,
  type HostValues,
} from "@millrace/rpc";
import { openHostList } from "@millrace/rpc/discovery";
import { watchClientCertificates } from "./certificate-metrics.ts";
import { readSinkHosts, type SinkHostValues } from "./sink-hosts.ts";
import { type CountFailure, declareSinkFailures } from "./sink-failures.ts";

/**
 * What the sinks of all wires let an operator set. A sink that spreads `hostOptions` among its own
 * has several next hops; one that does not has `hostname`, which may be looked up.
 */
export interface RpcSinkOptions extends Partial<HostValues>, SinkHostValues {
  readonly batchSize: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** 0 never. */
  readonly resetConnectionIntervalSeconds: number;
  readonly maxFrameBytes: number;
  /** Plain TCP when not given. */
  readonly transport?: ClientTransport | undefined;
}

/**
 * Sends batches to one source, or to one of several. A batch is delivered when a source has
 * answered OK. What else happens ends the connection, unless other batches are in flight on it and
 * it goes on; the next delivery makes another. Throws CONFIG_INVALID.
 */
export function createRpcSink(
  options: RpcSinkOptions,
  context: SinkContext,
  createClient: CreateEventClient,
  createHostSelector: CreateHostSelector = createRoundRobin,
): Sink {
  return new RpcSink(options, context, createClient, createHostSelector);
}

class RpcSink implements Sink {
  readonly batchSize: number;
  readonly deliveriesInFlight: number;
  readonly #context: SinkContext;
  readonly #route: EventRoute;
  readonly #countFailure: CountFailure;
  /** Until the first connection after a start is made, or is not. */
  #isStarting = false;

  constructor(
    options: RpcSinkOptions,
    context: SinkContext,
    createClient: CreateEventClient,
    createHostSelector: CreateHostSelector,
  ) {
    const { batchesInFlight = 1 } = options;
    this.batchSize = options.batchSize;
    this.deliveriesInFlight = batchesInFlight;
    this.#context = context;
    this.#countFailure = declareSinkFailures(context.metrics);
    const { runtime, log, metrics } = context;
    const { transport } = options;
    if (transport?.tls !== undefined) watchClientCertificates(transport.tls, context);
    const { type, addresses, notes } = this.#readHosts(options);
    for (const note of notes) log.warn(note);
    const defaults = { maxAttempts: undefined, backoff: false, maxBackoffMs: 0, failBack: true };
    const how = { ...defaults, ...options };
    this.#route = createEventRoute({
      ...options,
      ...createHostChoice(type, how, createHostSelector, runtime.random),
      openHosts: () => openHostList(addresses, { ...runtime, log, metrics }),
      createClient,
      batchesInFlight,
      connectionsMax: 1,
      runtime,
      log,
      observer: this.#observer(),
    });
    metrics.gauge("millrace_sink_hosts", "Next hops that are known.", () => this.#route.hostCount);
    metrics.gauge(
      "millrace_sink_hosts_up",
      "Next hops that answered OK last, or were never asked.",
      () => this.#route.hostsUp,
    );
  }

  /** Begins to connect. A next hop that is not there yet is no reason not to start. */
  async start(aborted: AbortSignal): Promise<void> {
    await this.#route.start(aborted);
    this.#isStarting = true;
    this.#route.connect().catch(() => {});
  }

  async deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    try {
      await this.#route.deliver(batch, giveUp);
    } catch (thrown) {
      const error = toMillraceError(thrown);
      // Hosts that were asked are counted one by one.
      if (error.code === "RPC_HOSTS_UNAVAILABLE" && error.cause === undefined) {
        this.#countFailure(error);
      }
      throw error;
    }
  }

  /** Waits for deliveries under way, and cuts them at the deadline. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#isStarting = false;
    await this.#route.stop(deadline);
  }

  #readHosts(options: RpcSinkOptions): ReturnType<typeof readSinkHosts> {
    const read = readSinkHosts(options);
    const [problem] = read.problems;
    if (problem === undefined) return read;
    const { key, message } = problem;
    throw new MillraceError("CONFIG_INVALID", `${key}: ${message}`, { context: { key } });
  }

  #observer() {
    const { counters, log } = this.#context;
    return {
      connectionCreated: () => {
        counters.ConnectionCreatedCount++;
        this.#isStarting = false;
      },
      connectionClosed: () => void counters.ConnectionClosedCount++,
      connectionFailed: ({ code, message }: MillraceError) => {
        counters.ConnectionFailedCount++;
        if (this.#isStarting) log.warn(`${message}; deliveries try again`, { code });
        this.#isStarting = false;
      },
      hostFailed: this.#countFailure,
    };
  }
}
