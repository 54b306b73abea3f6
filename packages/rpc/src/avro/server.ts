import { createConnectionServer } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { ClientRegistry } from "./handshake.ts";
import { AvroServerConnection, type ConnectionShared } from "./server-connection.ts";

/**
 * Takes events as Java Flume's Avro source does. What the handler throws is answered with a system
 * error for `append`, FAILED for `appendBatch`.
 */
export function createAvroServer(options: EventServerOptions): EventServer {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const clients = new ClientRegistry();
  const shared: ConnectionShared = { handler, limits, observer, clock, log, clients };
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => new AvroServerConnection(stream, peer, shared),
  });
}
