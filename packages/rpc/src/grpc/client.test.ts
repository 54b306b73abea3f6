import { EventBatch, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  createTcpProxy,
  settle,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { createAvroServer } from "../avro/server.ts";
import type { EventClientOptions } from "../wire/event-client.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { encodeAck } from "./call.ts";
import { createGrpcClient } from "./client.ts";
import { encodeMessage, MessageDecoder } from "./frame.ts";
import { statusCode } from "./protocol.ts";
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

/** A gRPC server of bytes: `answer` gets each whole message of each stream. */
async function rawServer(
  t: TestContext,
  answer: (stream: ServerHttp2Stream, messageCount: number, end: EndCall) => void,
  begin: (stream: ServerHttp2Stream, end: EndCall) => void = respond,
) {
  const server = createHttp2Server();
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => sockets.push(socket));
  server.on("stream", (stream: ServerHttp2Stream) => {
    const end: EndCall = (code, message = "") => {
      stream.once("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": String(code), "grpc-message": message }),
      );
      stream.end();
    };
    stream.on("error", () => {});
    begin(stream, end);
    const decoder = new MessageDecoder(1 << 24);
    let count = 0;
    stream.on("data", (chunk: Buffer) => {
      decoder.push(chunk);
      while (decoder.next() !== undefined) answer(stream, ++count, end);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}
type EndCall = (code: number, message?: string) => void;
function respond(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
}
const ack = (id: number): Buffer => encodeMessage(encodeAck(id));
const codesOf = (results: readonly PromiseSettledResult<void>[]): string[] =>
  results.map((result) =>
    result.status === "rejected" ? (result.reason as { code: string }).code : "OK",
  );

/** A server that takes connections and says nothing. */
async function silentServer(t: TestContext) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
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
  assert.deepEqual(codesOf(results), [
    "OK",
    "OK",
    "RPC_STATUS_FAILED",
    "RPC_CONNECTION_LOST",
    "RPC_CONNECTION_LOST",
  ]);
  assert.deepEqual(seen, ["a", "b", "bad"]);
  assert.equal(client.alive, true);
  await client.appendBatch(events("e"));
  assert.deepEqual(seen, ["a", "b", "bad", "e"]);
});

test("a batch over many slabs, sliced and joined, arrives byte for byte", async (t) => {
  let received = EventBatch.empty;
  const { port } = await listening(t, {
    handler: (batch) => {
      received = batch;
      return Promise.resolve("OK");
    },
  });
  const client = clientOf(t, port);
  await client.connect();
  const sent = EventBatch.join(
    Array.from({ length: 20 }, (_, i) =>
      EventBatch.fromEvents(
        Array.from({ length: 50 }, (_, j) => ({
          headers: new Map([["part", `${i}.${j}`]]),
          body: Buffer.alloc(i * 50 + j, j),
        })),
      ).slice(i, 50 - i),
    ),
  );
  await client.appendBatch(sent);
  assert.equal(received.length, sent.length);
  assert.deepEqual(Buffer.concat(received.gather()), Buffer.concat(sent.gather()));
});

test("one Ack settles every batch up to its own", async (t) => {
  const { port } = await rawServer(t, (stream, count) => {
    if (count === 3) stream.write(ack(3));
    if (count === 4) stream.write(Buffer.concat([ack(3), ack(4)]));
  });
  const client = clientOf(t, port);
  await client.connect();
  const calls = ["a", "b", "c"].map((body) => client.appendBatch(events(body)));
  await within("three Acks in one", Promise.all(calls));
  await within("the fourth", client.appendBatch(events("d")));
});

test("Acks that come together with the end of the stream are all heard", async (t) => {
  const { port } = await rawServer(t, (stream, count, end) => {
    if (count !== 3) return;
    stream.write(Buffer.concat([ack(1), ack(2)]));
    end(statusCode.RESOURCE_EXHAUSTED, "full");
  });
  for (let round = 0; round < 20; round++) {
    const client = clientOf(t, port);
    await client.connect();
    const calls = ["a", "b", "c"].map((body) => client.appendBatch(events(body)));
    const results = await within("the answers", Promise.allSettled(calls));
    assert.deepEqual(codesOf(results), ["OK", "OK", "RPC_STATUS_FAILED"]);
    client.close();
  }
});

