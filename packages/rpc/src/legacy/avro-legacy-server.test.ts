/** Flume 0.9's Avro over HTTP, with avsc as the peer that others wrote. */
import { type EventBatch, MillraceError, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import avsc from "avsc";
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import type { EventServerOptions } from "../wire/event-server.ts";
import { createAvroLegacyServer } from "./avro-legacy-server.ts";
import { joinBuffers } from "./avro-og-call.ts";
import { ogJavaHash, ogProtocolHash, ogProtocolText } from "./avro-og-protocol.ts";

const never = new AbortController().signal;

interface OgAvroEvent {
  timestamp: number;
  priority: string;
  body: Buffer;
  nanos: number;
  host: string;
  fields: Record<string, Buffer>;
}
interface OgClient {
  append(event: OgAvroEvent, done: (error: Error | null | undefined) => void): void;
  createChannel(transport: unknown, options?: object): unknown;
}

const event: OgAvroEvent = {
  timestamp: 1_700_000_000_123,
  priority: "WARN",
  body: Buffer.from("hello"),
  nanos: 123_456_789_012_345,
  host: "old.example",
  fields: { AckTag: Buffer.from("tag"), naïve: Buffer.from("ü") },
};
const eventType = avsc.Type.forSchema({
  type: "record",
  name: "AvroFlumeOGEvent",
  fields: (JSON.parse(ogProtocolText) as { types: { fields: unknown[] }[] }).types[0]?.fields,
} as never);

async function serve(test: TestContext, options: Partial<EventServerOptions> = {}) {
  const batches: EventBatch[] = [];
  const malformed: MillraceError[] = [];
  const log = createCollectingLog();
  const server = createAvroLegacyServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log,
    observer: { requestMalformed: (error) => malformed.push(error) },
    handler: async (batch) => {
      batches.push(batch);
      return "OK";
    },
    ...options,
  });
  await server.start(never);
  test.after(() => server.stop(AbortSignal.abort()));
  return { server, batches, malformed, log };
}

/** avsc's client: a request for each call, the handshake in each. */
function avscClient(port: number, text = ogProtocolText) {
  const service = avsc.Service.forProtocol(JSON.parse(text)) as unknown as {
    createClient(options?: object): OgClient;
  };
  const client = service.createClient();
  client.createChannel(
    (done: (error: Error | null, response?: unknown) => void) =>
      request(
        { host: "127.0.0.1", port, method: "POST", headers: { "content-type": "avro/binary" } },
        (response) => done(null, response),
      ).on("error", (error) => done(error)),
    { noPing: true },
  );
  return {
    append: (given: OgAvroEvent) =>
      within(
        "the call",
        new Promise<void>((resolve, reject) => {
          client.append(given, (error) => (error ? reject(error) : resolve()));
        }),
      ),
  };
}

/** A request body in one buffer: a handshake by hash, no metadata, the message's name, its event. */
function bodyOf(hash: Buffer, name: string, bytes: Buffer): Buffer {
  const call = Buffer.concat([
    hash,
    Buffer.from([0]),
    hash,
    Buffer.from([2, 0, 0, name.length * 2]),
    Buffer.from(name),
    bytes,
  ]);
  return buffers(call);
}

function buffers(...parts: Buffer[]): Buffer {
  return Buffer.concat([
    ...parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(part.length);
      return [length, part];
    }),
    Buffer.alloc(4),
  ]);
}

async function post(
  port: number,
  body: Buffer,
  options: { method?: string; type?: string; agent?: Agent } = {},
): Promise<{ status: number; body: Buffer }> {
  const sent = request({
    host: "127.0.0.1",
    port,
    path: "/any/path",
    method: options.method ?? "POST",
    headers: { "content-type": options.type ?? "avro/binary", "content-length": body.length },
    ...(options.agent && { agent: options.agent }),
  });
  sent.end(body);
  const [response] = (await within("the response", once(sent, "response"))) as [
    AsyncIterable<Buffer> & { statusCode: number },
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, body: Buffer.concat(chunks) };
}

test("an event of a Flume 0.9 agent is stored with its headers, a field's content among them (T942)", async (t) => {
  const { server, batches } = await serve(t);
  const body = bodyOf(ogJavaHash, "append", eventType.toBuffer(event));
  const reply = await post(server.port, body);
  assert.equal(reply.status, 200);
  assert.equal(reply.body.toString("hex"), "0000000400000000" + "000000020000" + "00000000");
  const stored = (batches[0] as EventBatch).at(0);
  assert.equal(stored.body.toString(), "hello");
  assert.deepEqual(
    [...stored.headers],
    [
      ["host", "old.example"],
      ["timestamp", "1700000000123"],
      ["pri", "WARN"],
      ["nanos", "123456789012345"],
      ["AckTag", "tag"],
      ["naïve", "ü"],
      ["FlumeOG", "yes"],
    ],
  );
});

