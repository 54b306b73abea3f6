import { MillraceError, systemClock } from "@millrace/core";
import type { EventClient } from "@millrace/rpc";
import { createGrpcClient } from "@millrace/rpc/grpc";
import {
  createCollectingLog,
  numberedBatch,
  numbersOf,
  optionsOf,
  sourceContext,
  sourceContract,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { createGrpcSource } from "./grpc-source.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

const optionsWith = (properties: Record<string, string> = {}) =>
  optionsOf(options, { bind: "127.0.0.1", port: "0", ...properties });

sourceContract("the grpc source", () => createGrpcSource(optionsWith(), sourceContext()));

async function clientOf(t: TestContext, port: number): Promise<EventClient> {
  const client = createGrpcClient({
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
  });
  t.after(() => client.close());
  await client.connect();
  return client;
}

test("a batch is acknowledged when the channels have it, and counted", async (t) => {
  const context = sourceContext();
  const source = createGrpcSource(optionsWith(), context);
  await source.start(never);
  t.after(() => source.stop(now));
  const client = await clientOf(t, source.port);
  await client.appendBatch(numberedBatch(1, 5));
  await client.append(numberedBatch(6, 6));
  assert.deepEqual(context.batches.flatMap(numbersOf), [1, 2, 3, 4, 5, 6]);
  const { AppendBatchReceivedCount, AppendBatchAcceptedCount, EventReceivedCount } =
    context.counters;
  assert.deepEqual(
    [AppendBatchReceivedCount, AppendBatchAcceptedCount, EventReceivedCount],
    [2, 2, 6],
  );
  assert.equal(context.counters.OpenConnectionCount, 1);
  client.close();
  await waitFor("the connection to close", () => context.counters.OpenConnectionCount === 0);
});

test("a full channel is RPC_STATUS_FAILED, an unexpected error RPC_SYSTEM_ERROR; the sender goes on", async (t) => {
  const answers = [new MillraceError("CHANNEL_FULL", "c1 is full"), new TypeError("x is no y")];
  const context = sourceContext({
    channelProcessor: {
      processEventBatch() {
        const error = answers.shift();
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      },
    },
  });
  const source = createGrpcSource(optionsWith(), context);
  await source.start(never);
  t.after(() => source.stop(now));
  const client = await clientOf(t, source.port);
  await assert.rejects(client.appendBatch(numberedBatch(1, 1)), { code: "RPC_STATUS_FAILED" });
  await assert.rejects(client.appendBatch(numberedBatch(1, 1)), {
    code: "RPC_SYSTEM_ERROR",
    message: /x is no y/,
  });
  await client.appendBatch(numberedBatch(1, 1));
  assert.equal(context.counters.ChannelWriteFail, 2);
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("what is no gRPC is counted, and the others go on", async (t) => {
  const context = sourceContext();
  const source = createGrpcSource(optionsWith(), context);
  await source.start(never);
  t.after(() => source.stop(now));
  const client = await clientOf(t, source.port);
  const socket = connect(source.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".padEnd(100));
  await waitFor("the request to be counted", () => context.counters.EventReadFail === 1);
  await client.appendBatch(numberedBatch(1, 2));
});

test("one connection over maxConnections is refused and counted", async (t) => {
  const context = sourceContext();
  const source = createGrpcSource(optionsWith({ maxConnections: "1" }), context);
  await source.start(never);
  t.after(() => source.stop(now));
  const client = await clientOf(t, source.port);
  await assert.rejects(clientOf(t, source.port), { code: "RPC_CONNECT_FAILED" });
  await client.appendBatch(numberedBatch(1, 1));
  assert.ok(
    (context.metrics.value("millrace_source_refused_connections_total", { reason: "limit" }) ??
      0) >= 1,
  );
});
