/** Flume 0.9's Thrift wire, written by the `thrift` library. */
import type { MillraceError } from "@millrace/core";
import { type EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { libraryOgAppend, libraryOgCall } from "./test-og.test.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { createThriftLegacyServer } from "./thrift-legacy-server.ts";

const never = new AbortController().signal;

async function serve(test: TestContext, options: Partial<EventServerOptions> = {}) {
  const batches: EventBatch[] = [];
  const malformed: MillraceError[] = [];
  const log = createCollectingLog();
  const server = createThriftLegacyServer({
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
  const bodies = () => batches.flatMap((batch) => [...batch].map(({ body }) => body.toString()));
  return { server, batches, bodies, malformed, log };
}

async function connected(test: TestContext, port: number) {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  test.after(() => socket.destroy());
  socket.on("error", () => {});
  const received: Buffer[] = [];
  socket.on("data", (chunk) => received.push(chunk));
  return { socket, received: () => Buffer.concat(received).toString("hex") };
}

test("an event of Flume 0.9 is stored with its headers (T944, T945)", async (t) => {
  const { server, batches } = await serve(t);
  const { socket, received } = await connected(t, server.port);
  socket.write(
    libraryOgAppend({
      timestamp: 1_700_000_000_123n,
      priority: 3,
      body: Buffer.from("hello"),
      nanos: 123_456_789_012_345n,
      host: "old.example",
      fields: [
        ["AckTag", Buffer.from("tag")],
        ["naïve", Buffer.from("ü")],
        ["__proto__", Buffer.from("x")],
        ["nanos", Buffer.from("a field of that name wins")],
      ],
    }),
  );
  await waitFor("the event", () => batches.length === 1);
  const event = (batches[0] as EventBatch).at(0);
  assert.equal(event.body.toString(), "hello");
  assert.deepEqual(
    [...event.headers].sort(),
    [
      ["host", "old.example"],
      ["timestamp", "1700000000123"],
      ["pri", "INFO"],
      ["nanos", "a field of that name wins"],
      ["AckTag", "tag"],
      ["naïve", "ü"],
      ["__proto__", "x"],
      ["FlumeOG", "yes"],
    ].sort(),
  );
  assert.equal(received(), "", "one-way: nothing is answered");
});

test("what an event does not have is no header; a number and a negative time are kept", async (t) => {
  const { server, batches } = await serve(t);
  const { socket } = await connected(t, server.port);
  socket.write(libraryOgAppend({ timestamp: -1n, nanos: -(2n ** 63n), priority: 17 }));
  await waitFor("the event", () => batches.length === 1);
  assert.deepEqual(
    [...(batches[0] as EventBatch).at(0).headers],
    [
      ["timestamp", "-1"],
      ["nanos", "-9223372036854775808"],
      ["FlumeOG", "yes"],
    ],
  );
});

test("many calls arrive in order, in chunks of any size, some of them together", async (t) => {
  const { server, bodies, batches } = await serve(t);
  const { socket } = await connected(t, server.port);
  const sent = Array.from({ length: 500 }, (_, i) => `event ${i} `.repeat(1 + (i % 50)));
  const stream = Buffer.concat(sent.map((body) => libraryOgAppend({ body: Buffer.from(body) })));
  for (let at = 0, size = 1; at < stream.length; at += size, size = (size * 7) % 4999) {
    socket.write(stream.subarray(at, at + size));
    if (size % 5 === 0) await settle(1);
  }
  await waitFor("all events", () => bodies().length === 500);
  assert.deepEqual(bodies(), sent);
  assert.ok(batches.length < 500 && batches.every(({ length }) => length <= 100));
});

test("close is answered when the events before it are stored", async (t) => {
  let store: (() => void) | undefined;
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => (store = () => resolve("OK"))),
  });
  const { socket, received } = await connected(t, server.port);
  socket.write(Buffer.concat([libraryOgAppend({}), libraryOgCall("close", 9)]));
  await waitFor("the event", () => store !== undefined);
  await settle(20);
  assert.equal(received(), "");
  store?.();
  await waitFor("the answer", () => received() !== "");
  assert.equal(received(), "8001000200000005636c6f73650000000900");
});

