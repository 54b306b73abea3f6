/** Sources for the tests of this folder: real servers that keep what they took. */
import { type EventBatch, silentLog, systemClock } from "@millrace/core";
import type { TestContext } from "node:test";
import { createAvroServer } from "../avro/server.ts";
import type { EventServer } from "../wire/event-server.ts";

const never = new AbortController().signal;

export type Answering = "OK" | "FAILED" | "throws" | "nothing";

export interface TestSource {
  readonly port: number;
  /** "127.0.0.1:port" */
  readonly address: string;
  /** What becomes of the next requests. */
  answer: Answering;
  /** The bodies of each request that was answered OK, and the connection it came on. */
  readonly requests: { readonly bodies: readonly string[]; readonly peer: string }[];
  /** Requests, whatever became of them. */
  asked: number;
  /** Bodies, one after another. */
  readonly bodies: string[];
  readonly connectionCount: number;
  /** Cuts everything; the port is free. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  restart(): Promise<void>;
}

export async function startSource(
  test: TestContext,
  answer: Answering = "OK",
): Promise<TestSource> {
  let server: EventServer;
  const listen = async (port: number): Promise<void> => {
    server = createAvroServer({
      host: "127.0.0.1",
      port,
      clock: systemClock,
      log: silentLog,
      handler: (batch, { peer }) => take(batch, peer),
    });
    await server.start(never);
  };
  const take = (batch: EventBatch, peer: string): Promise<"OK" | "FAILED"> => {
    source.asked++;
    switch (source.answer) {
      case "FAILED":
        return Promise.resolve("FAILED");
      case "throws":
        return Promise.reject(new Error("out of order"));
      case "nothing":
        return new Promise(() => {});
      case "OK": {
        const bodies = [...batch].map(({ body }) => body.toString());
        source.requests.push({ bodies, peer });
        source.bodies.push(...bodies);
        return Promise.resolve("OK");
      }
    }
  };
  await listen(0);
  const { port } = server!;
  const source: TestSource = {
    port,
    address: `127.0.0.1:${port}`,
    answer,
    requests: [],
    asked: 0,
    bodies: [],
    get connectionCount() {
      return server.connectionCount;
    },
    stop: () => server.stop(AbortSignal.abort()),
    restart: () => listen(port),
  };
  test.after(() => source.stop());
  return source;
}

export async function startSources(test: TestContext, count: number): Promise<TestSource[]> {
  return Promise.all(Array.from({ length: count }, () => startSource(test)));
}

/** `hosts = h1 h2 ...` over the sources. */
export function hostProperties(sources: readonly TestSource[]): Record<string, string> {
  return {
    hosts: sources.map((_, i) => `h${i + 1}`).join(" "),
    ...Object.fromEntries(sources.map(({ address }, i) => [`hosts.h${i + 1}`, address])),
  };
}
