import { createConnectionServer } from "../tcp/connection-server.ts";
import type { EventServer, EventServerOptions } from "../wire/event-server.ts";
import { RequestConnection, sharedBy } from "../wire/request-connection.ts";
import { createFramedSession, type FramedService } from "./framed-service.ts";
import type { ThriftProtocol } from "./protocol.ts";
import { createFlumeService } from "./server-session.ts";

export interface ThriftServerOptions extends EventServerOptions {
  /** Must be what the clients speak. */
  readonly protocol: ThriftProtocol;
}

/**
 * Takes events as Java Flume's Thrift source does, framed, in one of the protocols. A MillraceError
 * that the handler throws is answered with FAILED, anything else as an internal error.
 */
export function createThriftServer(options: ThriftServerOptions): EventServer {
  return createFramedServer(createFlumeService(options.protocol), options);
}

/** Serves a framed Thrift service. */
export function createFramedServer(
  service: FramedService,
  options: EventServerOptions,
): EventServer {
  const shared = sharedBy(options);
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => {
      const session = createFramedSession(service, shared.limits.maxFrameBytes);
      return new RequestConnection(stream, peer, session, shared);
    },
  });
}
