import { EventBatch, MillraceError, parseOptions, systemClock } from "@millrace/core";
import { createThriftClient, type ThriftProtocol } from "@millrace/rpc/thrift";
import {
  createCollectingLog,
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
import { source as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";
import { createThriftSource } from "./thrift-source.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const bodies = (batches: readonly EventBatch[]): string[] =>
  batches.flatMap((batch) => [...batch].map(({ body }) => body.toString()));

async function started(
  test: TestContext,
  processEventBatch?: (batch: EventBatch) => Promise<void>,
  properties: Record<string, string> = {},
) {
  const context = sourceContext({
    ...(processEventBatch && { channelProcessor: { processEventBatch } }),
  });
  const values = optionsOf(options, { bind: "127.0.0.1", port: "0", ...properties });
  const source = createThriftSource(values, context);
  await source.start(never);
  test.after(() => source.stop(now));
  return { source, context };
}

async function clientOf(test: TestContext, port: number, protocol: ThriftProtocol = "compact") {
  const client = createThriftClient({
    host: "127.0.0.1",
    port,
    protocol,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
  });
  await client.connect();
  test.after(() => client.close());
  return client;
}

sourceContract("the thrift source", () =>
  createThriftSource(optionsOf(options, { bind: "127.0.0.1", port: "0" }), sourceContext()),
);

test("100 events appended one by one arrive in order, and are counted (T169)", async (t) => {
  const { source, context } = await started(t);
  const client = await clientOf(t, source.port);
  const sent = Array.from({ length: 100 }, (_, i) => `event ${i}`);
  for (const body of sent) await client.append(events(body));
  assert.deepEqual(bodies(context.batches), sent);
  const { counters } = context;
  assert.deepEqual([counters.AppendReceivedCount, counters.AppendAcceptedCount], [100, 100]);
  assert.deepEqual([counters.EventReceivedCount, counters.EventAcceptedCount], [100, 100]);
  assert.equal(counters.OpenConnectionCount, 1);
});

for (const protocol of ["compact", "binary"] as const) {
  test(`${protocol}: headers and bodies of batches arrive (T170)`, async (t) => {
    const { source, context } = await started(t, undefined, { protocol });
    const client = await clientOf(t, source.port, protocol);
    for (let i = 0; i < 30; i++) {
      await client.appendBatch(
        EventBatch.fromEvents(
          Array.from({ length: 10 }, (_, j) => ({
            headers: new Map([
              ["header1", `${i}`],
              ["__proto__", `${j}`],
            ]),
            body: Buffer.from(`event ${i}.${j}`),
          })),
        ),
      );
    }
    assert.equal(context.batches.length, 30);
    const [first] = context.batches[7] as EventBatch;
    assert.deepEqual(
      [...(first?.headers ?? [])],
      [
        ["header1", "7"],
        ["__proto__", "0"],
      ],
    );
    assert.deepEqual(
      bodies(context.batches),
      Array.from({ length: 300 }, (_, k) => `event ${Math.floor(k / 10)}.${k % 10}`),
    );
    assert.equal(context.counters.AppendBatchAcceptedCount, 30);
  });
}

test("very large batches arrive whole (T171)", async (t) => {
  const { source, context } = await started(t);
  const client = await clientOf(t, source.port);
  const sent: string[] = [];
  for (let round = 0; round < 5; round++) {
    const part = Array.from({ length: 10_000 }, (_, i) => `${round}.${i}`.padEnd(100, "."));
    await client.appendBatch(events(...part));
    sent.push(...part);
  }
  assert.deepEqual(bodies(context.batches), sent);
});

test("of several clients at once nothing is lost (T172)", async (t) => {
  const { source, context } = await started(t);
  const sent: string[] = [];
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const client = await clientOf(t, source.port);
      for (let j = 0; j < 50; j++) {
        sent.push(`${i}.${j}`);
        await client.append(events(`${i}.${j}`));
      }
    }),
  );
  assert.deepEqual(bodies(context.batches).sort(), sent.sort());
  assert.equal(sent.length, 500);
});

