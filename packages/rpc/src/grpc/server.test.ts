import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EventBatch, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  createTcpProxy,
  numberedBatch,
  numbersOf,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { test, type TestContext } from "node:test";
import type { EventHandler, EventServerOptions } from "../wire/event-server.ts";
import { decodeAck, encodeDelivery } from "./call.ts";
import { encodeMessage, MessageDecoder } from "./frame.ts";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
} from "./generated/grpc/health/v1/health_pb.ts";
import {
  appendPath,
  deliverPath,
  healthCheckPath,
  healthWatchPath,
  serviceName,
  statusCode,
} from "./protocol.ts";
import { createGrpcServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const ok: EventHandler = () => Promise.resolve("OK");

async function listening(t: TestContext, options: Partial<EventServerOptions> = {}) {
  const malformed: string[] = [];
  const log = createCollectingLog();
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log,
    handler: ok,
    ...options,
    observer: { requestMalformed: (error) => malformed.push(error.code), ...options.observer },
  });
  await server.start(never);
  t.after(() => server.stop(now));
  return { server, port: server.port, malformed, log };
}

async function sessionTo(t: TestContext, port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  t.after(() => session.destroy());
  await within("a connection", once(session, "remoteSettings"));
  return session;
}

interface RawCall {
  readonly stream: ClientHttp2Stream;
  readonly messages: Buffer[];
  readonly headers: Promise<IncomingHttpHeaders>;
  /** The status, from the trailers or the headers; -1 when the stream ended without one. */
  readonly status: Promise<{ code: number; message: string }>;
  acks(): number[];
  send(id: number, batch: EventBatch): void;
}

function call(session: ClientHttp2Session, path: string, extra: OutgoingHttpHeaders = {}): RawCall {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...extra,
  });
  const decoder = new MessageDecoder(1 << 20);
  const messages: Buffer[] = [];
  let answered: IncomingHttpHeaders = {};
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    decoder.push(chunk);
    for (let m = decoder.next(); m !== undefined; m = decoder.next()) messages.push(m);
  });
  const headers = new Promise<IncomingHttpHeaders>((resolve) =>
    stream.on("response", (given) => {
      answered = { ...answered, ...given };
      resolve(given);
    }),
  );
  stream.on("trailers", (trailers) => (answered = { ...answered, ...trailers }));
  const status = new Promise<{ code: number; message: string }>((resolve) => {
    const settle = (): void =>
      resolve({
        code: Number(answered["grpc-status"] ?? -1),
        message: decodeURIComponent(String(answered["grpc-message"] ?? "")),
      });
    stream.on("end", settle);
    stream.on("close", settle);
  });
  return {
    stream,
    messages,
    headers,
    status,
    acks: () => messages.map(decodeAck),
    send: (id, batch) => void stream.write(encodeMessage(encodeDelivery({ id, batch }))),
  };
}

const deliver = (session: ClientHttp2Session, extra?: OutgoingHttpHeaders): RawCall =>
  call(session, deliverPath, extra);

test("headers come before a batch is sent, Acks in order, and OK when the client has ended", async (t) => {
  const seen: number[] = [];
  const { port } = await listening(t, {
    handler: (batch) => {
      seen.push(...numbersOf(batch));
      return Promise.resolve("OK");
    },
  });
  const { headers, send, status, stream, acks } = deliver(await sessionTo(t, port));
  const { ":status": http, "content-type": type } = await within("headers", headers);
  assert.deepEqual([http, type], [200, "application/grpc"]);
  send(3, numberedBatch(1, 2));
  send(4, EventBatch.empty);
  send(900, numberedBatch(3, 5));
  stream.end();
  assert.deepEqual(await within("the status", status), { code: 0, message: "" });
  assert.deepEqual(acks(), [3, 4, 900]);
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
});

test("batches are handed on one at a time, and requestsInFlight are read ahead", async (t) => {
  const waiting: (() => void)[] = [];
  let most = 0;
  let running = 0;
  const { port } = await listening(t, {
    limits: { requestsInFlight: 3 },
    handler: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => waiting.push(resolve));
      running--;
      return "OK";
    },
  });
  const { send, acks, stream } = deliver(await sessionTo(t, port));
  const large = EventBatch.fromEvents([{ body: Buffer.alloc(400_000) }]);
  for (let id = 1; id <= 20; id++) send(id, large);
  await waitFor("the first batch", () => waiting.length === 1);
  // 8 MB were written; what is not read stays with the client.
  await waitFor("flow control to hold the client", () => stream.writableLength > 4_000_000);
  assert.deepEqual(acks(), []);
  for (let n = 1; n <= 20; n++) {
    await waitFor(`batch ${n}`, () => waiting.length === 1);
    waiting.shift()?.();
  }
  await waitFor("all Acks", () => acks().length === 20);
  assert.equal(most, 1);
});

