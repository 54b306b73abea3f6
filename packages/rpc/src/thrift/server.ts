import { createConnectionServer } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import type { ThriftProtocol } from "./protocol.ts";
import { type ConnectionShared, FramedServerConnection } from "./server-connection.ts";
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
  const { protocol, handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const service = createFlumeService(protocol);
  const shared: ConnectionShared = { service, handler, limits, observer, clock, log };
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => new FramedServerConnection(stream, peer, shared),
  });
}
