import { DeliveryError, EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import type { EventHandler } from "../wire/event-server.ts";
import { encodeException, encodeStatus } from "./call.ts";
import { createThriftClient, type ThriftClientOptions } from "./client.ts";
import { createReader } from "./create-reader.ts";
import { FrameDecoder } from "./frame.ts";
import { exceptionTypes, type ThriftProtocol, type ThriftStatus } from "./protocol.ts";
import type { MessageHead } from "./reader.ts";
import { createThriftServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const protocols: readonly ThriftProtocol[] = ["compact", "binary"];
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const bodies = (batch: EventBatch): string[] => [...batch].map(({ body }) => body.toString());

async function listening(test: TestContext, handler: EventHandler, protocol: ThriftProtocol) {
  const server = createThriftServer({
    host: "127.0.0.1",
    port: 0,
    protocol,
    clock: systemClock,
    log: createCollectingLog(),
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server;
}

function clientOf(test: TestContext, port: number, options: Partial<ThriftClientOptions> = {}) {
  const client = createThriftClient({
    host: "127.0.0.1",
    port,
    protocol: "compact",
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

/** A server of bytes: `answer` gets the head of each call with its connection. */
async function rawServer(test: TestContext, answer: (head: MessageHead, socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const decoder = new FrameDecoder(1 << 24);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      decoder.push(chunk);
      for (let m = decoder.next(); m !== undefined; m = decoder.next()) {
        answer(createReader("compact", m.bytes, m.start).readHead(), socket);
      }
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

for (const protocol of protocols) {
  test(`${protocol}: single events and batches arrive in order (T146)`, async (t) => {
    const seen: string[] = [];
    const { port } = await listening(
      t,
      async (batch, { message }) => {
        seen.push(`${message} ${bodies(batch).join()}`);
        return "OK";
      },
      protocol,
    );
    const client = clientOf(t, port, { protocol });
    assert.equal(client.alive, false);
    await client.connect();
    assert.equal(client.alive, true);
    const expected: string[] = [];
    for (let i = 0; i < 10; i++) {
      await client.append(events(`single ${i}`));
      expected.push(`append single ${i}`);
    }
    const many = events(...Array.from({ length: 28 }, (_, i) => `batched ${i}`));
    for (let at = 0; at < 28; at += 10) {
      const part = many.slice(at, Math.min(at + 10, 28));
      await client.appendBatch(part);
      expected.push(`appendBatch ${bodies(part).join()}`);
    }
    await client.appendBatch(EventBatch.empty);
    expected.push("appendBatch ");
    assert.deepEqual(seen, expected);
  });

  test(`${protocol}: a batch over many slabs arrives byte for byte`, async (t) => {
    let received = EventBatch.empty;
    const { port } = await listening(
      t,
      async (batch) => {
        received = batch;
        return "OK";
      },
      protocol,
    );
    const client = clientOf(t, port, { protocol });
    await client.connect();
    const parts = Array.from({ length: 20 }, (_, i) =>
      EventBatch.fromEvents(
        Array.from({ length: 50 }, (_, j) => ({
          headers: new Map(Array.from({ length: j % 7 }, (_, k) => [`h${k}`, "x".repeat(i * k)])),
          body: Buffer.alloc(i * 50 + j, j),
        })),
      ).slice(i, 50 - i),
    );
    const sent = EventBatch.join(parts);
    await client.appendBatch(sent);
    assert.equal(received.length, sent.length);
    assert.deepEqual(Buffer.concat(received.gather()), Buffer.concat(sent.gather()));
  });
}

test("events arrive whole from several callers of one client at once (T151)", async (t) => {
  const received: string[] = [];
  const { port } = await listening(
    t,
    async (batch) => {
      received.push(...bodies(batch));
      return "OK";
    },
    "compact",
  );
  const client = clientOf(t, port);
  await client.connect();
  const expected: string[] = [];
  await Promise.all(
    Array.from({ length: 100 }, (_, i) => {
      expected.push(`${i} a`, `${i} b`);
      return client.appendBatch(events(`${i} a`, `${i} b`));
    }),
  );
  assert.deepEqual(received, expected);
});

test("a slow but timely server is waited for (T147)", async (t) => {
  const clock = createFakeClock();
  let answer: (() => void) | undefined;
  const { port } = await rawServer(t, (head, socket) => {
    answer = () => socket.write(encodeStatus("compact", head, "OK"));
  });
  const client = clientOf(t, port, { clock, requestTimeoutMs: 2000 });
  await client.connect();
  const call = client.appendBatch(events("a"));
  await waitFor("the call", () => answer !== undefined);
  await clock.advance(1900);
  answer?.();
  await within("the answer", call);
});

test("a call that is not answered in time is RPC_TIMEOUT, and the client is dead (T150)", async (t) => {
  const clock = createFakeClock();
  let calls = 0;
  const { port } = await rawServer(t, (head, socket) => {
    if (calls++ < 1) socket.write(encodeStatus("compact", head, "OK"));
  });
  const client = clientOf(t, port, { clock, requestTimeoutMs: 2000 });
  await client.connect();
  await client.appendBatch(events("a"));
  await clock.advance(1500);
  const late = assert.rejects(client.appendBatch(events("b")), {
    code: "RPC_TIMEOUT",
    message: /did not answer in time \(1 events\)/,
  });
  await clock.advance(1900);
  assert.equal(client.alive, true);
  await clock.advance(200);
  await within("giving up", late);
  assert.equal(client.alive, false);
  assert.equal(clock.timerCount, 0);
});

for (const { name, status } of [
  { name: "FAILED (T148)", status: "FAILED" },
  { name: "ERROR", status: "ERROR" },
  { name: "UNKNOWN", status: "UNKNOWN" },
] as const satisfies readonly { name: string; status: ThriftStatus }[]) {
  test(`an answer of ${name} fails that call only: RPC_STATUS_FAILED`, async (t) => {
    let calls = 0;
    const { port } = await rawServer(t, (head, socket) => {
      socket.write(encodeStatus("compact", head, calls++ % 2 === 0 ? status : "OK"));
    });
    const client = clientOf(t, port);
    await client.connect();
    const failure = {
      code: "RPC_STATUS_FAILED",
      message: `127.0.0.1:${port} answered ${status} to 1 events`,
    };
    await assert.rejects(client.append(events("a")), failure);
    await client.appendBatch(events("b"));
    await assert.rejects(client.appendBatch(events("c")), failure);
    assert.deepEqual([client.alive, calls], [true, 3]);
  });
}

test("an exception is RPC_SYSTEM_ERROR with its text, and the client lives on (T149)", async (t) => {
  let calls = 0;
  const { port } = await rawServer(t, (head, socket) => {
    const text = `Internal error processing ${head.name}`;
    socket.write(
      calls++ === 0
        ? encodeException("compact", head, exceptionTypes.internalError, text)
        : encodeStatus("compact", head, "OK"),
    );
  });
  const client = clientOf(t, port);
  await client.connect();
  await assert.rejects(client.append(events("a")), {
    code: "RPC_SYSTEM_ERROR",
    message: /answered: Internal error processing append \(TApplicationException 6\)/,
  });
  await client.append(events("b"));
});

test("a batch over maxRequestBytes is sent as several requests, in order", async (t) => {
  const received: string[][] = [];
  const { port } = await listening(
    t,
    async (batch) => {
      received.push(bodies(batch));
      return "OK";
    },
    "binary",
  );
  const client = clientOf(t, port, { protocol: "binary", maxRequestBytes: 2000 });
  await client.connect();
  const sent = Array.from({ length: 20 }, (_, i) => String(i).padEnd(i === 7 ? 4000 : 200, "."));
  await client.appendBatch(events(...sent));
  assert.deepEqual(received.flat(), sent);
  assert.ok(received.length > 4);
  for (const part of received) {
    assert.ok(part.length === 1 || part.join("").length < 2000, `${part.length} events at once`);
  }
});

test("headers count for what a request may have: Thrift's are longer than Avro's", async (t) => {
  const sizes: number[] = [];
  const { port } = await rawServer(t, (head, socket) => {
    sizes.push(1);
    socket.write(encodeStatus("compact", head, "OK"));
  });
  const headers = new Map(Array.from({ length: 300 }, (_, i) => [String(i), ""]));
  const batch = EventBatch.fromEvents([
    { body: Buffer.from("a") },
    { headers, body: Buffer.from("b") },
  ]);
  const client = clientOf(t, port, { maxRequestBytes: batch.byteLength + 400 });
  await client.connect();
  await client.appendBatch(batch);
  assert.equal(sizes.length, 2);
});

test("of a batch in several requests it says how many events have arrived", async (t) => {
  let calls = 0;
  const { port } = await listening(t, async () => (++calls === 3 ? "FAILED" : "OK"), "compact");
  const client = clientOf(t, port, { maxRequestBytes: 1200 });
  await client.connect();
  const sent = events(...Array.from({ length: 8 }, () => "x".repeat(300)));
  await assert.rejects(client.appendBatch(sent), (error) => {
    assert.ok(error instanceof DeliveryError);
    assert.equal(error.code, "RPC_STATUS_FAILED");
    assert.deepEqual(error.settled, [{ from: 0, to: 4 }]);
    return true;
  });
});

test("nothing listening is RPC_CONNECT_FAILED at once", async (t) => {
  const { port, server } = await rawServer(t, () => {});
  server.close();
  await once(server, "close");
  await assert.rejects(clientOf(t, port).connect(), {
    code: "RPC_CONNECT_FAILED",
    message: `no connection to 127.0.0.1:${port}: ECONNREFUSED`,
  });
});

test("closing while it connects gives up at once", async (t) => {
  const { port } = await rawServer(t, () => {});
  const client = clientOf(t, port);
  const failed = assert.rejects(client.connect(), { code: "RPC_CONNECT_FAILED" });
  client.close();
  await within("giving up", failed);
});

test("a server that has gone is RPC_CONNECTION_LOST, and the client is dead", async (t) => {
  const server = await listening(t, async () => "OK", "compact");
  const client = clientOf(t, server.port);
  await client.connect();
  await client.appendBatch(events("a"));
  await server.stop(never);
  await waitFor("the client to notice", () => !client.alive);
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_CONNECTION_LOST" });
});

test("a connection cut in the middle of calls fails them all with RPC_CONNECTION_LOST", async (t) => {
  let calls = 0;
  const { port, sockets } = await rawServer(t, () => calls++);
  const client = clientOf(t, port);
  await client.connect();
  const lost = Promise.allSettled([1, 2, 3].map((n) => client.appendBatch(events(`${n}`))));
  await waitFor("the calls", () => calls === 3);
  sockets[0]?.resetAndDestroy();
  for (const result of await within("failing", lost)) {
    assert.equal(result.status === "rejected" && result.reason.code, "RPC_CONNECTION_LOST");
  }
  assert.equal(client.alive, false);
});

test("a closed client refuses calls, and those under way fail at once", async (t) => {
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
  await assert.rejects(client.appendBatch(events("b")), { code: "RPC_CONNECTION_LOST" });
});

test("a peer that does not read holds calls back instead of filling memory", async (t) => {
  let count = 0;
  const { port, sockets } = await rawServer(t, (head, socket) => {
    count++;
    socket.write(encodeStatus("compact", head, "OK"));
  });
  const client = clientOf(t, port);
  await client.connect();
  await client.appendBatch(events("a"));
  sockets[0]?.pause();
  const batch = EventBatch.fromEvents([{ body: Buffer.alloc(8000) }]);
  const before = process.memoryUsage().arrayBuffers;
  const calls = Array.from({ length: 10_000 }, () => client.appendBatch(batch));
  await settle(50);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 40_000_000, `${grown} bytes are encoded`);
  sockets[0]?.resume();
  await within("all calls", Promise.all(calls));
  assert.equal(count, 10_001);
});

const call = { name: "appendBatch", type: 1 };
for (const { name, reply } of [
  {
    name: "a reply out of order",
    reply: encodeStatus("compact", { ...call, sequence: 3 }, "OK"),
  },
  {
    name: "a reply to a call nobody made",
    reply: encodeStatus("compact", { ...call, sequence: -7 }, "OK"),
  },
  {
    name: "a reply to another method",
    reply: encodeStatus("compact", { ...call, name: "append", sequence: 2 }, "OK"),
  },
  { name: "a status of nine", reply: framed("8241 02 0b 617070656e644261746368 05001200") },
  { name: "a reply without a status", reply: framed("8241 02 0b 617070656e644261746368 00") },
  {
    name: "bytes behind the reply",
    reply: framed("8241 02 0b 617070656e644261746368 05000000 00"),
  },
  { name: "a call for a reply", reply: framed("8221 02 0b 617070656e644261746368 05000000") },
  {
    name: "a reply in the binary protocol",
    reply: encodeStatus("binary", { ...call, sequence: 2 }, "OK"),
  },
  { name: "a frame over the limit", reply: Buffer.from("7fffffff", "hex") },
  { name: "an empty frame", reply: Buffer.from("00000000", "hex") },
  { name: "a TLS alert", reply: Buffer.from("15030100020228", "hex") },
  { name: "HTTP", reply: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n") },
]) {
  test(`${name} is RPC_REPLY_MALFORMED, and the client is dead`, async (t) => {
    let calls = 0;
    const { port } = await rawServer(t, (head, socket) => {
      socket.write(calls++ === 0 ? encodeStatus("compact", head, "OK") : reply);
    });
    const client = clientOf(t, port);
    await client.connect();
    await client.appendBatch(events("a"));
    await assert.rejects(client.appendBatch(events("b")), { code: "RPC_REPLY_MALFORMED" });
    assert.equal(client.alive, false);
  });
}

/** The hexadecimal message in a frame. */
function framed(hex: string): Buffer {
  const message = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const length = Buffer.alloc(4);
  length.writeInt32BE(message.length);
  return Buffer.concat([length, message]);
}
