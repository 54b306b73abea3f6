import { createConnectionServer } from "../tcp/connection-server.ts";
import type { EventServer, EventServerOptions } from "../wire/event-server.ts";
import { RequestConnection, sharedBy } from "../wire/request-connection.ts";
import { ClientRegistry } from "./handshake.ts";
import { AvroServerSession } from "./server-session.ts";

/**
 * Takes events as Java Flume's Avro source does. What the handler throws is answered with a system
 * error for `append`, FAILED for `appendBatch`.
 */
export function createAvroServer(options: EventServerOptions): EventServer {
  const clients = new ClientRegistry();
  const shared = sharedBy(options);
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => {
      const session = new AvroServerSession(clients, shared.limits.maxFrameBytes);
      return new RequestConnection(stream, peer, session, shared);
    },
  });
}
