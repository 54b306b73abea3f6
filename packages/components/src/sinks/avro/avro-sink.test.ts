import {
  createSinkRunner,
  EventBatch,
  MillraceError,
  noMetrics,
  parseOptions,
  type Sink,
  systemClock,
} from "@millrace/core";
import { createAvroServer, type EventHandler } from "@millrace/rpc";
import {
  createArrayChannel,
  createCollectingLog,
  createFakeClock,
  optionsOf,
  sinkContext,
  sinkContract,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createAvroSink } from "./avro-sink.ts";
import { sink as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const bodies = (batch: EventBatch): string[] => [...batch].map(({ body }) => body.toString());

async function listening(test: TestContext, handler: EventHandler, port = 0) {
  const server = createAvroServer({
    host: "127.0.0.1",
    port,
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
  const sink = createAvroSink(values, context);
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
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    get bytes() {
      return bytes;
    },
  };
}

sinkContract(
  "the avro sink (T083)",
  async (t) => sinkTo(t, (await listening(t, async () => "OK")).port).sink,
  {
    makeStuck: async (t) => sinkTo(t, (await silentServer(t)).port, {}, createFakeClock()).sink,
  },
);

test("a batch is delivered when the source has answered OK, connections are counted", async (t) => {
  const received: string[] = [];
  const server = await listening(t, async (batch) => {
    received.push(...bodies(batch));
    return "OK";
  });
  const { sink, context } = sinkTo(t, server.port, { "batch-size": "7" });
  assert.deepEqual([sink.batchSize, sink.deliveriesInFlight], [7, 1]);
  await sink.start(never);
  await sink.deliver(events("a", "b"), never);
  await sink.deliver(events("c"), never);
  assert.deepEqual(received, ["a", "b", "c"]);
  await sink.stop(never);
  const { ConnectionCreatedCount, ConnectionClosedCount, ConnectionFailedCount } = context.counters;
  assert.deepEqual(
    [ConnectionCreatedCount, ConnectionClosedCount, ConnectionFailedCount],
    [1, 1, 0],
  );
  await waitFor("no connection", () => server.connectionCount === 0);
});

/** The sink under its runner, as an agent runs it. */
async function running(t: TestContext, handler: EventHandler, beginTake?: () => Promise<never>) {
  const { sink, context } = sinkTo(t, (await listening(t, handler)).port, { "batch-size": "2" });
  const channel = createArrayChannel(createFakeClock(), { durable: true });
  await channel.start(never);
  const { counters, log } = context;
  const runner = createSinkRunner({
    ...context.runtime,
    ...{ name: "k1", sink, counters, log, metrics: noMetrics },
    channel: beginTake === undefined ? channel : { ...channel, beginTake },
    clock: createFakeClock(),
  });
  t.after(() => runner.stop(now));
  return { runner, channel, counters };
}

test("ten events at batch-size 2 are five requests of two, and then there is nothing to do (T084)", async (t) => {
  const requests: string[][] = [];
  const { runner, channel, counters } = await running(t, async (batch) => {
    requests.push(bodies(batch));
    return "OK";
  });
  await (await channel.beginPut(events(..."0123456789"))).commit();
  await runner.start(never);
  await waitFor("an empty channel", () => channel.size === 0);
  assert.deepEqual(requests, ["01", "23", "45", "67", "89"].map((two) => [...two])); // prettier-ignore
  assert.deepEqual([counters.BatchCompleteCount, counters.EventDrainSuccessCount], [5, 10]);
});

test("a channel that throws on take throws nothing further, and is one ChannelReadFail (T085)", async (t) => {
  const taking = () => Promise.reject(new MillraceError("CHANNEL_CLOSED", "not now"));
  const { runner, counters } = await running(t, async () => "OK", taking);
  await runner.start(never);
  await waitFor("the take", () => counters.ChannelReadFail > 0);
  assert.equal(counters.ChannelReadFail, 1);
  assert.equal(counters.EventDrainAttemptCount, 0);
});

test("start does not fail without a next hop; deliveries fail until it is there (T087)", async (t) => {
  const gone = await listening(t, async () => "OK");
  await gone.stop(now);
  const { port } = gone;
  const { sink, context } = sinkTo(t, port);
  await sink.start(never);
  const batch = events("kept");
  for (let i = 0; i < 5; i++) {
    await assert.rejects(sink.deliver(batch, never), {
      code: "RPC_CONNECT_FAILED",
      answer: "retry",
      message: `no connection to 127.0.0.1:${port}: ECONNREFUSED`,
    });
  }
  assert.ok(context.counters.ConnectionFailedCount >= 5);
  assert.equal(
    context.log.lines.filter(({ message }) => /deliveries try again/.test(message)).length,
    1,
  );
  const received: string[] = [];
  await listening(
    t,
    async (arrived) => {
      received.push(...bodies(arrived));
      return "OK";
    },
    port,
  );
  await sink.deliver(batch, never);
  assert.deepEqual(received, ["kept"]);
});

for (const { name, handler, code } of [
  { name: "FAILED", handler: async () => "FAILED" as const, code: "RPC_STATUS_FAILED" },
  {
    name: "nothing, and goes away",
    handler: () => new Promise<never>(() => {}),
    code: "RPC_CONNECTION_LOST",
  },
]) {
  test(`a source that answers ${name} is ${code}; the connection is closed and the next delivery makes another`, async (t) => {
    let broken = true;
    const server = await listening(t, async () => {
      if (!broken) return "OK";
      if (code === "RPC_CONNECTION_LOST") void server.stop(now);
      return handler();
    });
    const { sink, context } = sinkTo(t, server.port);
    await sink.start(never);
    await assert.rejects(sink.deliver(events("a"), never), { code, answer: "retry" });
    assert.equal(context.counters.ConnectionClosedCount, 1);
    broken = false;
    if (code === "RPC_CONNECTION_LOST") await listening(t, async () => "OK", server.port);
    await sink.deliver(events("a"), never);
    assert.equal(context.counters.ConnectionCreatedCount, 2);
  });
}

test("a source slower than the timeouts is RPC_TIMEOUT, first call or later; once fast again, delivery works (T086)", async (t) => {
  const clock = createFakeClock();
  let slow = true;
  let calls = 0;
  const server = await listening(t, async () => {
    calls++;
    return slow ? new Promise<never>(() => {}) : "OK";
  });
  const { sink, context } = sinkTo(
    t,
    server.port,
    { "connect-timeout": "1000", "request-timeout": "1500" },
    clock,
  );
  await sink.start(never);
  const fail = async (): Promise<void> => {
    const before = calls;
    const failed = assert.rejects(sink.deliver(events("a"), never), { code: "RPC_TIMEOUT" });
    await waitFor("the call", () => calls > before);
    await clock.advance(1500);
    await within("giving up", failed);
  };
  await fail();
  slow = false;
  await sink.deliver(events("a"), never);
  slow = true;
  await fail();
  slow = false;
  await sink.deliver(events("a"), never);
  assert.equal(context.counters.ConnectionCreatedCount, 3);
});

test("reset-connection-interval makes a new connection before the next batch; unset keeps it (T088)", async (t) => {
  const clock = createFakeClock();
  const peers = new Set<string>();
  const server = await listening(t, async (_batch, { peer }) => {
    peers.add(peer);
    return "OK";
  });
  const { sink, context } = sinkTo(t, server.port, { "reset-connection-interval": "5" }, clock);
  await sink.start(never);
  await sink.deliver(events("a"), never);
  await clock.advance(4000);
  await sink.deliver(events("b"), never);
  assert.equal(peers.size, 1);
  await clock.advance(2000);
  await sink.deliver(events("c"), never);
  assert.equal(peers.size, 2);
  assert.equal(context.counters.ConnectionClosedCount, 1);
  const kept = sinkTo(t, server.port, {}, clock);
  await kept.sink.deliver(events("d"), never);
  await clock.advance(100_000_000);
  await kept.sink.deliver(events("e"), never);
  assert.equal(kept.context.counters.ConnectionCreatedCount, 1);
});

test("a connection that the source closed while idle is replaced without a failure", async (t) => {
  const server = await listening(t, async () => "OK");
  const { sink, context } = sinkTo(t, server.port);
  await sink.start(never);
  await sink.deliver(events("a"), never);
  await server.stop(never);
  const received: string[] = [];
  await listening(t, async (batch) => (received.push(...bodies(batch)), "OK"), server.port);
  await sink.deliver(events("b"), never);
  assert.deepEqual(received, ["b"]);
  assert.equal(context.counters.ConnectionCreatedCount, 2);
});

test("a batch over batch-size or maxFrameBytes is sent in several requests (T113)", async (t) => {
  const requests: string[][] = [];
  const server = await listening(t, async (batch) => {
    requests.push(bodies(batch).map((body) => body.slice(0, 1)));
    return "OK";
  });
  const { sink } = sinkTo(t, server.port, { "batch-size": "3", maxFrameBytes: "1024" });
  await sink.deliver(events("a", "b", "c", "d", "e", "f", "g"), never);
  await sink.deliver(events("h".repeat(200), "i".repeat(400), "j".repeat(2000), "k"), never);
  assert.deepEqual(requests, [["a", "b", "c"], ["d", "e", "f"], ["g"], ["h"], ["i"], ["j"], ["k"]]);
});

test("when a later request fails, the error says what was settled", async (t) => {
  let calls = 0;
  const server = await listening(t, async () => (++calls === 3 ? "FAILED" : "OK"));
  const { sink } = sinkTo(t, server.port, { "batch-size": "2" });
  await assert.rejects(sink.deliver(events("a", "b", "c", "d", "e"), never), {
    name: "DeliveryError",
    code: "RPC_STATUS_FAILED",
    settled: [{ from: 0, to: 4 }],
  });
});

test("stop waits for the delivery under way, and cuts it at its deadline", async (t) => {
  let answer: (() => void) | undefined;
  const server = await listening(t, () => new Promise((r) => (answer = () => r("OK"))));
  const finished = sinkTo(t, server.port).sink;
  const delivery = finished.deliver(events("a"), never);
  await waitFor("the call", () => answer !== undefined);
  const stop = finished.stop(never);
  answer?.();
  await within("the delivery", delivery);
  await within("stop", stop);

  const silent = await silentServer(t);
  const { sink } = sinkTo(t, silent.port);
  const cut = assert.rejects(sink.deliver(events("a"), never), { code: "RPC_CONNECTION_LOST" });
  await waitFor("the request", () => silent.bytes > 0);
  const deadline = new AbortController();
  const stopping = sink.stop(deadline.signal);
  deadline.abort();
  await within("the delivery", cut);
  await within("stop", stopping);
});

test("stop while the first connection is on its way is quiet", async (t) => {
  const { port } = await silentServer(t);
  const { sink, context } = sinkTo(t, port);
  await sink.start(never);
  await within("stop", sink.stop(never));
  assert.equal(context.counters.ConnectionFailedCount, 0);
  assert.deepEqual(
    context.log.lines.filter(({ level }) => level === "warn"),
    [],
  );
});

test("options: defaults are Flume's, timeouts under 1000 ms are refused, maxIoWorkers is noted (T122)", () => {
  const parse = (given: Record<string, string>) =>
    parseOptions(options, new Map(Object.entries({ hostname: "h", port: "1", ...given })));
  const { options: values } = parse({});
  assert.deepEqual(
    [values.batchSize, values.connectTimeoutMs, values.requestTimeoutMs],
    [100, 20_000, 20_000],
  );
  assert.equal(values.resetConnectionIntervalSeconds, 0);
  assert.deepEqual(
    parse({ "connect-timeout": "999", "request-timeout": "1", "batch-size": "0" }).problems.map(
      ({ key, message }) => `${key}: ${message}`,
    ),
    [
      'batch-size: "0" is not a whole number, at least 1',
      'connect-timeout: "999" is not a whole number, at least 1000',
      'request-timeout: "1" is not a whole number, at least 1000',
    ],
  );
  const noted = parse({ maxIoWorkers: "3" });
  assert.deepEqual(
    noted.notes.map(({ key }) => key),
    ["maxIoWorkers"],
  );
  assert.equal(definition.batchSize?.(values), 100);
});

for (const { given, problems } of [
  { given: { "compression-type": "deflate", "compression-level": "0" }, problems: [] },
  { given: { ssl: "true", "trust-all-certs": "true" }, problems: [] },
  { given: { "client.type": "org.apache.flume.api.FailoverRpcClient" }, problems: [] },
  { given: { hosts: "h1", "hosts.h1": "a:1", hostname: "" }, problems: [] },
  { given: { hostname: "dns://pool" }, problems: [] },
  { given: { hostname: "consul://collectors?tag=x", port: "" }, problems: [] },
  { given: { hostname: "" }, problems: ["hostname: is required, or hosts"] },
  { given: { port: "" }, problems: ["port: is required"] },
  {
    given: { "client.type": "DEFAULT_LOADBALANCE", hosts: "h1", "hosts.h1": "a:1" },
    problems: [
      "hosts: default_loadbalance takes two hosts or more, or an address that is looked up",
    ],
  },
  {
    given: { "client.type": "thrift" },
    problems: ["client.type: is thrift: use a sink of type thrift; this one speaks Avro"],
  },
  {
    given: { "client.type": "com.acme.MyClient" },
    problems: [
      'client.type: "com.acme.MyClient" is not default, default_failover, default_loadbalance, thrift or grpc; a Java class cannot be loaded',
    ],
  },
  {
    given: { hosts: "h1 h2", "client.type": "default_failover", "hosts.h1": "a" },
    problems: [/^hosts\.h1: "a" is not the address of a host/],
  },
  { given: { hosts: "h1 h2" }, problems: [/^hosts\.h1: is required, such as hosts = h1 and /] },
] as { given: Record<string, string>; problems: (string | RegExp)[] }[]) {
  test(`options: ${JSON.stringify(given)} ${problems.length === 0 ? "is taken" : "is a problem"}`, () => {
    const all = { hostname: "h", port: "1", ...given };
    const set = Object.entries(all).filter(([, value]) => value !== "");
    const found = checkOptions(optionsOf(options, Object.fromEntries(set)));
    const said = found.map(({ key, message }) => `${key}: ${message}`);
    assert.equal(said.length, problems.length, String(said));
    for (const [index, want] of problems.entries()) {
      if (typeof want === "string") assert.equal(said[index], want);
      else assert.match(said[index] ?? "", want);
    }
  });
}

test("check notes hosts that are left out or not used", () => {
  const given = { hosts: "a b", "hosts.a": "a:1", "hosts.c": "c:1" };
  const notes = definition.notes?.(optionsOf(definition.options, given), []);
  assert.deepEqual(notes, [
    { key: "hosts", message: "hosts.b is not given; b is left out" },
    { key: "hosts", message: "hosts.c is not in hosts; it is not used" },
  ]);
});

test("a host-selector of the operator's own is loaded when the sink is made; one that is not there is CONFIG_INVALID", async (t) => {
  const module = join(await tempDirectory(t), "last.mjs");
  await writeFile(module, "export const createHostSelector = () => (hosts) => hosts.slice(-1);\n");
  const received: string[][] = [[], []];
  const servers = await Promise.all(
    received.map((mine) => listening(t, async (batch) => (mine.push(...bodies(batch)), "OK"))),
  );
  const given = {
    "client.type": "default_loadbalance",
    hosts: "a b",
    "hosts.a": `127.0.0.1:${servers[0]?.port}`,
    "hosts.b": `127.0.0.1:${servers[1]?.port}`,
    "host-selector": module,
  };
  const made: Sink = await definition.create(optionsOf(definition.options, given), sinkContext());
  t.after(() => made.stop(now));
  await made.deliver(events("1"), never);
  await made.deliver(events("2"), never);
  assert.deepEqual(received, [[], ["1", "2"]]);
  const missing = optionsOf(definition.options, { ...given, "host-selector": "./gone.mjs" });
  await assert.rejects(definition.create(missing, sinkContext()), {
    code: "CONFIG_INVALID",
    context: { key: "host-selector" },
  });
});

test("the definition makes a sink without connecting", async () => {
  const values = optionsOf(definition.options, { hostname: "127.0.0.1", port: "9" });
  const made: Sink = await definition.create(values, sinkContext());
  await made.stop(never);
});
