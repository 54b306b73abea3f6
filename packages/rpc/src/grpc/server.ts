import { createConnectionServer } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { Health } from "./health.ts";
import { alpnProtocols } from "./protocol.ts";
import { type ConnectionShared, GrpcServerConnection } from "./server-connection.ts";

/**
 * Takes events as `proto/millrace/v1/event_service.proto` describes. FAILED is answered with
 * RESOURCE_EXHAUSTED, what the handler throws with INTERNAL; either ends the stream. Beside it
 * answers grpc.health.v1.Health: SERVING while it listens, NOT_SERVING from the moment it is told to stop.
 */
export function createGrpcServer(options: EventServerOptions): EventServer {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const health = new Health();
  const shared: ConnectionShared = { handler, limits, observer, clock, log, health };
  const server = createConnectionServer({
    ...options,
    alpnProtocols,
    serve: (stream, peer) => new GrpcServerConnection(stream, peer, shared),
  });
  return {
    get port() {
      return server.port;
    },
    get connectionCount() {
      return server.connectionCount;
    },
    async start(aborted) {
      await server.start(aborted);
      health.setServing(true);
    },
    stop(deadline) {
      health.setServing(false);
      return server.stop(deadline);
    },
  };
}
