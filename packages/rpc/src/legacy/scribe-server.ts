import { createConnectionServer } from "../tcp/connection-server.ts";
import { type ConnectionShared, FramedServerConnection } from "../thrift/server-connection.ts";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { scribeService } from "./scribe-service.ts";

/** Takes events as Flume's Scribe source does: a batch a `Log`, answered OK or TRY_LATER. */
export function createScribeServer(options: EventServerOptions): EventServer {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const shared: ConnectionShared = {
    service: scribeService,
    handler,
    limits,
    observer,
    clock,
    log,
  };
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => new FramedServerConnection(stream, peer, shared),
  });
}