test("the first batch that is not stored ends the stream; those behind it are not handed on", async (t) => {
  const seen: number[] = [];
  const { port, malformed } = await listening(t, {
    handler: async (batch) => {
      seen.push(...numbersOf(batch));
      return seen.at(-1) === 3 ? "FAILED" : "OK";
    },
  });
  const session = await sessionTo(t, port);
  const { send, acks, status } = deliver(session);
  for (let n = 1; n <= 6; n++) send(n, numberedBatch(n, n));
  const { code, message } = await within("the status", status);
  assert.equal(code, statusCode.RESOURCE_EXHAUSTED);
  assert.match(message, /could not store this batch of 1 events/);
  assert.deepEqual(acks(), [1, 2]);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(malformed, []);
  const again = deliver(session);
  again.send(1, numberedBatch(7, 7));
  await waitFor("an Ack on the same connection", () => again.acks().length === 1);
});

test("what the handler throws is INTERNAL, with its words in any language, and logged", async (t) => {
  const { port, log } = await listening(t, {
    handler: () => Promise.reject(new Error("100 % schief: ü\n")),
  });
  const { send, status } = deliver(await sessionTo(t, port));
  send(1, numberedBatch(1, 1));
  const { code, message } = await within("the status", status);
  assert.equal(code, statusCode.INTERNAL);
  assert.equal(message, "UNEXPECTED: 100 % schief: ü\n");
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 1);
});

const twoEvents = encodeDelivery({ id: 5, batch: numberedBatch(1, 2) });
const hostile: readonly {
  name: string;
  bytes: Buffer;
  code: number;
  says: RegExp;
  counts: string;
}[] = [
  { name: "a slab that is no event", bytes: encodeMessage(Buffer.from("0a02ffff10011805", "hex")), code: 3, says: /EVENT_MALFORMED/, counts: "EVENT_MALFORMED" },
  { name: "a count that is not the slab's", bytes: encodeMessage(Buffer.concat([twoEvents, Buffer.from("1003", "hex")])), code: 3, says: /EVENT_MALFORMED: 3 events|cut off|fit/, counts: "EVENT_MALFORMED" },
  { name: "no Protocol Buffers", bytes: encodeMessage(Buffer.from("ffffff")), code: 3, says: /CALL_MALFORMED/, counts: "CALL_MALFORMED" },
  { name: "an id that does not rise", bytes: encodeMessage(encodeDelivery({ id: 1, batch: numberedBatch(1, 1) })), code: 3, says: /behind batch 1: ids must rise/, counts: "CALL_MALFORMED" },
  { name: "a message over maxFrameBytes", bytes: Buffer.from("0000100001", "hex"), code: 3, says: /FRAME_TOO_LARGE: .* 1048577 .* 1048576/, counts: "FRAME_TOO_LARGE" },
  { name: "a compressed message", bytes: Buffer.from("010000000100", "hex"), code: 3, says: /uncompressed/, counts: "FRAME_MALFORMED" },
]; // prettier-ignore

for (const { name, bytes, code, says, counts } of hostile) {
  test(`${name} ends the stream behind the Ack before it, is counted, and nothing is stored`, async (t) => {
    const seen: number[] = [];
    const { port, malformed } = await listening(t, {
      limits: { maxFrameBytes: 1 << 20 },
      handler: async (batch) => {
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(...numbersOf(batch));
        return "OK";
      },
    });
    const session = await sessionTo(t, port);
    const other = deliver(session);
    const { stream, send, status, acks } = deliver(session);
    send(1, numberedBatch(9, 9));
    stream.write(bytes);
    send(6, numberedBatch(10, 10));
    const given = await within("the status", status);
    assert.equal(given.code, code);
    assert.match(given.message, says);
    assert.deepEqual(acks(), [1]);
    assert.deepEqual(malformed, [counts]);
    other.send(1, numberedBatch(11, 11));
    await waitFor("the other stream's Ack", () => other.acks().length === 1);
    assert.deepEqual(seen, [9, 11]);
  });
}

