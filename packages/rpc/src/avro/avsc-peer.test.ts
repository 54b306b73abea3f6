/** Our ends against avsc's own client and server, which speak the same wire by their own code. */
import { EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog, within } from "@millrace/testing";
import avsc from "avsc";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test, type TestContext } from "node:test";
import { createAvroClient } from "./client.ts";
import { protocolText } from "./protocol.ts";
import type { EventHandler } from "../wire/event-server.ts";
import { createAvroServer } from "./server.ts";

interface PlainEvent {
  headers: Record<string, string>;
  body: Buffer;
}
type Done = (error: Error | null | undefined, status?: string) => void;
interface AvscClient {
  append(event: PlainEvent, done: Done): void;
  appendBatch(events: PlainEvent[], done: Done): void;
  createChannel(transport: unknown, options?: object): { destroy(noWait: boolean): void };
}
interface AvscServer {
  onAppend(handle: (event: PlainEvent, done: Done) => void): AvscServer;
  onAppendBatch(handle: (events: PlainEvent[], done: Done) => void): AvscServer;
  createChannel(transport: unknown): { destroy(noWait: boolean): void };
}
interface AvscService {
  createClient(): AvscClient;
  createServer(options: object): AvscServer;
}

function serviceOf(text: string): AvscService {
  return avsc.Service.forProtocol(JSON.parse(text)) as unknown as AvscService;
}

/** The same protocol by another name, hence with a hash that nobody knows. */
const foreignText = protocolText.replace("AvroSourceProtocol", "SomebodyElses");
const plain: PlainEvent[] = Array.from({ length: 300 }, (_, i) => ({
  headers: { host: `h${i}`, naïve: "ü" },
  body: Buffer.alloc(i, i),
}));

function plainOf(batch: EventBatch): PlainEvent[] {
  return [...batch].map(({ headers, body }) => ({
    headers: Object.fromEntries(headers),
    body: Buffer.from(body),
  }));
}

function call(run: (done: Done) => void): Promise<string | undefined> {
  return within(
    "the call",
    new Promise((resolve, reject) => {
      run((error, status) => (error ? reject(error) : resolve(status)));
    }),
  );
}

async function avscClient(test: TestContext, text: string, handler: EventHandler) {
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler,
  });
  await server.start(new AbortController().signal);
  const socket = connect(server.port, "127.0.0.1");
  const client = serviceOf(text).createClient();
  const channel = client.createChannel(socket);
  test.after(async () => {
    channel.destroy(true);
    socket.destroy();
    await server.stop(AbortSignal.abort());
  });
  return client;
}

for (const { name, text } of [
  { name: "with our text", text: protocolText },
  { name: "with a text nobody knows", text: foreignText },
]) {
  test(`avsc's client ${name} is greeted by its ping and served by our server`, async (t) => {
    const received: PlainEvent[] = [];
    const client = await avscClient(t, text, async (batch) => {
      received.push(...plainOf(batch));
      return batch.length === 7 ? "FAILED" : "OK";
    });
    assert.equal(await call((done) => client.append(plain[5] as PlainEvent, done)), "OK");
    assert.equal(await call((done) => client.appendBatch(plain, done)), "OK");
    assert.equal(await call((done) => client.appendBatch([], done)), "OK");
    assert.equal(await call((done) => client.appendBatch(plain.slice(0, 7), done)), "FAILED");
    assert.deepEqual(received, [plain[5], ...plain, ...plain.slice(0, 7)]);
  });
}

test("avsc's client reads our system error, and goes on", async (t) => {
  let calls = 0;
  const client = await avscClient(t, protocolText, () => {
    if (calls++ === 0) throw new Error("boom");
    return Promise.resolve("OK");
  });
  await assert.rejects(
    call((done) => client.append(plain[0] as PlainEvent, done)),
    /UNEXPECTED: boom/,
  );
  assert.equal(await call((done) => client.append(plain[0] as PlainEvent, done)), "OK");
});

test("a client whose events are others is refused by our server with a reason", async (t) => {
  let calls = 0;
  const text = protocolText.replace('"values":"string"', '"values":"bytes"');
  const client = await avscClient(t, text, async () => {
    calls++;
    return "OK";
  });
  const event = { headers: {}, body: Buffer.from("a") };
  await assert.rejects(
    call((done) => client.append(event, done)),
    /not Flume's protocol/,
  );
  assert.equal(calls, 0);
});

async function avscServer(test: TestContext, text: string, handlers: (server: AvscServer) => void) {
  const made = serviceOf(text).createServer({ silent: true });
  handlers(made);
  const server = createServer((socket) => {
    const channel = made.createChannel(socket);
    test.after(() => {
      channel.destroy(true);
      socket.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => server.close());
  const client = createAvroClient({
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
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

for (const { name, text } of [
  { name: "that has our text", text: protocolText },
  { name: "that has a text nobody knows", text: foreignText },
]) {
  test(`our client is served by avsc's server ${name}, over NONE and our own text`, async (t) => {
    const received: PlainEvent[] = [];
    const client = await avscServer(t, text, (server) => {
      server.onAppend((event, done) => {
        received.push({ headers: { ...event.headers }, body: event.body });
        done(null, "OK");
      });
      server.onAppendBatch((events, done) => {
        for (const { headers, body } of events) received.push({ headers: { ...headers }, body });
        done(null, events.length === 7 ? "FAILED" : "OK");
      });
    });
    const batch = EventBatch.fromEvents(
      plain.map(({ headers, body }) => ({ headers: new Map(Object.entries(headers)), body })),
    );
    await client.appendBatch(batch);
    await client.append(batch.slice(5, 6));
    await assert.rejects(client.appendBatch(batch.slice(0, 7)), { code: "RPC_STATUS_FAILED" });
    await client.appendBatch(EventBatch.empty);
    assert.deepEqual(received, [...plain, plain[5], ...plain.slice(0, 7)]);
  });
}

test("avsc's server that throws is RPC_SYSTEM_ERROR", async (t) => {
  const client = await avscServer(t, protocolText, (server) => {
    server.onAppendBatch((_events, done) => done(new Error("no room")));
  });
  const batch = EventBatch.fromEvents([{ body: Buffer.from("a") }]);
  await assert.rejects(client.appendBatch(batch), {
    code: "RPC_SYSTEM_ERROR",
    message: /no room/,
  });
});
