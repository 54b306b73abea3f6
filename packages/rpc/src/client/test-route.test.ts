/** What the tests of routes share: a route with a clock of the test's, and a server that answers as told. */
import { silentLog, systemRuntime } from "@millrace/core";
import { createFakeClock, createSeededRandom, type FakeClock, waitFor } from "@millrace/testing";
import type { TestContext } from "node:test";
import { createAvroClient } from "../avro/client.ts";
import { createAvroServer } from "../avro/server.ts";
import { openHostList } from "../discovery/open-host-list.ts";
import type { EventHandler } from "../wire/event-server.ts";
import { createEventRoute, type EventRouteOptions } from "./event-route.ts";
import { createFirstHost } from "./host-choice.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
export const noJitter = { ...createSeededRandom(1), integer: () => 200 };

export function routeTo(
  test: TestContext,
  addresses: readonly string[],
  options: Partial<EventRouteOptions> = {},
  clock: FakeClock = createFakeClock(),
) {
  const runtime = { ...systemRuntime, clock, random: noJitter };
  const counted = { created: 0, closed: 0, failed: 0, hostFailed: [] as string[] };
  const route = createEventRoute({
    openHosts: () => openHostList(addresses, { ...runtime, log: silentLog }),
    choice: createFirstHost(),
    penaltyMsMax: 30_000,
    batchSize: 100,
    connectTimeoutMs: 1000,
    requestTimeoutMs: 1000,
    maxFrameBytes: 1 << 20,
    resetConnectionIntervalSeconds: 0,
    batchesInFlight: 1,
    connectionsMax: 1,
    createClient: createAvroClient,
    runtime,
    log: silentLog,
    observer: {
      connectionCreated: () => void counted.created++,
      connectionClosed: () => void counted.closed++,
      connectionFailed: () => void counted.failed++,
      hostFailed: ({ code }) => void counted.hostFailed.push(code),
    },
    ...options,
  });
  test.after(() => route.stop(now));
  return { route, clock, counted };
}

/** A server whose answers a test gives, in whatever order it likes. */
export async function heldServer(test: TestContext) {
  const calls: { numbers: string; peer: string; answer: (status: "OK" | "FAILED") => void }[] = [];
  const handler: EventHandler = (batch, { peer }) =>
    new Promise((answer) => {
      calls.push({ numbers: [...batch].map(({ body }) => body.toString()).join(), peer, answer });
    });
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    limits: { requestsInFlight: 64 },
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  const called = (count: number) => waitFor(`${count} calls`, () => calls.length >= count);
  return { address: `127.0.0.1:${server.port}`, calls, called, server };
}