test("an unknown method is answered so, and the connection goes on", async (t) => {
  const { server, bodies, malformed } = await serve(t);
  const { socket, received } = await connected(t, server.port);
  socket.write(libraryOgCall("rpcClose", 3));
  socket.write(libraryOgAppend({ body: Buffer.from("behind") }));
  await waitFor("the event and the answer", () => bodies().length === 1 && received() !== "");
  assert.match(Buffer.from(received(), "hex").toString(), /Invalid method name: 'rpcClose'/);
  assert.equal(malformed.length, 1);
});

test("while a batch is not stored the connection is not read, and the sender waits", async (t) => {
  const store: (() => void)[] = [];
  let events = 0;
  const { server } = await serve(t, {
    handler: (batch) => {
      events += batch.length;
      return new Promise((resolve) => store.push(() => resolve("OK")));
    },
  });
  const { socket } = await connected(t, server.port);
  const large = libraryOgAppend({ body: Buffer.alloc(1024 * 1024) });
  for (let i = 0; i < 40; i++) socket.write(large);
  await waitFor("the first batch", () => store.length === 1);
  await settle(50);
  assert.equal(store.length, 1);
  assert.ok(socket.writableLength > 10 * 1024 * 1024, `${socket.writableLength} wait`);
  for (let done = 0; events < 40; done++) {
    await waitFor(`batch ${done}`, () => store.length > done);
    store[done]?.();
  }
  assert.equal(events, 40);
});

test("what a sender sent whole before it went is stored all the same", async (t) => {
  const store: (() => void)[] = [];
  const taken: string[] = [];
  const { server } = await serve(t, {
    handler: (batch) => {
      taken.push(...[...batch].map(({ body }) => body.toString()));
      return new Promise((resolve) => store.push(() => resolve("OK")));
    },
  });
  const { socket } = await connected(t, server.port);
  const body = (text: string) => libraryOgAppend({ body: Buffer.from(text) });
  socket.write(body("first"));
  await waitFor("the first event", () => store.length === 1);
  const half = body("half");
  socket.end(Buffer.concat([body("second"), half.subarray(0, half.length - 1)]));
  await settle(20);
  store[0]?.();
  await waitFor("the second event", () => store.length === 2);
  store[1]?.();
  await waitFor("no connection", () => server.connectionCount === 0);
  assert.deepEqual(taken, ["first", "second"]);
});

test("stop processes what has come whole, then closes", async (t) => {
  const store: (() => void)[] = [];
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => store.push(() => resolve("OK"))),
  });
  const { socket } = await connected(t, server.port);
  socket.cork();
  for (let i = 0; i < 150; i++) socket.write(libraryOgAppend({ body: Buffer.from(`${i}`) }));
  socket.uncork();
  await waitFor("the first batch", () => store.length === 1);
  await settle(20);
  const stop = server.stop(never);
  for (let done = 0; done < store.length; done++) {
    store[done]?.();
    await settle(20);
  }
  await within("stop", stop);
  assert.ok(store.length >= 2, `${store.length} batches`);
});

for (const { name, handler } of [
  { name: "is refused", handler: async () => "FAILED" as const },
  { name: "throws", handler: () => Promise.reject(new Error("a mistake")) },
]) {
  test(`a batch that ${name} is lost, and the log says how many events; the next is served`, async (t) => {
    let calls = 0;
    const { server, log } = await serve(t, {
      handler: () => (calls++ === 0 ? handler() : Promise.resolve("OK")),
    });
    const { socket } = await connected(t, server.port);
    socket.write(libraryOgAppend({}));
    await waitFor("the loss", () => log.lines.some(({ level }) => level === "error"));
    assert.match(log.lines.at(-1)?.message ?? "", /1 events of 127\.0\.0\.1:\d+ are lost/);
    socket.write(libraryOgAppend({}));
    await waitFor("the next", () => calls === 2);
  });
}