test("a client that ends in the middle of a message is told so", async (t) => {
  const { port, malformed } = await listening(t);
  const { stream, status } = deliver(await sessionTo(t, port));
  stream.end(Buffer.from("00000000ff0102", "hex"));
  assert.equal((await within("the status", status)).code, statusCode.INVALID_ARGUMENT);
  assert.deepEqual(malformed, ["FRAME_MALFORMED"]);
});

test("a stream that is cut in the middle of a message is not held against the peer", async (t) => {
  const { port, malformed, server } = await listening(t);
  const session = await sessionTo(t, port);
  const { stream, headers } = deliver(session);
  await headers;
  await new Promise((resolve) => stream.write(Buffer.from("00000000ff0102", "hex"), resolve));
  session.destroy();
  await waitFor("the connection to close", () => server.connectionCount === 0);
  assert.deepEqual(malformed, []);
});

test("a stream that is opened and reset in one piece harms nobody", async (t) => {
  const { port } = await listening(t);
  const other = deliver(await sessionTo(t, port));
  const frame = (type: number, flags: number, id: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, payload]);
  };
  const field = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]);
  const headers = Buffer.concat([
    field(":method", "POST"),
    field(":scheme", "http"),
    field(":path", deliverPath),
    field("content-type", "application/grpc"),
  ]);
  const opening = [
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(4, 0, 0, Buffer.alloc(0)),
  ];
  const headersFrame = frame(1, 4, 1, headers);
  const reset = [headersFrame, frame(3, 0, 1, Buffer.from("00000008", "hex"))];
  // The end of the connection instead of the stream's: a frame that breaks the protocol.
  const broken = [frame(1, 4, 3, headers), frame(0, 0, 0, Buffer.from("x"))];
  const kinds = [
    [...opening, ...reset],
    [...opening, ...broken],
    [...opening, ...reset, ...broken],
    [...opening, headersFrame],
  ].map((bytes) => Buffer.concat(bytes));
  const sockets = Array.from({ length: 200 }, (_, i) => {
    const socket = connectTcp(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    const answered = once(socket, "data");
    socket.end(kinds[i % kinds.length] as Buffer);
    return answered;
  });
  await within("the server's settings", Promise.all(sockets));
  other.send(1, numberedBatch(1, 1));
  await waitFor("the other stream's Ack", () => other.acks().length === 1);
});

const refusals: readonly {
  name: string;
  path?: string;
  extra?: OutgoingHttpHeaders;
  http?: number;
  code: number;
}[] = [
  { name: "a method that is not there", path: `/${serviceName}/Fetch`, code: 12 },
  { name: "another service", path: "/x.Y/Deliver", code: 12 },
  { name: "compressed messages", extra: { "grpc-encoding": "gzip" }, code: 12 },
  { name: "a GET", extra: { ":method": "GET" }, http: 415, code: -1 },
  { name: "another content type", extra: { "content-type": "text/plain" }, http: 415, code: -1 },
];
for (const { name, path = deliverPath, extra = {}, http = 200, code } of refusals) {
  test(`${name} is refused with ${code < 0 ? `HTTP ${http}` : `status ${code}`}`, async (t) => {
    const { port } = await listening(t);
    const { headers, status } = call(await sessionTo(t, port), path, extra);
    assert.equal((await within("headers", headers))[":status"], http);
    assert.equal((await within("the status", status)).code, code);
  });
}

test("Append stores one batch, whatever its id", async (t) => {
  const seen: number[] = [];
  const { port } = await listening(t, {
    handler: async (batch) => {
      seen.push(...numbersOf(batch));
      return seen.length > 2 ? "FAILED" : "OK";
    },
  });
  const session = await sessionTo(t, port);
  for (const [id, want] of [
    [0, 0],
    [77, 0],
    [5, statusCode.RESOURCE_EXHAUSTED],
  ] as const) {
    // prettier-ignore
    const { send, stream, status, acks } = call(session, appendPath);
    send(id, numberedBatch(id, id));
    stream.end();
    assert.equal((await within("the status", status)).code, want);
    assert.deepEqual(acks(), want === 0 ? [id] : []);
  }
  const none = call(session, appendPath);
  none.stream.end();
  assert.equal((await within("the status", none.status)).code, statusCode.INVALID_ARGUMENT);
  assert.deepEqual(seen, [0, 77, 5]);
});