test("a channel that throws is FAILED for append and appendBatch, counted twice, and the next is served (T173)", async (t) => {
  let full = true;
  const { source, context } = await started(t, async () => {
    if (full) throw new MillraceError("CHANNEL_FULL", "no room for 1 event");
  });
  const client = await clientOf(t, source.port);
  await assert.rejects(client.append(events("a")), { code: "RPC_STATUS_FAILED" });
  await assert.rejects(client.appendBatch(events("a")), { code: "RPC_STATUS_FAILED" });
  assert.equal(context.counters.ChannelWriteFail, 2);
  assert.equal(context.counters.EventAcceptedCount, 0);
  full = false;
  await client.appendBatch(events("a"));
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("what is unexpected is an internal error for append and appendBatch", async (t) => {
  const { source, context } = await started(t, async () => {
    throw new TypeError("a mistake of ours");
  });
  const client = await clientOf(t, source.port);
  for (const call of ["append", "appendBatch"] as const) {
    await assert.rejects(client[call](events("a")), {
      code: "RPC_SYSTEM_ERROR",
      message: new RegExp(`Internal error processing ${call} `),
    });
  }
  const { ChannelWriteFail, GenericProcessingFail } = context.counters;
  assert.equal(ChannelWriteFail + GenericProcessingFail, 2);
});

test("the sender is told OK only when the channels have committed", async (t) => {
  let commit: (() => void) | undefined;
  const { source } = await started(t, () => new Promise((resolve) => (commit = resolve)));
  const client = await clientOf(t, source.port);
  let answered = false;
  const call = client.appendBatch(events("a")).then(() => (answered = true));
  await waitFor("the batch to be processed", () => commit !== undefined);
  assert.equal(answered, false);
  commit?.();
  await within("the answer", call);
});

test("what cannot be read is counted, logged with the sender's address, and stored nowhere", async (t) => {
  const { source, context } = await started(t);
  const socket = connect(source.port, "127.0.0.1");
  t.after(() => socket.destroy());
  await once(socket, "connect");
  socket.write(Buffer.from("0000000480010001", "hex"));
  socket.resume();
  await within("the end", once(socket, "end"));
  assert.equal(context.counters.EventReadFail, 1);
  assert.equal(context.metrics.value("millrace_source_malformed_requests_total"), 1);
  assert.deepEqual(context.batches, []);
});

test("protocol = Binary speaks compact, as Flume's does, and says so", async (t) => {
  const { source, context } = await started(t, undefined, { protocol: "Binary" });
  await (await clientOf(t, source.port, "compact")).append(events("a"));
  assert.deepEqual(bodies(context.batches), ["a"]);
  const warnings = context.log.lines.filter(({ level }) => level === "warn");
  assert.match(
    warnings[0]?.message ?? "",
    /protocol = Binary is the compact protocol, as in Flume/,
  );
});

for (const { name, properties, problem } of [
  { name: "kerberos", properties: { kerberos: "true" }, problem: "kerberos" },
  { name: "an unknown protocol", properties: { protocol: "json" }, problem: "protocol" },
  { name: "ssl without a keystore", properties: { ssl: "true" }, problem: "keystore" },
]) {
  test(`${name} is refused by check`, () => {
    const values = optionsOf(options, { bind: "h", port: "1", ...(properties as object) });
    assert.deepEqual(
      checkOptions(values).map(({ key }) => key),
      [problem],
    );
  });
}

test("threads and the Kerberos names are accepted with a note; without bind and port it is refused", () => {
  const given = { threads: "8", "agent-principal": "flume/_HOST", "agent-keytab": "/k" };
  const parsed = parseOptions(options, new Map(Object.entries(given)));
  assert.deepEqual(parsed.notes.map(({ key }) => key).sort(), Object.keys(given).sort());
  assert.deepEqual(
    parsed.problems.map(({ key }) => key),
    ["bind", "port"],
  );
});

test("the definition makes the source", async () => {
  const values = optionsOf(options, { bind: "127.0.0.1", port: "0" });
  const source = await definition.create(values, sourceContext());
  await source.stop(now);
});
