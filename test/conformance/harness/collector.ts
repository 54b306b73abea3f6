import { type Event, silentLog, systemRuntime } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import type { TestContext } from "node:test";

/** The hop behind an agent: keeps what it is sent over plain Avro, for a test to look at. */
export interface Collector {
  readonly port: number;
  /** What was answered OK, as it came. */
  readonly events: readonly Event[];
  /** Batches that were not answered OK. */
  readonly refusals: number;
  /** How it answers from now on; `throws` is a system error to `append`. */
  mode: "OK" | "FAILED" | "throws";
}

/** With `paceMs` every batch takes so long. */
export async function createCollector(test: TestContext, paceMs = 0): Promise<Collector> {
  const events: Event[] = [];
  let mode: Collector["mode"] = "OK";
  let refusals = 0;
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    async handler(batch) {
      if (paceMs > 0) await new Promise((resolve) => setTimeout(resolve, paceMs));
      if (mode !== "OK") refusals++;
      if (mode === "throws") throw new Error("the collector was told to throw");
      if (mode === "FAILED") return "FAILED";
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
    get refusals() {
      return refusals;
    },
    get mode() {
      return mode;
    },
    set mode(next) {
      mode = next;
    },
  };
}
