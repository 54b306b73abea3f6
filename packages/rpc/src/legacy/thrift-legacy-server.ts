import { createConnectionServer } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { OgConnection, type OgConnectionShared } from "./thrift-og-connection.ts";

/**
 * Takes events as Flume 0.9 sent them over Thrift: binary, without frames, one-way. The handler is to
 * settle only when the events are stored; a batch it does not take is lost, and logged as such. Of
 * the limits, `requestsInFlight` means nothing here: it is one batch.
 */
export function createThriftLegacyServer(options: EventServerOptions): EventServer {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };
  const shared: OgConnectionShared = { handler, limits, observer, clock, log };
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => new OgConnection(stream, peer, shared),
  });
}