test("avsc's client, whom nobody knows at first, sends its text and is served", async (t) => {
  const { server, batches } = await serve(t);
  // The same protocol by another name has a hash of its own.
  for (const text of [ogProtocolText, ogProtocolText.replace("FlumeOGEvent", "Somebody")]) {
    const client = avscClient(server.port, text);
    for (let i = 0; i < 3; i++) await client.append({ ...event, timestamp: i });
  }
  assert.deepEqual(
    batches.map((batch) => batch.at(0).headers.get("timestamp")),
    ["0", "1", "2", "0", "1", "2"],
  );
});

test("a client with another event is told so, and nothing is stored", async (t) => {
  const { server, batches, malformed } = await serve(t);
  const text = ogProtocolText.replace(
    '"name":"nanos","type":"long"',
    '"name":"nanos","type":"int"',
  );
  await assert.rejects(avscClient(server.port, text).append({ ...event, nanos: 1 }), /Flume 0\.9/);
  assert.deepEqual([batches.length, malformed[0]?.code], [0, "CALL_MALFORMED"]);
});

for (const { name, handler, says } of [
  { name: "FAILED", handler: async () => "FAILED" as const, says: /not stored; send it again/ },
  {
    name: "an error",
    handler: () => Promise.reject(new MillraceError("CHANNEL_FULL", "c1 is full")),
    says: /CHANNEL_FULL: c1 is full/,
  },
]) {
  test(`an event that was not stored, by ${name}, is an Avro error to its sender`, async (t) => {
    let calls = 0;
    const { server } = await serve(t, {
      handler: () => (calls++ === 0 ? handler() : Promise.resolve("OK")),
    });
    const client = avscClient(server.port);
    await assert.rejects(client.append(event), (error: Error) => {
      assert.match(String(error.message) + String((error as { cause?: unknown }).cause), says);
      return true;
    });
    await client.append(event);
  });
}

test("an unknown client without a text is answered NONE with ours, in the handshake alone", async (t) => {
  const { server, batches } = await serve(t);
  const body = bodyOf(Buffer.alloc(16, 9), "append", eventType.toBuffer(event));
  const reply = (await post(server.port, body)).body;
  assert.ok(reply.includes(ogProtocolText) && reply.includes(ogProtocolHash));
  assert.equal(reply[4], 4);
  assert.equal(batches.length, 0);
});

test("a ping is answered with the handshake", async (t) => {
  const { server } = await serve(t);
  const reply = await post(server.port, bodyOf(ogJavaHash, "", Buffer.alloc(0)));
  assert.equal(reply.body.toString("hex"), "000000040000000000000000");
});

test("buffers may be cut anywhere, and an event may be large", async (t) => {
  const { server, batches } = await serve(t);
  const bytes = eventType.toBuffer({ ...event, body: Buffer.alloc(3_000_000, 7) });
  const whole = bodyOf(ogJavaHash, "append", bytes).subarray(4, -4);
  const parts = [whole.subarray(0, 5), whole.subarray(5, 40), whole.subarray(40)];
  assert.equal((await post(server.port, buffers(...parts))).status, 200);
  assert.equal((batches[0] as EventBatch).at(0).body.length, 3_000_000);
});

test("a body in chunks of single bytes takes memory by its bytes, not by its chunks", async (t) => {
  const count = 300_000;
  let before = Infinity;
  let grownBytes = 0;
  const { server } = await serve(t, {
    handler: async (batch) => {
      assert.equal(batch.at(0).body.length, count);
      grownBytes = process.memoryUsage().heapUsed - before;
      return "OK";
    },
  });
  const bytes = eventType.toBuffer({ ...event, body: Buffer.alloc(count) });
  const call = bodyOf(ogJavaHash, "append", bytes);
  const chunks = Buffer.alloc(call.length * 6, "1\r\n?\r\n");
  for (let at = 0; at < call.length; at++) chunks[at * 6 + 3] = call[at] as number;
  const head =
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: avro/binary\r\ntransfer-encoding: chunked\r\n\r\n";
  const sent = Buffer.concat([Buffer.from(head), chunks, Buffer.from("0\r\n\r\n")]);
  const socket = connect(server.port, "127.0.0.1");
  t.after(() => socket.destroy());
  const answered = once(socket, "data");
  before = process.memoryUsage().heapUsed;
  socket.write(sent);
  assert.match(String(await within("the answer", answered)), /^HTTP\/1.1 200/);
  assert.ok(grownBytes < 30e6, `${grownBytes} bytes for ${count}`);
});