for (const { name, bytes, code, says } of [
  {
    name: "a frame",
    bytes: "0000002680010001",
    code: "FRAME_MALFORMED",
    says: /frames are not for this source/,
  },
  {
    name: "the compact protocol",
    bytes: "8221010661",
    code: "FRAME_MALFORMED",
    says: /the compact protocol/,
  },
  {
    name: "a name of a gigabyte",
    bytes: "800100017fffffff",
    code: "FRAME_MALFORMED",
    says: /message name of 2147483647/,
  },
  {
    name: "a body of a gigabyte",
    bytes: "8001000400000006617070656e64000000010c00010b00037fffffff",
    code: "FRAME_TOO_LARGE",
    says: /maxFrameBytes is 33554432/,
  },
  {
    name: "a negative length",
    bytes: "8001000400000006617070656e64000000010c00010b0003ffffffff",
    code: "FRAME_MALFORMED",
    says: /a length of -1/,
  },
  {
    name: "structs without an end",
    bytes: "8001000400000006617070656e6400000001" + "0c0001".repeat(40),
    code: "FRAME_MALFORMED",
    says: /nested over 32 deep/,
  },
  {
    name: "a value of no type",
    bytes: "8001000400000006617070656e6400000001010001",
    code: "FRAME_MALFORMED",
    says: /a value of type 1/,
  },
  {
    name: "an append of nothing",
    bytes: "8001000400000006617070656e640000000100",
    code: "CALL_MALFORMED",
    says: /without an event/,
  },
  {
    name: "a reply",
    bytes: "8001000200000006617070656e640000000100",
    code: "CALL_MALFORMED",
    says: /type 2 for a call/,
  },
]) {
  test(`${name} closes its connection with ${code}; what came before is stored`, async (t) => {
    const { server, bodies, malformed } = await serve(t);
    const { socket } = await connected(t, server.port);
    socket.write(
      Buffer.concat([libraryOgAppend({ body: Buffer.from("before") }), Buffer.from(bytes, "hex")]),
    );
    await within("the end", once(socket, "close"));
    assert.deepEqual(bodies(), ["before"]);
    assert.deepEqual(
      malformed.map((error) => error.code),
      [code],
    );
    assert.match(malformed[0]?.message ?? "", says);
  });
}

test("a peer that does not read its answers is not read either, and is cut when it is to go", async (t) => {
  const clock = createFakeClock();
  const { server, log } = await serve(t, { clock, limits: { idleTimeoutMs: 20_000 } });
  const { socket } = await connected(t, server.port);
  socket.pause();
  // 18 MB of answers: several times what the sockets' own buffers hold.
  const call = libraryOgCall("n".repeat(120), 1);
  socket.write(Buffer.concat(new Array<Buffer>(60_000).fill(call)));
  let before = -1;
  await waitFor("the server to stop reading", async () => {
    before = socket.writableLength;
    await settle(50);
    return socket.writableLength === before;
  });
  assert.ok(before > 0, "the sender is held back");
  await clock.advance(20_000);
  assert.ok(log.lines.some(({ message }) => message.includes("idle")));
  await clock.advance(1000);
  await waitFor("the cut", () => server.connectionCount === 0);
});

test("one byte a second does not hold a connection for ever, silence neither", async (t) => {
  const clock = createFakeClock();
  const limits = { messageTimeoutMs: 10_000, idleTimeoutMs: 20_000 };
  const { server, malformed, bodies } = await serve(t, { clock, limits });
  const slow = await connected(t, server.port);
  const silent = await connected(t, server.port);
  const bytes = libraryOgAppend({ body: Buffer.from("slow") });
  let closed = false;
  slow.socket.on("close", () => (closed = true));
  for (let at = 0; !closed && at < bytes.length - 1; at++) {
    slow.socket.write(bytes.subarray(at, at + 1));
    await settle(20);
    await clock.advance(1000);
  }
  await waitFor("the slow one's end", () => closed);
  assert.match(malformed[0]?.message ?? "", /no whole message came within 10000 ms/);
  const silence = once(silent.socket, "close");
  await clock.advance(20_000);
  await within("the silent one's end", silence);
  assert.deepEqual(bodies(), []);
});
