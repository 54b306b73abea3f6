import { type Event, silentLog, systemRuntime } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import type { TestContext } from "node:test";

/** The hop behind an agent of ours: keeps what it is sent over plain Avro, for a test to look at. */
export interface Collector {
  readonly port: number;
  readonly events: readonly Event[];
}

export async function createCollector(test: TestContext): Promise<Collector> {
  const events: Event[] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    handler: async (batch) => {
      for (const { headers, body } of batch) events.push({ headers, body: Buffer.from(body) });
      return "OK";
    },
  });
  await server.start(new AbortController().signal);
  test.after(() => server.stop(AbortSignal.timeout(5_000)));
  return {
    get port() {
      return server.port;
    },
    events,
  };
}
