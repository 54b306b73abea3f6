import {
  EventBatch,
  MillraceError,
  parseOptions,
  type SourceContext,
  systemClock,
} from "@millrace/core";
import { createAvroClient } from "@millrace/rpc";
import {
  createCollectingLog,
  createFakeClock,
  optionsOf,
  sourceContext,
  sourceContract,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { createAvroSource } from "./avro-source.ts";
import { source as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));

async function started(
  test: TestContext,
  processEventBatch?: (batch: EventBatch) => Promise<void>,
  properties: Record<string, string> = {},
  overrides: Partial<SourceContext> = {},
) {
  const context = sourceContext({
    ...(processEventBatch && { channelProcessor: { processEventBatch } }),
    ...overrides,
  });
  const values = optionsOf(options, { bind: "127.0.0.1", port: "0", ...properties });
  const source = createAvroSource(values, context);
  await source.start(never);
  test.after(() => source.stop(now));
  const client = createAvroClient({
    host: "127.0.0.1",
    port: source.port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
  });
  await client.connect();
  test.after(() => client.close());
  return { source, context, client };
}

sourceContract("the avro source (T067)", () =>
  createAvroSource(optionsOf(options, { bind: "127.0.0.1", port: "0" }), sourceContext()),
);

test("what is appended is processed, then answered OK, and counted (T070)", async (t) => {
  const { source, context, client } = await started(t);
  await client.append(events("a"));
  await client.appendBatch(events("b", "c"));
  await client.appendBatch(EventBatch.empty);
  assert.deepEqual(
    context.batches.map((batch) => [...batch].map(({ body }) => body.toString())),
    [["a"], ["b", "c"]],
  );
  const { counters } = context;
  assert.deepEqual([counters.AppendReceivedCount, counters.AppendAcceptedCount], [1, 1]);
  assert.deepEqual([counters.AppendBatchReceivedCount, counters.AppendBatchAcceptedCount], [2, 2]);
  assert.deepEqual([counters.EventReceivedCount, counters.EventAcceptedCount], [3, 3]);
  assert.equal(counters.OpenConnectionCount, 1);
  assert.ok(
    context.log.lines.some(({ message }) => message === `listening on 127.0.0.1:${source.port}`),
  );
  await source.stop(never);
  assert.equal(counters.OpenConnectionCount, 0);
});