const ends: readonly { code: number; first: string; behind: string; alive: boolean }[] = [
  { code: statusCode.RESOURCE_EXHAUSTED, first: "RPC_STATUS_FAILED", behind: "RPC_CONNECTION_LOST", alive: true },
  { code: statusCode.INVALID_ARGUMENT, first: "RPC_SYSTEM_ERROR", behind: "RPC_CONNECTION_LOST", alive: true },
  { code: statusCode.INTERNAL, first: "RPC_SYSTEM_ERROR", behind: "RPC_CONNECTION_LOST", alive: true },
  { code: 7, first: "RPC_SYSTEM_ERROR", behind: "RPC_CONNECTION_LOST", alive: true },
  { code: statusCode.DEADLINE_EXCEEDED, first: "RPC_TIMEOUT", behind: "RPC_TIMEOUT", alive: false },
  { code: statusCode.UNAVAILABLE, first: "RPC_CONNECTION_LOST", behind: "RPC_CONNECTION_LOST", alive: false },
  { code: statusCode.CANCELLED, first: "RPC_CONNECTION_LOST", behind: "RPC_CONNECTION_LOST", alive: false },
  { code: statusCode.OK, first: "RPC_CONNECTION_LOST", behind: "RPC_CONNECTION_LOST", alive: false },
]; // prettier-ignore
for (const { code, first, behind, alive } of ends) {
  test(`a stream that ends with status ${code} is ${first}, and the client is ${alive ? "alive" : "dead"}`, async (t) => {
    const { port } = await rawServer(t, (_, count, end) => {
      if (count === 2) end(code, "why it did");
    });
    const client = clientOf(t, port);
    await client.connect();
    const calls = ["a", "b"].map((body) => client.appendBatch(events(body)));
    const results = await within("the answers", Promise.allSettled(calls));
    assert.deepEqual(codesOf(results), [first, behind]);
    assert.match((results[0] as PromiseRejectedResult).reason.message, /why it did/);
    assert.equal(client.alive, alive);
  });
}

test("a server that drains makes the client dead; what had no Ack is RPC_CONNECTION_LOST", async (t) => {
  let release = (): void => {};
  const server = await listening(t, {
    handler: async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return "OK";
    },
  });
  const client = clientOf(t, server.port);
  await client.connect();
  const calls = ["a", "b"].map((body) => client.appendBatch(events(body)));
  await settle(20);
  const stopped = server.stop(never);
  release();
  const results = await within("the answers", Promise.allSettled(calls));
  assert.deepEqual(codesOf(results), ["OK", "RPC_CONNECTION_LOST"]);
  assert.match((results[1] as PromiseRejectedResult).reason.message, /draining/);
  assert.equal(client.alive, false);
  await within("stop", stopped);
  await assert.rejects(client.appendBatch(events("c")), { code: "RPC_CONNECTION_LOST" });
});

const strange: readonly { name: string; bytes: Buffer; says: RegExp }[] = [
  { name: "an Ack of a batch that was not sent", bytes: ack(2), says: /an Ack of 2; 1 was the last/ },
  { name: "an Ack that is none", bytes: encodeMessage(Buffer.from("ffff", "hex")), says: /not a message/ },
]; // prettier-ignore
for (const { name, bytes, says } of strange) {
  test(`${name} is RPC_REPLY_MALFORMED, and the client is dead`, async (t) => {
    const { port } = await rawServer(t, (stream) => void stream.write(bytes));
    const client = clientOf(t, port);
    await client.connect();
    await assert.rejects(within("the answer", client.appendBatch(events("a"))), {
      code: "RPC_REPLY_MALFORMED",
      message: says,
    });
    assert.equal(client.alive, false);
  });
}

test("a connection that is not there within the connect timeout is RPC_CONNECT_FAILED", async (t) => {
  const { port, sockets } = await silentServer(t);
  const clock = createFakeClock();
  const client = clientOf(t, port, { clock });
  const connecting = client.connect();
  await waitFor("the connection", () => sockets.length === 1);
  const closed = once(sockets[0] as Socket, "close");
  await Promise.all([
    assert.rejects(connecting, {
      code: "RPC_CONNECT_FAILED",
      message: `no connection to 127.0.0.1:${port}: no answer within 5000 ms`,
    }),
    clock.advance(5000),
  ]);
  await within("the socket's end", closed);
});