const healthRequest = (service: string): Buffer =>
  encodeMessage(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
const servingOf = (messages: readonly Buffer[]): number[] =>
  messages.map((message) => fromBinary(HealthCheckResponseSchema, message).status);

test("health: Check says SERVING for the server and the service, NOT_FOUND for others", async (t) => {
  const { port } = await listening(t);
  const session = await sessionTo(t, port);
  for (const [service, code] of [
    ["", 0],
    [serviceName, 0],
    ["x.Y", 5],
  ] as const) {
    // prettier-ignore
    const { stream, status, messages } = call(session, healthCheckPath);
    stream.end(healthRequest(service));
    assert.equal((await within("the status", status)).code, code);
    assert.deepEqual(servingOf(messages), code === 0 ? [ServingStatus.SERVING] : []);
  }
  const broken = call(session, healthCheckPath);
  broken.stream.end(encodeMessage(Buffer.from("ffff", "hex")));
  assert.equal((await within("the status", broken.status)).code, statusCode.INVALID_ARGUMENT);
});

test("health: Watch says SERVING at once and NOT_SERVING when the server drains", async (t) => {
  const release: (() => void)[] = [];
  const { port, server } = await listening(t, {
    handler: async () => {
      await new Promise<void>((resolve) => release.push(resolve));
      return "OK";
    },
  });
  const session = await sessionTo(t, port);
  const watch = call(session, healthWatchPath);
  watch.stream.write(healthRequest(serviceName));
  const unknown = call(session, healthWatchPath);
  unknown.stream.write(healthRequest("x.Y"));
  await waitFor("the first answers", () => watch.messages.length + unknown.messages.length === 2);
  assert.deepEqual(servingOf(unknown.messages), [ServingStatus.SERVICE_UNKNOWN]);
  const { send, acks, status } = deliver(session);
  send(1, numberedBatch(1, 1));
  send(2, numberedBatch(2, 2));
  await waitFor("the handler", () => release.length === 1);
  const stopped = server.stop(never);
  await waitFor("NOT_SERVING", () => watch.messages.length === 2);
  assert.deepEqual(servingOf(watch.messages), [ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
  release.shift()?.();
  const { code, message } = await within("the status", status);
  assert.equal(code, statusCode.UNAVAILABLE);
  assert.match(message, /draining/);
  assert.deepEqual(acks(), [1]);
  assert.equal(release.length, 0, "the second batch was not started");
  await within("stop", stopped);
  assert.equal((await watch.status).code, statusCode.UNAVAILABLE);
});

test("stop gives up at its deadline, and the port is free", async (t) => {
  const { server, port } = await listening(t, { handler: () => new Promise(() => {}) });
  const { send, status } = deliver(await sessionTo(t, port));
  send(1, numberedBatch(1, 1));
  const deadline = new AbortController();
  const stopped = server.stop(deadline.signal);
  deadline.abort();
  await within("stop", stopped);
  assert.equal((await status).code, -1);
  const { port: again } = await listening(t, { port });
  assert.equal(again, port);
});

test("a message that does not end in time ends its stream, not the connection", async (t) => {
  const clock = createFakeClock();
  const { port, malformed } = await listening(t, { clock, limits: { messageTimeoutMs: 4000 } });
  const session = await sessionTo(t, port);
  const slow = deliver(session);
  const quiet = deliver(session);
  await slow.headers;
  slow.stream.write(Buffer.from("00000000ff01", "hex"));
  let ended = false;
  void slow.status.then(() => (ended = true));
  for (let second = 0; second < 6 && !ended; second++) {
    slow.stream.write(Buffer.from([1]));
    await clock.advance(1000);
  }
  await waitFor("the slow stream to end", async () => {
    await clock.advance(1000);
    return ended;
  });
  assert.equal((await slow.status).code, statusCode.DEADLINE_EXCEEDED);
  assert.deepEqual(malformed, ["FRAME_MALFORMED"]);
  quiet.send(1, numberedBatch(1, 1));
  await waitFor("an Ack on the other stream", () => quiet.acks().length === 1);
});

test("a connection that never says HTTP/2 is closed in time; an idle one is told to go", async (t) => {
  const clock = createFakeClock();
  const { port, server, malformed } = await listening(t, {
    clock,
    limits: { messageTimeoutMs: 4000, idleTimeoutMs: 20_000 },
  });
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => {});
  const closed = once(socket.resume(), "close");
  socket.write("PRI * HT");
  const idle = deliver(await sessionTo(t, port));
  await idle.headers;
  await waitFor("both connections", () => server.connectionCount === 2);
  await clock.advance(6000);
  await within("the silent connection's end", closed);
  assert.deepEqual(malformed, ["FRAME_MALFORMED"]);
  assert.equal(server.connectionCount, 1);
  await clock.advance(30_000);
  assert.equal((await within("the status", idle.status)).code, statusCode.UNAVAILABLE);
  await waitFor("the idle connection's end", async () => {
    await clock.advance(1000);
    return server.connectionCount === 0;
  });
});

test("a client that is gone without a word is closed when it gives no sign of life; one that is there stays", async (t) => {
  const clock = createFakeClock();
  const { port, server } = await listening(t, { clock });
  const proxy = await createTcpProxy({ host: "127.0.0.1", port });
  t.after(() => proxy.close());
  await deliver(await sessionTo(t, proxy.port)).headers;
  const there = deliver(await sessionTo(t, port));
  await there.headers;
  await proxy.setMode("stall");
  assert.equal(server.connectionCount, 2);
  await waitFor("the end of one", async () => {
    await clock.advance(5000);
    return server.connectionCount < 2;
  });
  for (let round = 0; round < 20; round++) {
    await clock.advance(15_000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  there.send(1, numberedBatch(1, 1));
  await waitFor("its Ack", () => there.acks().length === 1);
  assert.equal(server.connectionCount, 1);
});

test("a client that reads no Acks is read no further, and the others go on", async (t) => {
  let batches = 0;
  const { port } = await listening(t, {
    handler: () => {
      batches++;
      return Promise.resolve("OK");
    },
  });
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 20 } });
  session.on("error", () => {});
  t.after(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": deliverPath,
    "content-type": "application/grpc",
  });
  stream.on("error", () => {});
  stream.pause();
  // Small enough to fit into what flow control lets through, so only unread Acks can hold them.
  const id = (n: number): Buffer =>
    encodeMessage(encodeDelivery({ id: n, batch: EventBatch.empty }));
  for (let n = 1; n <= 20_000; n++) stream.write(id(n));
  let seen = -1;
  await waitFor("the server to stop reading", async () => {
    const still = batches === seen && batches > 0;
    seen = batches;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return still;
  });
  assert.ok(batches < 20_000, `${batches} batches were taken`);
  const other = deliver(await sessionTo(t, port));
  other.send(1, numberedBatch(1, 1));
  await waitFor("the other's Ack", () => other.acks().length === 1);
});

