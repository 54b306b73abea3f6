/** What the sinks of all wires share, over the Avro wire. */
import {
  createSinkRunner,
  type EventBatch,
  MillraceError,
  noMetrics,
  systemClock,
} from "@millrace/core";
import { createAvroClient, createAvroServer, type EventClient, type EventHandler } from "@millrace/rpc"; // prettier-ignore
import {
  createArrayChannel,
  createCollectingLog,
  createCollectingMetrics,
  createFakeClock,
  createTcpProxy,
  freePort,
  numberedBatch,
  numbers,
  numbersOf,
  settle,
  sinkContext,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test, type TestContext } from "node:test";
import { createRpcSink, type RpcSinkOptions } from "./rpc-sink.ts";
import { declareSinkFailures } from "./sink-failures.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

async function listening(test: TestContext, handler: EventHandler, maxFrameBytes = 1 << 20) {
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    limits: { maxFrameBytes, requestsInFlight: 64 },
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server;
}

function sinkTo(
  test: TestContext,
  options: Partial<RpcSinkOptions>,
  createClient = createAvroClient,
) {
  // prettier-ignore
  const clock = createFakeClock();
  const context = sinkContext({ runtime: { ...sinkContext().runtime, clock } });
  const sink = createRpcSink(
    {
      hostname: "127.0.0.1",
      batchSize: 100,
      connectTimeoutMs: 1000,
      requestTimeoutMs: 1000,
      resetConnectionIntervalSeconds: 0,
      maxFrameBytes: 1 << 20,
      ...options,
    },
    context,
    createClient,
  );
  test.after(() => sink.stop(now));
  const failures = (reason: string) =>
    context.metrics.value("millrace_sink_failures_total", { reason }) ?? 0;
  const allFailures = () =>
    Object.fromEntries(reasons.map((reason) => [reason, failures(reason)]).filter(([, n]) => n));
  return { sink, context, clock, failures, allFailures };
}

const reasons = "connect tls handshake failed system_error timeout cut malformed_reply no_host half_open other".split(" "); // prettier-ignore

test("every reason is there at 0 from the start", (t) => {
  const { context } = sinkTo(t, { port: 1 });
  for (const reason of reasons) {
    assert.equal(context.metrics.value("millrace_sink_failures_total", { reason }), 0, reason);
  }
});

/** A server that answers whatever it is sent with these bytes. */
async function answering(test: TestContext, bytes: Buffer): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(bytes));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

for (const { name, reason, port } of [
  { name: "answers FAILED", reason: "failed", port: async (t: TestContext) => (await listening(t, async () => "FAILED")).port }, // prettier-ignore
  { name: "answers a system error", reason: "system_error", port: async (t: TestContext) => (await listening(t, async () => "OK", 100)).port }, // prettier-ignore
  { name: "is not there", reason: "connect", port: freePort },
  { name: "answers what is no handshake", reason: "handshake", port: (t: TestContext) => answering(t, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3])) }, // prettier-ignore
  { name: "hangs up", reason: "cut", port: (t: TestContext) => answering(t, Buffer.alloc(0)) },
] as { name: string; reason: string; port: (test: TestContext) => Promise<number> }[]) {
  test(`a next hop that ${name} counts as ${reason}`, async (t) => {
    const { sink, allFailures } = sinkTo(t, { port: await port(t) });
    await assert.rejects(sink.deliver(numberedBatch(1, 60), never), { answer: "retry" });
    assert.deepEqual(allFailures(), { [reason]: 1 });
  });
}

test("a next hop that does not answer in time counts as timeout, slow or half-open alike", async (t) => {
  const server = await listening(t, async () => "OK");
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  const { sink, clock, allFailures } = sinkTo(t, { port: proxy.port });
  await sink.deliver(numberedBatch(1, 1), never);
  await proxy.setMode("stall");
  const failed = assert.rejects(sink.deliver(numberedBatch(2, 2), never), { code: "RPC_TIMEOUT" });
  await settle();
  await clock.advance(1000);
  await within("the time-out", failed);
  assert.deepEqual(allFailures(), { timeout: 1 });
  await proxy.setMode("pass");
  await sink.deliver(numberedBatch(2, 2), never);
});