test("a server of another service, and one of Avro, are RPC_CONNECT_FAILED", async (t) => {
  const { port } = await rawServer(
    t,
    () => {},
    (stream) =>
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "12", "grpc-message": "no such method" },
        { endStream: true },
      ),
  ); // prettier-ignore
  await assert.rejects(within("the refusal", clientOf(t, port).connect()), {
    code: "RPC_CONNECT_FAILED",
    message: /no such method/,
  });
  const avro = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler: () => Promise.resolve("OK"),
  });
  await avro.start(never);
  t.after(() => avro.stop(now));
  const client = clientOf(t, avro.port, { connectTimeoutMs: 500 });
  await assert.rejects(within("the refusal", client.connect()), { code: "RPC_CONNECT_FAILED" });
});

test("no answer within the request timeout is RPC_TIMEOUT for all in flight, and the socket is gone", async (t) => {
  const clock = createFakeClock();
  let received = 0;
  const { port, sockets } = await rawServer(t, () => received++);
  const client = clientOf(t, port, { clock, requestTimeoutMs: 2000 });
  await client.connect();
  const calls = ["a", "b"].map((body) => client.appendBatch(events(body)));
  const settled = Promise.allSettled(calls);
  await waitFor("both batches", () => received === 2);
  const closed = once(sockets[0] as Socket, "close");
  await clock.advance(2000);
  assert.deepEqual(codesOf(await within("the answers", settled)), ["RPC_TIMEOUT", "RPC_TIMEOUT"]);
  assert.equal(client.alive, false);
  await within("the socket's end", closed);
});

test("a peer that is gone without a word is RPC_TIMEOUT, and its half-open connection is closed", async (t) => {
  const server = await listening(t, {});
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  const client = clientOf(t, proxy.port, { requestTimeoutMs: 1000 });
  await client.connect();
  await client.appendBatch(events("a"));
  await proxy.setMode("stall");
  await assert.rejects(within("the timeout", client.appendBatch(events("b"))), {
    code: "RPC_TIMEOUT",
  });
  await proxy.setMode("pass");
  await waitFor("the server to be rid of it", () => server.connectionCount === 0);
});

test("a connection that is cut is RPC_CONNECTION_LOST for all in flight", async (t) => {
  const server = await listening(t, { handler: () => new Promise(() => {}) });
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  const client = clientOf(t, proxy.port);
  await client.connect();
  const settled = Promise.allSettled(["a", "b"].map((body) => client.appendBatch(events(body))));
  await settle(20);
  assert.equal(proxy.cut(), 1);
  assert.deepEqual(codesOf(await within("the answers", settled)), [
    "RPC_CONNECTION_LOST",
    "RPC_CONNECTION_LOST",
  ]);
  assert.equal(client.alive, false);
});

test("close while connecting and close while sending settle everything at once", async (t) => {
  const silent = await silentServer(t);
  const connecting = clientOf(t, silent.port);
  const failed = assert.rejects(connecting.connect(), {
    code: "RPC_CONNECT_FAILED",
    message: /because/,
  });
  connecting.close("because");
  await within("the connect", failed);
  const server = await listening(t, { handler: () => new Promise(() => {}) });
  const client = clientOf(t, server.port);
  await client.connect();
  const call = client.appendBatch(events("a"));
  client.close("enough");
  client.close("again");
  await assert.rejects(within("the call", call), {
    code: "RPC_CONNECTION_LOST",
    message: /enough/,
  });
  await waitFor("the connection to close", () => server.connectionCount === 0);
});

test("a connection that is there only after the client was closed is closed too", async (t) => {
  const ended: Promise<unknown>[] = [];
  const server = createServer((socket) => {
    ended.push(once(socket.on("error", () => {}).resume(), "close"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const client = clientOf(t, (server.address() as AddressInfo).port);
  const connecting = assert.rejects(client.connect(), { code: "RPC_CONNECT_FAILED" });
  client.close();
  await connecting;
  await waitFor("the connection", () => ended.length === 1);
  await within("the end of the connection", Promise.all(ended));
});

test("two clients of one server are two connections", async (t) => {
  const server = await listening(t, {});
  const clients = [clientOf(t, server.port), clientOf(t, server.port)];
  for (const client of clients) await client.connect();
  assert.equal(server.connectionCount, 2);
});
