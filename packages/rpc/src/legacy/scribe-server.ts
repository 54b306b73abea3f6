import { createFramedServer } from "../thrift/server.ts";
import type { EventServer, EventServerOptions } from "../wire/event-server.ts";
import { scribeService } from "./scribe-service.ts";

/** Takes events as Flume's Scribe source does: a batch a `Log`, answered OK or TRY_LATER. */
export function createScribeServer(options: EventServerOptions): EventServer {
  return createFramedServer(scribeService, options);
}