test("a body in buffers of single bytes is joined without an object for each", () => {
  const count = 400_000;
  const body = Buffer.alloc(count * 5 + 4, Buffer.from("0000000107", "hex"));
  body.fill(0, count * 5);
  const before = process.memoryUsage().heapUsed;
  const joined = joinBuffers(body);
  const grownBytes = process.memoryUsage().heapUsed - before;
  assert.ok(joined.equals(Buffer.alloc(count, 7)));
  assert.ok(grownBytes < 20e6, `${grownBytes} bytes for ${count}`);
});

const good = bodyOf(ogJavaHash, "append", eventType.toBuffer(event));
for (const { name, body, status, code } of [
  { name: "no buffers", body: Buffer.alloc(0), status: 400, code: "FRAME_MALFORMED" },
  { name: "no end of buffers", body: good.subarray(0, -4), status: 400, code: "FRAME_MALFORMED" },
  {
    name: "bytes behind the end",
    body: Buffer.concat([good, Buffer.from([0])]),
    status: 400,
    code: "FRAME_MALFORMED",
  },
  {
    name: "a handshake of rubbish",
    body: buffers(Buffer.from("deadbeef", "hex")),
    status: 400,
    code: "FRAME_MALFORMED",
  },
  {
    name: "another message",
    body: bodyOf(ogJavaHash, "appent", Buffer.alloc(0)),
    status: 200,
    code: "CALL_MALFORMED",
  },
  {
    name: "an event that is cut off",
    body: bodyOf(ogJavaHash, "append", eventType.toBuffer(event).subarray(0, -3)),
    status: 200,
    code: "CALL_MALFORMED",
  },
  {
    name: "bytes behind the event",
    body: bodyOf(ogJavaHash, "append", Buffer.concat([eventType.toBuffer(event), Buffer.alloc(1)])),
    status: 200,
    code: "CALL_MALFORMED",
  },
]) {
  test(`a request with ${name} is ${code}, and nothing is stored`, async (t) => {
    const { server, batches, malformed } = await serve(t);
    const reply = await post(server.port, body);
    assert.equal(reply.status, status);
    assert.ok(status !== 200 || reply.body.includes("CALL_MALFORMED"));
    assert.deepEqual(
      malformed.map((error) => error.code),
      [code],
    );
    assert.equal((await post(server.port, good)).status, 200);
    assert.equal(batches.length, 1);
  });
}

test("what is no POST of avro/binary, no HTTP, or too large is refused, and others are served", async (t) => {
  const { server, malformed } = await serve(t, { limits: { maxFrameBytes: 10_000 } });
  const { port } = server;
  assert.equal((await post(port, good, { method: "PUT" })).status, 405);
  assert.equal((await post(port, good, { type: "text/plain" })).status, 415);
  assert.equal((await post(port, Buffer.alloc(20_000))).status, 413);
  const raw = connect(port, "127.0.0.1");
  raw.write("no HTTP at all\r\n\r\n");
  raw.on("error", () => {});
  await within("the end", once(raw, "close"));
  assert.deepEqual(
    malformed.map(({ code }) => code),
    ["FRAME_TOO_LARGE", "FRAME_MALFORMED"],
  );
  assert.equal((await post(port, good)).status, 200);
});

test("a connection is kept for the next call, and stop answers what is in progress", async (t) => {
  const store: (() => void)[] = [];
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => store.push(() => resolve("OK"))),
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const first = post(server.port, good, { agent });
  await waitFor("the first call", () => store.length === 1);
  store[0]?.();
  assert.equal((await first).status, 200);
  const second = post(server.port, good, { agent });
  await waitFor("the second call", () => store.length === 2);
  assert.equal(server.connectionCount, 1);
  let stopped = false;
  const stop = server.stop(never).then(() => (stopped = true));
  await settle(20);
  assert.equal(stopped, false);
  store[1]?.();
  assert.equal((await second).status, 200);
  await within("stop", stop);
});

test("one byte a second does not hold a connection for ever, silence neither", async (t) => {
  const clock = createFakeClock();
  const limits = { messageTimeoutMs: 10_000, idleTimeoutMs: 20_000 };
  const { server, malformed } = await serve(t, { clock, limits });
  const slow = connect(server.port, "127.0.0.1");
  const silent = connect(server.port, "127.0.0.1");
  t.after(() => silent.destroy());
  slow.on("error", () => {});
  let closed = false;
  slow.on("close", () => (closed = true));
  const head = "POST / HTTP/1.1\r\ncontent-type: avro/binary\r\ncontent-length: 100\r\n\r\n";
  for (const byte of head) {
    if (closed) break;
    slow.write(byte);
    await settle(20);
    await clock.advance(1000);
  }
  await waitFor("the slow one's end", () => closed);
  assert.match(malformed[0]?.message ?? "", /no whole request came within 10000 ms/);
  silent.resume();
  const silence = once(silent, "close");
  await clock.advance(20_000);
  await within("the silent one's end", silence);
});
