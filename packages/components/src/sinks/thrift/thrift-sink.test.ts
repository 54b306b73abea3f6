import { EventBatch, parseOptions, systemClock } from "@millrace/core";
import type { EventHandler } from "@millrace/rpc";
import { createThriftServer, type ThriftProtocol } from "@millrace/rpc/thrift";
import {
  createCollectingLog,
  createFakeClock,
  optionsOf,
  sinkContext,
  sinkContract,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { sink as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";
import { createThriftSink } from "./thrift-sink.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const bodies = (batch: EventBatch): string[] => [...batch].map(({ body }) => body.toString());

async function listening(
  test: TestContext,
  handler: EventHandler,
  { port = 0, protocol = "compact" as ThriftProtocol } = {},
) {
  const server = createThriftServer({
    host: "127.0.0.1",
    port,
    protocol,
    clock: systemClock,
    log: createCollectingLog(),
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server;
}

function sinkTo(
  test: TestContext,
  port: number,
  properties: Record<string, string> = {},
  clock = systemClock,
) {
  const context = sinkContext({ runtime: { ...sinkContext().runtime, clock } });
  const values = optionsOf(options, { hostname: "127.0.0.1", port: String(port), ...properties });
  const sink = createThriftSink(values, context);
  test.after(() => sink.stop(now));
  return { sink, context };
}

/** A server that takes connections and never answers. */
async function silentServer(test: TestContext) {
  const sockets: Socket[] = [];
  let bytes = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => (bytes += chunk.length));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, received: () => bytes };
}

sinkContract(
  "the thrift sink",
  async (t) => sinkTo(t, (await listening(t, async () => "OK")).port).sink,
  {
    makeStuck: async (t) => sinkTo(t, (await silentServer(t)).port, {}, createFakeClock()).sink,
  },
);

test("11 events at batch size 2 are 6 batches, none of them a single append (T174)", async (t) => {
  const calls: string[] = [];
  const server = await listening(t, async (batch, { message }) => {
    calls.push(`${message} ${batch.length}`);
    return "OK";
  });
  const { sink, context } = sinkTo(t, server.port, { "batch-size": "2" });
  assert.deepEqual([sink.batchSize, sink.deliveriesInFlight], [2, 1]);
  await sink.start(never);
  await sink.deliver(events(...Array.from({ length: 11 }, (_, i) => `${i}`)), never);
  assert.deepEqual(calls, [...Array<string>(5).fill("appendBatch 2"), "appendBatch 1"]);
  await sink.stop(never);
  const { ConnectionCreatedCount, ConnectionClosedCount } = context.counters;
  assert.deepEqual([ConnectionCreatedCount, ConnectionClosedCount], [1, 1]);
});

test("a source that does not answer in time is RPC_TIMEOUT, and the batch may be sent again (T175)", async (t) => {
  const clock = createFakeClock();
  const silent = await silentServer(t);
  const { sink } = sinkTo(t, silent.port, { "request-timeout": "1000" }, clock);
  await sink.start(never);
  const late = assert.rejects(sink.deliver(events("a"), never), {
    code: "RPC_TIMEOUT",
    answer: "retry",
  });
  await waitFor("the request", () => silent.received() > 0);
  await clock.advance(1000);
  await within("giving up", late);
});

test("deliveries fail until the source is there, and succeed then (T176)", async (t) => {
  const gone = await listening(t, async () => "OK");
  await gone.stop(now);
  const { port } = gone;
  const { sink, context } = sinkTo(t, port);
  await sink.start(never);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(sink.deliver(events("kept"), never), { code: "RPC_CONNECT_FAILED" });
  }
  assert.ok(context.counters.ConnectionFailedCount >= 3);
  const received: string[] = [];
  await listening(
    t,
    async (batch) => {
      received.push(...bodies(batch));
      return "OK";
    },
    { port },
  );
  await sink.deliver(events("kept"), never);
  assert.deepEqual(received, ["kept"]);
});

for (const { name, handler, code } of [
  { name: "FAILED", handler: async () => "FAILED" as const, code: "RPC_STATUS_FAILED" },
  {
    name: "an internal error",
    handler: () => Promise.reject(new TypeError("a mistake")),
    code: "RPC_SYSTEM_ERROR",
  },
]) {
  test(`a source that answers ${name} fails the delivery: ${code}`, async (t) => {
    const { sink } = sinkTo(t, (await listening(t, handler)).port);
    await sink.start(never);
    await assert.rejects(sink.deliver(events("a"), never), { code, answer: "retry" });
  });
}

test("protocol = binary speaks binary; Binary speaks compact, as Flume's does, and says so", async (t) => {
  const received: string[] = [];
  const take = async (batch: EventBatch): Promise<"OK"> => {
    received.push(...bodies(batch));
    return "OK";
  };
  const binary = await listening(t, take, { protocol: "binary" });
  await sinkTo(t, binary.port, { protocol: "binary" }).sink.deliver(events("a"), never);
  const compact = await listening(t, take);
  const { sink, context } = sinkTo(t, compact.port, { protocol: "Binary" });
  await sink.deliver(events("b"), never);
  assert.deepEqual(received, ["a", "b"]);
  assert.match(context.log.lines[0]?.message ?? "", /Binary is the compact protocol, as in Flume/);
});

test("a batch that Java would refuse is sent in several requests", async (t) => {
  const sizes: number[] = [];
  const server = await listening(t, async (batch) => {
    sizes.push(batch.length);
    return "OK";
  });
  const { sink } = sinkTo(t, server.port, { "batch-size": "100" });
  const body = Buffer.alloc(1_000_000);
  const batch = EventBatch.fromEvents(Array.from({ length: 33 }, () => ({ body })));
  await sink.deliver(batch, never);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    33,
  );
  assert.ok(sizes.length >= 3 && Math.max(...sizes) <= 16, sizes.join());
});

for (const { name, properties, problem } of [
  { name: "kerberos", properties: { kerberos: "true" }, problem: "kerberos" },
  { name: "an unknown protocol", properties: { protocol: "json" }, problem: "protocol" },
]) {
  test(`${name} is refused by check`, () => {
    const values = optionsOf(options, { hostname: "h", port: "1", ...(properties as object) });
    assert.deepEqual(
      checkOptions(values).map(({ key }) => key),
      [problem],
    );
  });
}

test("what means nothing here is accepted with a note", () => {
  const given = {
    maxConnections: "5",
    "client-principal": "flume/_HOST",
    "client-keytab": "/k",
    "server-principal": "flume/_HOST",
    "connection-reset-interval": "3",
  };
  const { notes, problems } = parseOptions(
    options,
    new Map(Object.entries({ hostname: "h", port: "1", ...given })),
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(notes.map(({ key }) => key).sort(), Object.keys(given).sort());
});

test("the definition makes the sink, and a batch is as large as batch-size says", async () => {
  const values = optionsOf(options, { hostname: "h", port: "1", "batch-size": "7" });
  assert.equal(definition.batchSize?.(values), 7);
  await (await definition.create(values, sinkContext())).stop(now);
});
