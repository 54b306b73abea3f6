import { EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { encodeError, encodeStatus } from "./call.ts";
import type { EventClientOptions } from "../wire/event-client.ts";
import { createAvroClient } from "./client.ts";
import { encodeMessage, FrameDecoder, type Message } from "./frame.ts";
import { handshakeBoth } from "./handshake.ts";
import { protocolHash, protocolText } from "./protocol.ts";
import type { EventHandler } from "../wire/event-server.ts";
import { createAvroServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const none = Buffer.alloc(0);

async function listening(test: TestContext, handler: EventHandler) {
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server;
}

function clientOf(test: TestContext, port: number, options: Partial<EventClientOptions> = {}) {
  const client = createAvroClient({
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

/** A server of bytes: `answer` gets each message with its connection. */
async function rawServer(test: TestContext, answer: (message: Message, socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const decoder = new FrameDecoder(1 << 24);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      decoder.push(chunk);
      for (let m = decoder.next(); m !== undefined; m = decoder.next()) answer(m, socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets, server };
}

test("an OK server takes one event and a batch (T102, T107)", async (t) => {
  const seen: string[] = [];
  const { port } = await listening(t, async (batch, { message }) => {
    seen.push(`${message} ${[...batch].map(({ body }) => body.toString()).join()}`);
    return "OK";
  });
  const client = clientOf(t, port);
  assert.equal(client.alive, false);
  await client.connect();
  assert.equal(client.alive, true);
  await client.append(events("a"));
  await client.appendBatch(events("b", "c"));
  await client.appendBatch(EventBatch.empty);
  assert.deepEqual(seen, ["append a", "appendBatch b,c", "appendBatch "]);
});

test("a batch over many slabs, sliced and joined, arrives byte for byte", async (t) => {
  let received = EventBatch.empty;
  const { port } = await listening(t, async (batch) => {
    received = batch;
    return "OK";
  });
  const client = clientOf(t, port);
  await client.connect();
  const parts = Array.from({ length: 20 }, (_, i) =>
    EventBatch.fromEvents(
      Array.from({ length: 50 }, (_, j) => ({
        headers: new Map([["part", `${i}.${j}`]]),
        body: Buffer.alloc(i * 50 + j, j),
      })),
    ).slice(i, 50 - i),
  );
  const sent = EventBatch.join(parts);
  await client.appendBatch(sent);
  assert.equal(received.length, sent.length);
  assert.deepEqual(Buffer.concat(received.gather()), Buffer.concat(sent.gather()));
});

test("nothing listening is RPC_CONNECT_FAILED at once (T112)", async (t) => {
  const { port, server } = await rawServer(t, () => {});
  server.close();
  await once(server, "close");
  await assert.rejects(clientOf(t, port).connect(), {
    code: "RPC_CONNECT_FAILED",
    message: `no connection to 127.0.0.1:${port}: ECONNREFUSED`,
  });
});

test("a connection that is not there within the connect timeout is RPC_CONNECT_FAILED", async (t) => {
  const { port } = await rawServer(t, () => {});
  // A clock whose time is up before the event loop turns.
  const setTimer = (_ms: number, fire: () => void) => {
    queueMicrotask(fire);
    return { cancel() {} };
  };
  const client = clientOf(t, port, { clock: { ...systemClock, setTimer }, connectTimeoutMs: 3000 });
  await assert.rejects(client.connect(), {
    code: "RPC_CONNECT_FAILED",
    message: /no answer within 3000 ms/,
  });
  assert.equal(client.alive, false);
});

test("closing while it connects gives up at once", async (t) => {
  const { port } = await rawServer(t, () => {});
  const client = clientOf(t, port);
  const failed = assert.rejects(client.connect(), { code: "RPC_CONNECT_FAILED" });
  client.close();
  await within("giving up", failed);
});

for (const { name, reply, code, says } of [
  {
    name: "FAILED (T116, T119)",
    reply: (serial: number) => encodeStatus(serial, none, "FAILED"),
    code: "RPC_STATUS_FAILED",
    says: /answered FAILED to 1 events/,
  },
  {
    name: "UNKNOWN (T117, T120)",
    reply: (serial: number) => encodeStatus(serial, none, "UNKNOWN"),
    code: "RPC_STATUS_FAILED",
    says: /answered UNKNOWN/,
  },
  {
    name: "a system error, as of a server that throws (T118, T121)",
    reply: (serial: number) => encodeError(serial, none, "java.lang.NullPointerException"),
    code: "RPC_SYSTEM_ERROR",
    says: /answered: java.lang.NullPointerException/,
  },
]) {
  test(`an answer of ${name} fails that call only: ${code}`, async (t) => {
    let calls = 0;
    const { port } = await rawServer(t, ({ serial }, socket) => {
      const first = calls++ === 0;
      if (first) socket.write(encodeStatus(serial, handshakeBoth, "OK"));
      else socket.write(calls % 2 === 0 ? reply(serial) : encodeStatus(serial, none, "OK"));
    });
    const client = clientOf(t, port);
    await client.connect();
    await client.append(events("greeted"));
    await assert.rejects(client.append(events("a")), { code, message: says });
    assert.equal(client.alive, true);
    await client.appendBatch(events("b"));
    await assert.rejects(client.appendBatch(events("c")), { code, message: says });
    assert.equal(calls, 4);
  });
}

test("a server that has gone is RPC_CONNECTION_LOST, and the client is dead (T114)", async (t) => {
  const server = await listening(t, async () => "OK");
  const client = clientOf(t, server.port);
  await client.connect();
  await client.appendBatch(events("a"));
  await server.stop(never);
  await waitFor("the client to notice", () => !client.alive);
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_CONNECTION_LOST" });
});

test("a connection cut in the middle of calls fails them all with RPC_CONNECTION_LOST", async (t) => {
  let calls = 0;
  const { port, sockets } = await rawServer(t, ({ serial }, socket) => {
    if (calls++ === 0) socket.write(encodeStatus(serial, handshakeBoth, "OK"));
  });
  const client = clientOf(t, port);
  await client.connect();
  await client.appendBatch(events("a"));
  const lost = Promise.allSettled([1, 2, 3].map((n) => client.appendBatch(events(`${n}`))));
  await waitFor("the calls", () => calls === 4);
  sockets[0]?.resetAndDestroy();
  for (const result of await within("failing", lost)) {
    assert.equal(result.status === "rejected" && result.reason.code, "RPC_CONNECTION_LOST");
  }
  assert.equal(client.alive, false);
});

test("a closed client refuses calls, and those under way fail at once (T115)", async (t) => {
  const { port } = await rawServer(t, () => {});
  const client = clientOf(t, port);
  await client.connect();
  const waiting = assert.rejects(client.appendBatch(events("a")), {
    code: "RPC_CONNECTION_LOST",
    message: /ended: told to/,
  });
  client.close("told to");
  client.close();
  await within("failing", waiting);
  assert.equal(client.alive, false);
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_CONNECTION_LOST" });
});

test("several calls are in flight, and each settles by the reply with its serial", async (t) => {
  const held: Message[] = [];
  let peer: Socket | undefined;
  let greeted = false;
  const { port } = await rawServer(t, (message, socket) => {
    peer = socket;
    if (greeted) held.push(message);
    else socket.write(encodeStatus(message.serial, handshakeBoth, "OK"));
    greeted = true;
  });
  const client = clientOf(t, port);
  await client.connect();
  await client.appendBatch(events("first"));
  const settled: string[] = [];
  const calls = ["a", "b", "c"].map((body) =>
    client.appendBatch(events(body)).then(
      () => settled.push(`${body} OK`),
      (error: { code: string }) => settled.push(`${body} ${error.code}`),
    ),
  );
  await waitFor("three calls at once", () => held.length === 3);
  peer?.write(encodeStatus(held[2]?.serial as number, none, "OK"));
  await waitFor("c", () => settled.length === 1);
  peer?.write(encodeStatus(held[0]?.serial as number, none, "FAILED"));
  await waitFor("a", () => settled.length === 2);
  peer?.write(encodeStatus(held[1]?.serial as number, none, "OK"));
  await Promise.all(calls);
  assert.deepEqual(settled, ["c OK", "a RPC_STATUS_FAILED", "b OK"]);
});

test("a second call waits until the handshake is answered", async (t) => {
  const held: Message[] = [];
  let peer: Socket | undefined;
  const { port } = await rawServer(t, (message, socket) => {
    peer = socket;
    held.push(message);
  });
  const client = clientOf(t, port);
  await client.connect();
  const first = client.appendBatch(events("a"));
  const second = client.appendBatch(events("b"));
  await waitFor("the first call", () => held.length === 1);
  await settle(50);
  assert.equal(held.length, 1);
  peer?.write(encodeStatus(1, handshakeBoth, "OK"));
  await waitFor("the second call", () => held.length === 2);
  peer?.write(encodeStatus(2, none, "OK"));
  await Promise.all([first, second]);
});

test("a peer that does not read holds calls back instead of filling memory", async (t) => {
  let count = 0;
  const { port, sockets } = await rawServer(t, ({ serial }, socket) => {
    socket.write(encodeStatus(serial, count++ === 0 ? handshakeBoth : none, "OK"));
  });
  const client = clientOf(t, port);
  await client.connect();
  await client.appendBatch(events("a"));
  sockets[0]?.pause();
  // Small enough that a request is a copy of its batch: 80 MB if all were written at once.
  const batch = EventBatch.fromEvents([{ body: Buffer.alloc(8000) }]);
  const before = process.memoryUsage().arrayBuffers;
  const calls = Array.from({ length: 10_000 }, () => client.appendBatch(batch));
  await settle(50);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 40_000_000, `${grown} bytes are copied`);
  sockets[0]?.resume();
  await within("all calls", Promise.all(calls));
  assert.equal(count, 10_001);
});

test("after NONE the call is sent again on the same connection with our text, once", async (t) => {
  const received: Message[] = [];
  const text = Buffer.from(protocolText);
  const noneReply = Buffer.concat([
    Buffer.from([4, 2, ((text.length * 2) & 0x7f) | 0x80, (text.length * 2) >>> 7]),
    text,
    Buffer.from([2]),
    Buffer.alloc(16, 7),
    Buffer.from([0]),
  ]);
  const { port, sockets } = await rawServer(t, (message, socket) => {
    received.push(message);
    const { serial } = message;
    if (received.length === 1) socket.write(encodeMessage(serial, [noneReply]));
    else socket.write(encodeStatus(serial, received.length === 2 ? handshakeBoth : none, "OK"));
  });
  const client = clientOf(t, port);
  await client.connect();
  await client.appendBatch(events("a"));
  await client.appendBatch(events("b"));
  assert.equal(sockets.length, 1);
  assert.deepEqual(
    received.map(({ serial }) => serial),
    [1, 2, 3],
  );
  const again = received[1]?.bytes as Buffer;
  assert.deepEqual(again.subarray(0, 16), protocolHash);
  assert.ok(again.includes(text) && again.includes(Buffer.alloc(16, 7)));
  assert.equal(received[2]?.bytes.includes(text), false);
});

const wrongGreetings = [
  {
    name: "NONE again and again",
    reply: "04 02 TEXT 02 " + "07".repeat(16) + " 00",
    says: /does not take our protocol/,
  },
  { name: "NONE without a text", reply: "04 00 00 00", says: /sent no protocol text/ },
  {
    name: "CLIENT with another protocol",
    reply: "02 02 04 7b7d 00 00 00 00 00",
    says: /has no messages/,
  },
  { name: "a match of three", reply: "06 00 00 00 00 00 00", says: /cannot be read/ },
  { name: "too few bytes", reply: "00", says: /cannot be read/ },
];
for (const { name, reply, says } of wrongGreetings) {
  test(`${name} is RPC_HANDSHAKE_FAILED`, async (t) => {
    const length = protocolText.length * 2;
    const text = Buffer.from([(length & 0x7f) | 0x80, length >>> 7, ...Buffer.from(protocolText)]);
    const hex = reply.replace("TEXT", text.toString("hex")).replaceAll(" ", "");
    const { port } = await rawServer(t, ({ serial }, socket) => {
      socket.write(encodeMessage(serial, [Buffer.from(hex, "hex")]));
    });
    const client = clientOf(t, port);
    await client.connect();
    await assert.rejects(client.appendBatch(events("a")), {
      code: "RPC_HANDSHAKE_FAILED",
      message: says,
    });
    assert.equal(client.alive, false);
  });
}

test("a server of something else is RPC_HANDSHAKE_FAILED, with what it looks like", async (t) => {
  const { port } = await rawServer(t, (_message, socket) => {
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  const client = clientOf(t, port);
  await client.connect();
  await assert.rejects(client.appendBatch(events("a")), {
    code: "RPC_HANDSHAKE_FAILED",
    message: /speaks HTTP/,
  });
});

for (const { name, reply } of [
  { name: "a reply to a call nobody made", reply: encodeStatus(77, none, "OK") },
  { name: "a status of nine", reply: encodeMessage(2, [Buffer.from([0, 0, 18])]) },
  { name: "bytes behind the status", reply: encodeMessage(2, [Buffer.from([0, 0, 0, 0])]) },
  { name: "a flag of two", reply: encodeMessage(2, [Buffer.from([0, 2, 0])]) },
  { name: "an empty reply", reply: encodeMessage(2, [none]) },
  { name: "a frame of nonsense", reply: Buffer.from("00000002ffffffff", "hex") },
  {
    name: "an error text that is cut short",
    reply: encodeMessage(2, [Buffer.from([0, 1, 0, 80, 65])]),
  },
]) {
  test(`${name} is RPC_REPLY_MALFORMED, and the client is dead`, async (t) => {
    let greeted = false;
    const { port } = await rawServer(t, ({ serial }, socket) => {
      socket.write(greeted ? reply : encodeStatus(serial, handshakeBoth, "OK"));
      greeted = true;
    });
    const client = clientOf(t, port);
    await client.connect();
    await client.appendBatch(events("a"));
    await assert.rejects(client.appendBatch(events("b")), { code: "RPC_REPLY_MALFORMED" });
    assert.equal(client.alive, false);
  });
}

test("a call that is not answered in time is RPC_TIMEOUT, and the client is dead", async (t) => {
  const clock = createFakeClock();
  let calls = 0;
  const { port } = await rawServer(t, ({ serial }, socket) => {
    if (calls++ < 2) socket.write(encodeStatus(serial, calls === 1 ? handshakeBoth : none, "OK"));
  });
  const client = clientOf(t, port, { clock, requestTimeoutMs: 2000, connectTimeoutMs: 8000 });
  await client.connect();
  await client.appendBatch(events("a"));
  await clock.advance(1500);
  await client.appendBatch(events("b"));
  const late = client.appendBatch(events("c"));
  const failed = assert.rejects(late, { code: "RPC_TIMEOUT", message: /did not answer in time/ });
  await clock.advance(1900);
  assert.equal(client.alive, true);
  await clock.advance(8000);
  await within("giving up", failed);
  assert.equal(client.alive, false);
  assert.equal(clock.timerCount, 0);
});

test("the first call may take the longer of both timeouts (T086)", async (t) => {
  const clock = createFakeClock();
  const { port } = await rawServer(t, () => {});
  const client = clientOf(t, port, { clock, requestTimeoutMs: 2000, connectTimeoutMs: 8000 });
  await client.connect();
  const failed = assert.rejects(client.appendBatch(events("a")), { code: "RPC_TIMEOUT" });
  await clock.advance(7900);
  assert.equal(client.alive, true);
  await clock.advance(100);
  await within("giving up", failed);
});