test("the sender is told OK only when the channels have committed", async (t) => {
  let commit: (() => void) | undefined;
  const { client, context } = await started(t, () => new Promise((resolve) => (commit = resolve)));
  let answered = false;
  const call = client.appendBatch(events("a")).then(() => (answered = true));
  await waitFor("the batch to be processed", () => commit !== undefined);
  assert.deepEqual([answered, context.counters.EventAcceptedCount], [false, 0]);
  commit?.();
  await within("the answer", call);
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("a channel that fails is FAILED for append and appendBatch, counted twice, and the next is served (T082)", async (t) => {
  let full = true;
  const { client, context } = await started(t, async () => {
    if (full) throw new MillraceError("CHANNEL_FULL", "no room for 1 event");
  });
  await assert.rejects(client.append(events("a")), { code: "RPC_STATUS_FAILED" });
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_STATUS_FAILED" });
  assert.equal(context.counters.ChannelWriteFail, 2);
  assert.equal(context.counters.EventAcceptedCount, 0);
  full = false;
  await client.appendBatch(events("c"));
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("a batch that no channel can ever take is FAILED too", async (t) => {
  const { client } = await started(t, async () => {
    throw new MillraceError("TRANSACTION_TOO_LARGE", "1 event, and transactionCapacity is 0");
  });
  await assert.rejects(client.appendBatch(events("a")), { code: "RPC_STATUS_FAILED" });
});

test("a mistake of ours is a system error for append and FAILED for appendBatch, never silence", async (t) => {
  const { client, context } = await started(t, async () => {
    throw new TypeError("undefined is not a function");
  });
  await assert.rejects(client.append(events("a")), {
    code: "RPC_SYSTEM_ERROR",
    message: /UNEXPECTED: undefined is not a function/,
  });
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_STATUS_FAILED" });
  const { GenericProcessingFail, ChannelWriteFail } = context.counters;
  assert.deepEqual([GenericProcessingFail, ChannelWriteFail], [1, 1]);
});

test("a request that cannot be read is counted as EventReadFail", async (t) => {
  const { source, context, client } = await started(t);
  const socket = connect(source.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.end("GET / HTTP/1.1\r\n\r\n");
  await once(socket, "close");
  assert.equal(context.counters.EventReadFail, 1);
  assert.equal(context.metrics.value("millrace_source_malformed_requests_total"), 1);
  await client.appendBatch(events("a"));
  assert.equal(context.batches.length, 1);
});

test("maxConnections refuses one more and counts it", async (t) => {
  const { source, context } = await started(t, undefined, { maxConnections: "1" });
  const refused = (): number | undefined =>
    context.metrics.value("millrace_source_refused_connections_total", { reason: "limit" });
  assert.equal(refused(), 0);
  const socket = connect(source.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  await once(socket, "close");
  assert.equal(refused(), 1);
});

test("maxFrameBytes refuses a larger request with the numbers", async (t) => {
  const { client, context } = await started(t, undefined, { maxFrameBytes: "2000" });
  const large = EventBatch.fromEvents([{ body: Buffer.alloc(3000) }]);
  await assert.rejects(client.appendBatch(large), {
    code: "RPC_SYSTEM_ERROR",
    message: /FRAME_TOO_LARGE: a message of at least \d+ bytes; maxFrameBytes is 2000/,
  });
  assert.equal(context.batches.length, 0);
});

test("requestsInFlight requests of a connection are processed at once", async (t) => {
  const open: (() => void)[] = [];
  const { client } = await started(t, () => new Promise((resolve) => open.push(resolve)), {
    requestsInFlight: "2",
  });
  const first = client.appendBatch(events("greeted"));
  await waitFor("the first", () => open.length === 1);
  open.pop()?.();
  await first;
  const calls = ["a", "b", "c"].map((body) => client.appendBatch(events(body)));
  await waitFor("two", () => open.length === 2);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(open.length, 2);
  open[0]?.();
  await waitFor("the third", () => open.length === 3);
  open[1]?.();
  open[2]?.();
  await Promise.all(calls);
});

test("messageTimeout and idleTimeout close slow and silent senders", async (t) => {
  const clock = createFakeClock();
  const runtime = { ...sourceContext().runtime, clock };
  const { source, context } = await started(
    t,
    undefined,
    { messageTimeout: "2000", idleTimeout: "9000" },
    { runtime },
  );
  const slow = connect(source.port, "127.0.0.1");
  slow.on("error", () => {});
  slow.resume();
  slow.write(Buffer.alloc(3));
  await waitFor("both connections", () => context.counters.OpenConnectionCount === 2);
  const closed = once(slow, "close");
  await clock.advance(3000);
  await within("the slow one to be closed", closed);
  assert.equal(context.counters.EventReadFail, 1);
  await clock.advance(9000);
  await waitFor("the silent one to be closed", () => context.counters.OpenConnectionCount === 0);
});

test("a port in use is PORT_IN_USE with host and port (T068)", async (t) => {
  const { source } = await started(t);
  const port = String(source.port);
  const values = optionsOf(options, { bind: "127.0.0.1", port });
  const second = createAvroSource(values, sourceContext());
  await assert.rejects(second.start(never), {
    code: "PORT_IN_USE",
    message: new RegExp(`127.0.0.1:${port}: .*another port`),
  });
  await second.stop(never);
});

test("an address that is not this machine's is LISTEN_FAILED and names bind (T069)", async () => {
  const values = optionsOf(options, { bind: "192.0.2.1", port: "0" });
  const source = createAvroSource(values, sourceContext());
  await assert.rejects(source.start(never), { code: "LISTEN_FAILED", message: /bind must be/ });
});

test("stop answers what is being processed", async (t) => {
  let commit: (() => void) | undefined;
  const { source, client } = await started(t, () => new Promise((r) => (commit = r)));
  const call = client.appendBatch(events("a"));
  await waitFor("the batch", () => commit !== undefined);
  const stop = source.stop(never);
  commit?.();
  await within("the answer", call);
  await within("stop", stop);
});

test("options: bind and port are required, threads is noted, unknown words are refused", () => {
  const parse = (given: Record<string, string>) =>
    parseOptions(options, new Map(Object.entries(given)));
  assert.deepEqual(
    parse({}).problems.map(({ key }) => key),
    ["bind", "port"],
  );
  assert.deepEqual(
    parse({ bind: "h", port: "70000", "compression-type": "zip" }).problems.map(({ key }) => key),
    ["port", "compression-type"],
  );
  const { notes, unknownKeys } = parse({ bind: "h", port: "1", threads: "4", keystore: "/k" });
  assert.deepEqual([notes.map(({ key }) => key), unknownKeys], [["threads"], []]);
});

const tlsOn = { ssl: "true", keystore: "/k.jks" };
const optionCases: readonly {
  given: Record<string, string>;
  global?: Record<string, string>;
  refused: readonly (readonly [string, RegExp])[];
}[] = [
  { given: { "compression-type": "DEFLATE" }, refused: [] },
  { given: tlsOn, refused: [] },
  { given: { ssl: "true" }, refused: [["keystore", /is required with ssl = true/]] },
  { given: { ssl: "true" }, global: { "javax.net.ssl.keyStore": "/g.jks" }, refused: [] },
  {
    given: { ssl: "true" },
    global: { "javax.net.ssl.keyStore": "/g", "javax.net.ssl.keyStoreType": "JCEKS" },
    refused: [["keystore-type", /JCEKS is not a type of store; use JKS, PKCS12, PEM/]],
  },
  {
    given: { ...tlsOn, clientAuth: "required" },
    refused: [["truststore", /is required with clientAuth = required/]],
  },
  {
    given: { ...tlsOn, "include-protocols": "TLSv1.4" },
    refused: [["include-protocols", /did you mean TLSv1/]],
  },
  {
    given: tlsOn,
    global: { "flume.ssl.exclude.protocols": "TLSv1.2,TLSv1.3" },
    refused: [["exclude-protocols", /no TLS version is left/]],
  },
  { given: { ipFilter: "true", ipFilterRules: "deny:ip:*" }, refused: [] },
  { given: { ipFilterRules: "what:ever" }, refused: [] },
  { given: { ipFilter: "true" }, refused: [["ipFilterRules", /ipFilter = true/]] },
  {
    given: { ipFilter: "true", ipFilterRules: "allow:ip:10.*,deny:port:1" },
    refused: [["ipFilterRules", /"deny:port:1" is no ipFilter rule/]],
  },
];
for (const { given, global = {}, refused } of optionCases) {
  const title = `options: ${JSON.stringify(given)} ${JSON.stringify(global)}`;
  test(`${title} ${refused.length === 0 ? "is taken" : `is refused at ${refused.map(([key]) => key).join()}`}`, () => {
    const values = optionsOf(options, { bind: "h", port: "1", ...given });
    const problems = checkOptions(values, new Map(Object.entries(global)));
    assert.deepEqual(
      problems.map(({ key }) => key),
      refused.map(([key]) => key),
    );
    for (const [at, [, message]] of refused.entries()) {
      assert.match(problems[at]?.message ?? "", message);
    }
  });
}

test("the definition makes a source without opening anything", async () => {
  const values = optionsOf(definition.options, { bind: "127.0.0.1", port: "0" });
  const made = await definition.create(values, sourceContext());
  await made.stop(never);
});
