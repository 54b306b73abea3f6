/**
 * Random and damaged bytes into a server that others use: HTTP/2 frames, gRPC frames, messages and
 * slabs. SEEDS sets how many, SEED which.
 */
import { type Clock, EventBatch, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { encodeDelivery } from "./call.ts";
import { createGrpcClient } from "./client.ts";
import { encodeMessage } from "./frame.ts";
import { appendPath, deliverPath, healthCheckPath, healthWatchPath } from "./protocol.ts";
import { createGrpcServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const seed = Number(process.env["SEED"] ?? 5);
const seeds = Number(process.env["SEEDS"] ?? 300);

async function attacked(t: TestContext, clock: Clock = systemClock) {
  const counts = { batches: 0, events: 0, malformed: 0 };
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock,
    log: createCollectingLog(),
    limits: { maxFrameBytes: 1 << 20 },
    handler: (batch) => {
      counts.batches++;
      // Whatever is handed on can be read to its end.
      for (const { headers, body } of batch) counts.events += headers.size >= 0 && body ? 1 : 0;
      return Promise.resolve("OK");
    },
    observer: { requestMalformed: () => counts.malformed++ },
  });
  await server.start(never);
  t.after(() => server.stop(now));
  const bystander = createGrpcClient({
    host: "127.0.0.1",
    port: server.port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 10_000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
  });
  t.after(() => bystander.close());
  await bystander.connect();
  return { server, bystander, counts };
}

/** Valid bytes, mostly, with some of them changed, left out, doubled or added. */
function damage(random: ReturnType<typeof createSeededRandom>, bytes: Buffer): Buffer {
  let damaged = Buffer.from(bytes);
  for (let n = random.integer(4); n > 0; n--) {
    const at = random.integer(damaged.length + 1);
    switch (random.integer(4)) {
      case 0:
        if (at < damaged.length) damaged[at] = random.integer(256);
        break;
      case 1:
        damaged = damaged.subarray(0, at);
        break;
      case 2:
        damaged = Buffer.concat([damaged.subarray(0, at), random.bytes(random.integer(20)), damaged.subarray(at)]); // prettier-ignore
        break;
      default:
        damaged = Buffer.concat([damaged, damaged.subarray(at)]);
    }
  }
  return damaged;
}

test("damaged messages and slabs end their stream or are whole batches; the others are not harmed", async (t) => {
  const { server, bystander, counts } = await attacked(t);
  const random = createSeededRandom(seed);
  const open = (): ClientHttp2Session => {
    const made = connectHttp2(`http://127.0.0.1:${server.port}`);
    made.on("error", () => {});
    t.after(() => made.destroy());
    return made;
  };
  let session = open();
  const paths = [deliverPath, deliverPath, deliverPath, appendPath, healthCheckPath, healthWatchPath]; // prettier-ignore
  let answered = 0;
  for (let round = 0; round < seeds; round++) {
    // What is ended by both sides in disorder counts as open for a while: a connection has so many.
    if (round % 50 === 49) {
      session.destroy();
      session = open();
    }
    const path = paths[random.integer(paths.length)];
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    stream.resume();
    const ended = new Promise((resolve) => stream.once("end", resolve).once("close", resolve));
    const message = (id: number): Buffer => {
      const whole = encodeDelivery({ id, batch: numberedBatch(1, 1 + random.integer(20)) });
      return encodeMessage(random.integer(2) === 0 ? damage(random, whole) : whole);
    };
    const bytes = damage(random, Buffer.concat([message(1), message(2), message(3)]));
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.integer(400);
      if (!stream.writable) break;
      stream.write(bytes.subarray(at, at + size));
      at += size;
    }
    if (random.integer(20) === 0) stream.close(random.integer(14));
    else stream.end();
    // A watch goes on until one side has had enough.
    if (path === healthWatchPath || random.integer(50) === 0) stream.destroy();
    await within(
      "the stream's end",
      ended.then(() => answered++),
    );
    if (round % 20 === 0) await within("the bystander", bystander.appendBatch(numberedBatch(1, 1)));
  }
  await bystander.appendBatch(numberedBatch(1, 1));
  assert.equal(answered, seeds);
  assert.ok(counts.malformed > seeds / 4, JSON.stringify(counts));
  assert.ok(counts.batches > seeds / 4 && counts.events > counts.batches, JSON.stringify(counts));
});

test("random and damaged HTTP/2 closes its connection, at once or at the next sign of life; the others are not harmed", async (t) => {
  const clock = createFakeClock();
  const { server, bystander, counts } = await attacked(t, clock);
  const random = createSeededRandom(seed + 1);
  const recorded = await recordCall(t);
  let closed = 0;
  for (let round = 0; round < seeds; round++) {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => closed++);
    socket.resume();
    socket.end(
      random.integer(8) === 0 ? random.bytes(random.integer(300)) : damage(random, recorded),
    );
    if (round % 20 === 0) await within("the bystander", bystander.appendBatch(numberedBatch(1, 1)));
  }
  await waitFor("most connections to close", () => closed > seeds / 2);
  await waitFor("all connections to close", async () => {
    await clock.advance(10_000);
    return closed === seeds && server.connectionCount === 1;
  });
  await bystander.appendBatch(numberedBatch(1, 1));
  assert.ok(counts.malformed > seeds / 10, JSON.stringify(counts));
  assert.ok(counts.batches > seeds / 10, JSON.stringify(counts));
});

test("many announced messages that never come, and many single bytes, do not fill the memory", async (t) => {
  const { server, bystander } = await attacked(t);
  const session = connectHttp2(`http://127.0.0.1:${server.port}`);
  session.on("error", () => {});
  t.after(() => session.destroy());
  const before = process.memoryUsage();
  const announced = Buffer.from("00000fffff", "hex");
  for (let n = 0; n < 60; n++) {
    const stream = session.request({
      ":method": "POST",
      ":path": deliverPath,
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    await once(stream, "response");
    stream.write(announced);
  }
  const slow = session.request({
    ":method": "POST",
    ":path": deliverPath,
    "content-type": "application/grpc",
  });
  slow.on("error", () => {});
  await once(slow, "response");
  const message = encodeMessage(
    encodeDelivery({ id: 1, batch: EventBatch.fromEvents([{ body: Buffer.alloc(2000) }]) }),
  );
  const acked = once(slow, "data");
  for (let at = 0; at < message.length; at++) {
    await new Promise((resolve) => slow.write(message.subarray(at, at + 1), resolve));
  }
  await within("an Ack of a message in single bytes", acked);
  await bystander.appendBatch(numberedBatch(1, 1));
  const after = process.memoryUsage();
  const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
  assert.ok(grown < 40 << 20, `${grown} bytes more`);
});

/** What a client sends in a call of Deliver: preface, settings, headers, two batches, the end. */
async function recordCall(t: TestContext): Promise<Buffer> {
  const { createServer } = await import("node:net");
  const chunks: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => chunks.push(chunk));
    // Settings, so that the client goes on.
    socket.write(Buffer.from("000000040000000000", "hex"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  t.after(() => {
    session.destroy();
    server.close();
  });
  const stream = session.request({
    ":method": "POST",
    ":path": deliverPath,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  stream.write(encodeMessage(encodeDelivery({ id: 1, batch: numberedBatch(1, 90) })));
  stream.end(encodeMessage(encodeDelivery({ id: 2, batch: numberedBatch(91, 99) })));
  await once(stream, "finish");
  await waitFor("the recording", () => Buffer.concat(chunks).length > 300);
  return Buffer.concat(chunks);
}