test("a peer that TCP has given up counts as half_open, and what has no reason as other", () => {
  const metrics = createCollectingMetrics();
  const count = declareSinkFailures(metrics);
  const cause = Object.assign(new Error("read ETIMEDOUT"), { code: "ETIMEDOUT" });
  count(new MillraceError("RPC_CONNECTION_LOST", "gone", { cause }));
  count(new MillraceError("UNEXPECTED", "what"));
  const value = (reason: string) => metrics.value("millrace_sink_failures_total", { reason });
  assert.deepEqual([value("half_open"), value("other"), value("cut")], [1, 1, 0]);
});

test("under the sink runner FAILED, a hang, a cut and a dead hop roll back, and the batch arrives later", async (t) => {
  const received: number[] = [];
  let answer: "OK" | "FAILED" | "nothing" = "FAILED";
  let asked = 0;
  const server = await listening(t, async (batch) => {
    asked++;
    if (answer === "nothing") return new Promise<never>(() => {});
    if (answer === "OK") received.push(...numbersOf(batch));
    return answer;
  });
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  const { sink, context, clock, failures } = sinkTo(t, { port: proxy.port, batchSize: 10 });
  const channel = createArrayChannel(clock, { durable: true });
  await channel.start(never);
  const runner = createSinkRunner({
    name: "k1",
    sink,
    channel,
    clock,
    random: { bytes: () => Buffer.alloc(0), integer: () => 200 },
    log: context.log,
    counters: context.counters,
    metrics: noMetrics,
  });
  await (await channel.beginPut(numberedBatch(1, 25))).commit();
  await runner.start(never);
  t.after(() => runner.stop(now));
  const pass = async (reason: string, count: number) => {
    for (let i = 0; failures(reason) < count; i++) {
      assert.ok(i < 2000, `waited for ${reason}`);
      await clock.advance(100);
    }
    assert.deepEqual([channel.size, received], [25, []]);
  };
  await pass("failed", 2);
  answer = "nothing";
  await pass("timeout", 2);
  await waitFor("a request in flight", async () => {
    await clock.advance(0);
    return proxy.openConnections > 0;
  });
  await pass("timeout", 3);
  await proxy.setMode("refuse");
  proxy.cut();
  await pass("connect", 1);
  answer = "OK";
  await proxy.setMode("pass");
  for (let i = 0; received.length < 25; i++) {
    assert.ok(i < 2000, "everything arrives");
    await clock.advance(100);
  }
  assert.deepEqual(received, numbers(1, 25));
  assert.ok(asked >= 8);
  await waitFor("an empty channel", () => channel.size === 0);
});

async function twoSources(t: TestContext) {
  const received: [number[], number[]] = [[], []];
  const status: ["OK" | "FAILED", "OK" | "FAILED"] = ["OK", "OK"];
  const servers = await Promise.all(
    [0, 1].map((i) =>
      listening(t, async (batch: EventBatch) => {
        if (status[i] === "OK") received[i]?.push(...numbersOf(batch));
        return status[i] as "OK" | "FAILED";
      }),
    ),
  );
  const hostAddresses = new Map(servers.map(({ port }, i) => [`h${i}`, `127.0.0.1:${port}`]));
  return { received, status, options: { hosts: ["h0", "h1"], hostAddresses } };
}

test("one sink fails over between its hosts, shows how many are up, and comes back slowly", async (t) => {
  const { received, status, options } = await twoSources(t);
  const { sink, context, clock, failures } = sinkTo(t, { ...options, clientType: "default_failover" }); // prettier-ignore
  await sink.start(never);
  await sink.deliver(numberedBatch(1, 2), never);
  status[0] = "FAILED";
  await sink.deliver(numberedBatch(3, 3), never);
  const { metrics } = context;
  assert.deepEqual([metrics.value("millrace_sink_hosts"), metrics.value("millrace_sink_hosts_up")], [2, 1]); // prettier-ignore
  assert.equal(failures("failed"), 1);
  status[0] = "OK";
  await sink.deliver(numberedBatch(4, 4), never);
  await clock.advance(2400);
  await sink.deliver(numberedBatch(5, 5), never);
  assert.deepEqual(received, [[1, 2, 5], [3, 4]]); // prettier-ignore
  assert.equal(metrics.value("millrace_sink_hosts_up"), 2);
});

