import type { EventClient, EventClientOptions } from "../wire/event-client.ts";
import { RequestClient } from "../wire/request-client.ts";
import { AvroClientSession } from "./client-session.ts";

/** One connection to an Avro source, Java's or ours; a reply settles the call whose serial it repeats. */
export function createAvroClient(options: EventClientOptions): EventClient {
  const { host, port, maxFrameBytes } = options;
  return new RequestClient(options, new AvroClientSession(`${host}:${port}`, maxFrameBytes));
}
