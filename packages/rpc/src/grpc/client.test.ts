import { EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { EventClientOptions } from "../wire/event-client.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { createGrpcClient } from "./client.ts";
import { createGrpcServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));

async function listening(test: TestContext, options: Partial<EventServerOptions>) {
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler: () => Promise.resolve("OK"),
    ...options,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server;
}

function clientOf(test: TestContext, port: number, options: Partial<EventClientOptions> = {}) {
  const client = createGrpcClient({
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
    ...options,
  });
  test.after(() => client.close());
  return client;
}

test("an OK server takes one event and a batch", async (t) => {
  const seen: string[] = [];
  const { port } = await listening(t, {
    handler: async (batch, { message }) => {
      seen.push(`${message} ${[...batch].map(({ body }) => body.toString()).join()}`);
      return "OK";
    },
  });
  const client = clientOf(t, port);
  assert.equal(client.alive, false);
  await client.connect();
  assert.equal(client.alive, true);
  await client.append(events("a"));
  await client.appendBatch(events("b", "c"));
  await client.appendBatch(EventBatch.empty);
  assert.deepEqual(seen, ["appendBatch a", "appendBatch b,c", "appendBatch "]);
});

test("nothing listening is RPC_CONNECT_FAILED at once", async (t) => {
  const server = await listening(t, {});
  const { port } = server;
  await server.stop(now);
  await assert.rejects(within("a refused connect", clientOf(t, port).connect()), {
    code: "RPC_CONNECT_FAILED",
    message: `no connection to 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`,
  });
});

test("a batch that the server could not store is RPC_STATUS_FAILED; those behind it are not looked at; the next goes on", async (t) => {
  const seen: string[] = [];
  const { port } = await listening(t, {
    handler: async (batch) => {
      const [first] = [...batch].map(({ body }) => body.toString());
      seen.push(first ?? "");
      return first === "bad" ? "FAILED" : "OK";
    },
  });
  const client = clientOf(t, port);
  await client.connect();
  const calls = ["a", "b", "bad", "c", "d"].map((body) => client.appendBatch(events(body)));
  const results = await Promise.allSettled(calls);
  assert.deepEqual(
    results.map((result) => (result.status === "rejected" ? result.reason.code : "OK")),
    ["OK", "OK", "RPC_STATUS_FAILED", "RPC_CONNECTION_LOST", "RPC_CONNECTION_LOST"],
  );
  assert.deepEqual(seen, ["a", "b", "bad"]);
  assert.equal(client.alive, true);
  await client.appendBatch(events("e"));
  assert.deepEqual(seen, ["a", "b", "bad", "e"]);
});
