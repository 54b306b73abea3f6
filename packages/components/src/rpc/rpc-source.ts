import {
  type Counter,
  type EventBatch,
  type Metrics,
  MillraceError,
  type Source,
  type SourceContext,
} from "@millrace/core";
import {
  type EventCall,
  type EventServer,
  type EventServerLimits,
  type EventServerOptions,
  type ServerTransport,
  type TlsFailureReason,
  tlsFailureReasons,
} from "@millrace/rpc";
import { watchServerCertificates } from "./certificate-metrics.ts";
import { createRegistration } from "./registration.ts";
import type { RegistrationOptions } from "./registration-options.ts";

/** What the sources of all wires let an operator set. */
export interface RpcSourceOptions extends EventServerLimits, Partial<RegistrationOptions> {
  readonly bind: string;
  readonly port: number;
  /** TLS, compression, who may connect; plain, and everyone, when not given. */
  readonly transport?: ServerTransport;
}

export interface RpcSource extends Source {
  /** The port it listens on, also where the configuration says 0. */
  readonly port: number;
}

/**
 * Listens on one of the wires. A sender is told OK when every required channel has committed;
 * FAILED when one did not, on a connection that stays open. What is unexpected is answered as Java
 * Flume answers it on that wire: `append` with an error, `appendBatch` with FAILED.
 */
export function createRpcSource(
  options: RpcSourceOptions,
  context: SourceContext,
  createServer: (options: EventServerOptions) => EventServer,
): RpcSource {
  const { bind, port, transport } = options;
  const { counters, channelProcessor, log, metrics, runtime } = context;
  const refusedFor = (reason: "limit" | "ipFilter"): Counter =>
    metrics.counter(
      "millrace_source_refused_connections_total",
      "Connections closed at once: maxConnections were open, or ipFilterRules deny the address.",
      { reason },
    );
  const refused = { limit: refusedFor("limit"), ipFilter: refusedFor("ipFilter") };
  const tlsFailures = declareTlsFailures(metrics);
  const malformed = metrics.counter(
    "millrace_source_malformed_requests_total",
    "Requests that could not be read; nothing of them was stored",
  );

  function countReceived(batch: EventBatch, { message }: EventCall): void {
    if (message === "append") counters.AppendReceivedCount++;
    else counters.AppendBatchReceivedCount++;
    counters.EventReceivedCount += batch.length;
  }

  function countAccepted(batch: EventBatch, { message }: EventCall): void {
    if (message === "append") counters.AppendAcceptedCount++;
    else counters.AppendBatchAcceptedCount++;
    counters.EventAcceptedCount += batch.length;
  }

  async function receive(batch: EventBatch, call: EventCall): Promise<"OK" | "FAILED"> {
    countReceived(batch, call);
    try {
      if (batch.length > 0) await channelProcessor.processEventBatch(batch);
    } catch (error) {
      const known = error instanceof MillraceError;
      if (known || call.message === "appendBatch") counters.ChannelWriteFail++;
      else counters.GenericProcessingFail++;
      if (!known) throw error;
      log.warn(`answered FAILED: ${error.code}`, { peer: call.peer, reason: error.message });
      return "FAILED";
    }
    countAccepted(batch, call);
    return "OK";
  }

  const tlsContext = transport?.tls && watchServerCertificates(transport.tls, context);
  const server = createServer({
    host: bind,
    port,
    limits: options,
    handler: receive,
    ...(transport === undefined ? {} : { transport }),
    ...(tlsContext === undefined ? {} : { tlsContext }),
    files: runtime.files,
    clock: runtime.clock,
    log,
    observer: {
      connectionOpened: () => counters.OpenConnectionCount++,
      connectionClosed: () => counters.OpenConnectionCount--,
      connectionRefused: (why) => refused[why].value++,
      tlsFailed: (reason) => (tlsFailures.get(reason) as Counter).value++,
      requestMalformed: () => {
        counters.EventReadFail++;
        malformed.value++;
      },
    },
  });

  const registration = createRegistration(options, { bind }, context);

  return {
    get port() {
      return server.port;
    },
    async start(aborted) {
      await server.start(aborted);
      log.info(`listening on ${bind}:${server.port}`, { bind, port: server.port });
      registration?.start(server.port);
    },
    async stop(deadline) {
      // Senders are told to go elsewhere while those that are here are still served.
      await registration?.stop(deadline);
      await server.stop(deadline);
    },
  };
}

/** One counter a reason, all of them from the start. */
function declareTlsFailures(metrics: Metrics): ReadonlyMap<TlsFailureReason, Counter> {
  return new Map(
    tlsFailureReasons.map((reason) => [
      reason,
      metrics.counter(
        "millrace_source_tls_failures_total",
        "Connections closed because TLS did not come about, by reason.",
        { reason },
      ),
    ]),
  );
}