test("an idle client that reads nothing is cut when it does not go", async (t) => {
  const clock = createFakeClock();
  const { port, server } = await listening(t, {
    clock,
    limits: { messageTimeoutMs: 4000, idleTimeoutMs: 20_000 },
  });
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } });
  session.on("error", () => {});
  t.after(() => session.destroy());
  const { send, headers } = deliver(session);
  await headers;
  send(1, numberedBatch(1, 1));
  await clock.advance(21_000);
  await clock.advance(1000);
  assert.equal(server.connectionCount, 1);
  await waitFor("the connection to be cut", async () => {
    await clock.advance(1000);
    return server.connectionCount === 0;
  });
});

test("streams over the limit of a connection are refused, and the others go on", async (t) => {
  const { port, server } = await listening(t);
  const other = deliver(await sessionTo(t, port));
  const session = await sessionTo(t, port);
  const calls = Array.from({ length: 2000 }, () => deliver(session));
  for (const { send } of calls) send(1, numberedBatch(1, 1));
  await waitFor("64 streams to be served", () => calls.filter((c) => c.acks().length === 1).length >= 64); // prettier-ignore
  assert.ok(calls.filter((c) => c.acks().length === 1).length < 2000);
  other.send(1, numberedBatch(1, 1));
  await waitFor("the other's Ack", () => other.acks().length === 1);
  session.destroy();
  await waitFor("its connection to close", () => server.connectionCount === 1);
});

test("a thousand connections over the limit are closed, and the one that is served goes on", async (t) => {
  let refused = 0;
  const { port } = await listening(t, {
    limits: { maxConnections: 3 },
    observer: { connectionRefused: () => refused++ },
  });
  const other = deliver(await sessionTo(t, port));
  await other.headers;
  const sockets = Array.from({ length: 1000 }, () => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("error", () => {});
    return socket;
  });
  await waitFor("the refusals", () => refused >= 998);
  other.send(1, numberedBatch(1, 1));
  await waitFor("its Ack", () => other.acks().length === 1);
  for (const socket of sockets) socket.destroy();
});