test("one sink takes turns among its hosts", async (t) => {
  const { received, options } = await twoSources(t);
  const { sink } = sinkTo(t, { ...options, clientType: "default_loadbalance" });
  for (let n = 1; n <= 6; n++) await sink.deliver(numberedBatch(n, n), never);
  assert.deepEqual(received, [[1, 3, 5], [2, 4, 6]]); // prettier-ignore
});

test("with no host known yet a delivery is to be tried again, and counts as no_host", async (t) => {
  const hostname = "dns+srv://_none._tcp.invalid?server=127.0.0.1:1";
  const { sink, allFailures } = sinkTo(t, { hostname });
  await assert.rejects(sink.deliver(numberedBatch(1, 1), never), {
    code: "RPC_HOSTS_UNAVAILABLE",
    answer: "retry",
  });
  assert.deepEqual(allFailures(), { no_host: 1 });
});

test("batchesInFlight is how many deliveries the runner may have under way, and FAILED cuts no other", async (t) => {
  const answers: ((status: "OK" | "FAILED") => void)[] = [];
  const server = await listening(t, () => new Promise((answer) => answers.push(answer)));
  const { sink, context } = sinkTo(t, { port: server.port, batchesInFlight: 3 });
  assert.equal(sink.deliveriesInFlight, 3);
  const first = sink.deliver(numberedBatch(0, 0), never);
  await waitFor("the first", () => answers.length === 1);
  answers[0]?.("OK");
  await first;
  const sent = [1, 2, 3].map((n) => sink.deliver(numberedBatch(n, n), never));
  await waitFor("three more", () => answers.length === 4);
  answers[1]?.("FAILED");
  await assert.rejects(sent[0] as Promise<void>, { code: "RPC_STATUS_FAILED" });
  answers[2]?.("OK");
  answers[3]?.("OK");
  await Promise.all(sent.slice(1));
  const { ConnectionCreatedCount, ConnectionClosedCount } = context.counters;
  assert.deepEqual([ConnectionCreatedCount, ConnectionClosedCount], [1, 0]);
});

test("what its options say wrong is CONFIG_INVALID with the key it is about", (t) => {
  for (const [options, key] of [
    [{ hostname: undefined }, "hostname"],
    [{ port: undefined }, "port"],
    [{ port: 1, clientType: "nonsense" }, "client.type"],
    [{ hosts: ["a"], hostAddresses: new Map([["a", "dns://"]]) }, "hosts.a"],
  ] as [Partial<RpcSinkOptions>, string][]) {
    assert.throws(() => sinkTo(t, options), (error) => {
      assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
      assert.equal(error.context["key"], key);
      return true;
    }); // prettier-ignore
  }
});

test("a client of any wire is made for each host with its own address", async (t) => {
  const made: string[] = [];
  const client = (address: string): EventClient => ({
    alive: true,
    connect: () => Promise.resolve(),
    append: () => Promise.resolve(),
    appendBatch: () => Promise.resolve(void made.push(address)),
    close() {},
  });
  const { sink } = sinkTo(
    t,
    {
      hosts: ["a", "b"],
      hostAddresses: new Map([["a", "[::1]:1"], ["b", "b.example:2"]]), // prettier-ignore
      clientType: "default_loadbalance",
    },
    ({ host, port }) => client(`${host} ${port}`),
  );
  for (let n = 0; n < 4; n++) await sink.deliver(numberedBatch(n, n), never);
  assert.deepEqual(made, ["::1 1", "b.example 2", "::1 1", "b.example 2"]);
});
